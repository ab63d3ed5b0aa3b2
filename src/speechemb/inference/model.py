"""A trained model with its encoders: recordings in, features, probabilities and emotions out."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechemb import encoders
from speechemb.artifacts.storage import ArtifactError
from speechemb.audio.decoding import SAMPLE_RATE
from speechemb.classifiers import persistence
from speechemb.classifiers.novelty import FLAGGED, NOTE, Novelty
from speechemb.encoders import failures
from speechemb.encoders.windows import Waveform
from speechemb.errors import InputError
from speechemb.layers import take_layer
from speechemb.paths import shown
from speechemb.speakers import MIN_CLIPS, moments
from speechemb.splits import NORMALISED

log = logging.getLogger(__name__)

UNKNOWN = "unknown"  # the emotion where none is given


@dataclass
class Model:
    """A model of step 3 and its encoders. `speaker`: see `speaker_of`; `at_least`: the confidence an emotion needs.

    Without `at_least`, every recording gets an emotion.
    """

    folder: Path
    meta: dict[str, Any]
    classifier: Any  # a `Classifier`; of a model that predicts numbers a `Regressor`
    encoders: list[encoders.Encoder]
    novelty: Novelty | None
    speaker: tuple[np.ndarray, np.ndarray] | None = None
    at_least: float | None = None
    given_batch_seconds: int | None = None

    @property
    def workers(self) -> int:
        """How many batches are computed at the same time."""
        return min(encoder.workers for encoder in self.encoders)

    @property
    def batch_seconds(self) -> int:
        """Seconds of audio per batch, as in step 2."""
        return self.given_batch_seconds or min(encoder.batch_seconds for encoder in self.encoders)

    @property
    def precisions(self) -> list[str]:
        """That the encoders compute in."""
        return [encoder.precision for encoder in self.encoders]

    def start_worker(self) -> None:
        """To be called first in a thread that computes beside others."""
        for encoder in self.encoders:
            encoder.start_worker()

    def features(self, clips: list[tuple[Path, Waveform]]) -> np.ndarray:
        """What the classifier sees of recordings: (n, d) float32, or (n, n_layers, dim) where it weighs the layers.

        The features of several encoders are concatenated, each with the model's layer taken first.
        """
        taken, seconds = [], sum(len(waveform) for _, waveform in clips) / SAMPLE_RATE
        with failures.memory(f"embedding {len(clips)} recordings of {seconds:.0f} s together"):
            for encoder, part in zip(self.encoders, parts_of(self.meta), strict=True):
                vectors = encoder.embed([waveform for _, waveform in clips], part["layers"], part["pooling"])
                failures.check_finite(vectors, [shown(path) for path, _ in clips], encoder.precision)
                taken.append(take_layer(vectors, part["layers"], self.meta["layer"]))
        return np.concatenate(taken, axis=-1)

    def columns(self, segments: bool) -> list[str]:
        """The names of what is in a row."""
        times = ["start", "end"] if segments else []
        answer = self.targets or ["emotion", *(f"p_{label}" for label in self.meta["labels"])]
        return ["path", *times, *answer, "novelty", "note"]

    @property
    def targets(self) -> list[str]:
        """What the model predicts as numbers; empty for a model of emotions."""
        return self.meta.get("targets", [])

    def answers(self, features: np.ndarray) -> list[list]:
        """[emotion, probability of each class ..., novelty, note] of each recording, with six decimals.

        Of a model that predicts numbers: [number of each target ..., novelty, note].
        With `at_least`, the emotion is `unknown` where the highest probability is lower, or the recording is flagged.
        """
        if self.speaker:
            features = ((features - self.speaker[0]) / self.speaker[1]).astype(np.float32)
        predict = self.classifier.predict if self.targets else self.classifier.predict_proba
        probabilities = predict(features).astype(np.float64).round(6)
        shares = self.novelty.share(features).round(6).tolist() if self.novelty else [None] * len(features)
        return [self._answer(*one) for one in zip(probabilities, shares, strict=True)]

    def _answer(self, probabilities: np.ndarray, share: float | None) -> list:
        flagged = share is not None and share > FLAGGED
        if self.targets:
            return [*probabilities.tolist(), share, NOTE if flagged else ""]
        best = int(probabilities.argmax())
        known = self.at_least is None or (probabilities[best] >= self.at_least and not flagged)
        emotion = self.meta["labels"][best] if known else UNKNOWN
        return [emotion, *probabilities.tolist(), share, NOTE if flagged else ""]

    def no_answer(self, fault: str) -> list:
        """The same of a segment that cannot be used."""
        return [*([None] * len(self.targets) or [UNKNOWN, *[None] * len(self.meta["labels"])]), None, fault]

    def measured(self) -> dict[str, float | None]:
        """What cross-validation measured at the highest of its thresholds that is not above `at_least`.

        Raises:
            ArtifactError: the model is of an older version.
        """
        curve = self.meta.get("risk_coverage")
        if not curve:
            raise ArtifactError(
                f"--min-confidence: {shown(self.folder)} does not say what cross-validation measured: "
                + persistence.remedy_of(self.folder)
            )
        at = int(np.searchsorted(curve["thresholds"], self.at_least or 0.0, side="right")) - 1
        return {"threshold": curve["thresholds"][at], "coverage": curve["coverage"][at], "risk": curve["risk"][at]}

    def measured_words(self) -> str:
        """The same for people."""
        found = self.measured()
        risk = "none" if found["risk"] is None else f"{found['risk']:.1%}"
        return (
            f"in cross-validation ({self.meta['protocol_note']}), {found['coverage']:.1%} of the answers were at least "
            f"{found['threshold']:g} confident, and {risk} of these were wrong"
        )


def load(folder: Path, sources: list[str], device: str, precision: str, enrolled: bool) -> Model:
    """The model in a folder of step 3, with the encoders that it was trained on.

    Args:
        sources: where each encoder is; empty: where it was in training
        precision: "auto" for the one that the training features were computed in
        enrolled: whether enrolment recordings are given

    Raises:
        ArtifactError: as `persistence.load`.
        InputError: as `encoders.load_recorded`, or another number of sources, or `enrolled` does not fit the model.
    """
    classifier, meta = persistence.load(folder)
    check_enrolment(meta, enrolled)
    parts = parts_of(meta)
    if sources and len(sources) != len(parts):
        tags = ", ".join(part["encoder"]["tag"] for part in parts)
        raise InputError(f"--encoder: give one for each encoder of the model, in this order: {tags}")
    places = sources or [part["encoder_source"] for part in parts]
    found = [
        encoders.load_recorded(part["encoder"], place, part["precision"] if precision == "auto" else precision, device)
        for part, place in zip(parts, places, strict=True)
    ]
    for encoder, part in zip(found, parts, strict=True):
        if precision != "auto" and encoder.precision != part["precision"]:
            log.warning(
                "%s: the model was trained on features in %s and gets them in %s, which changes the results a little",
                part["encoder"]["tag"],
                part["precision"],
                encoder.precision,
            )
    novelty = persistence.load_novelty(folder, meta)
    if novelty is None:
        log.warning("the model does not say what its training speech is like: novelty is left empty")
    return Model(folder, meta, classifier, found, novelty)


def parts_of(meta: dict[str, Any]) -> list[dict[str, Any]]:
    """The encoders of a model with their layers, pooling and precision, in the order of their features."""
    return meta.get("fused") or [meta]


def check_enrolment(meta: dict[str, Any], given: bool) -> None:
    """Raise unless enrolment recordings are given exactly where the model needs them."""
    if meta["normalise"] and not given:
        raise InputError(
            f"the model was trained with --normalise {meta['normalise']}: give at least {MIN_CLIPS} recordings of the "
            "same speaker with --enrol"
        )
    if given and not meta["normalise"]:
        raise InputError("--enrol: the model was trained without --normalise speaker: drop the flag")


def normalised_words(meta: dict[str, Any]) -> str:
    """What standardising within the speaker means, for people."""
    return NORMALISED[meta["normalise"]]


def speaker_of(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (d,) of the features (n, d) of a speaker's enrolment recordings, as training takes them.

    Raises:
        InputError: fewer than `MIN_CLIPS` recordings.
    """
    if len(features) < MIN_CLIPS:
        raise InputError(f"--enrol: {len(features)} recordings that can be used, at least {MIN_CLIPS} are needed")
    return moments(features)[:2]
