"""From audio files to emotions, with the encoder and the settings that a model was trained with."""

from pathlib import Path
from typing import Any

import numpy as np

from speechemb import encoders
from speechemb.audio import decoding, recording
from speechemb.audio.files import cell_of_path, is_formula, printable
from speechemb.audio.recording import Recording
from speechemb.classifiers import Classifier
from speechemb.encoders.failures import check_finite
from speechemb.errors import InputError
from speechemb.layers import take_layer
from speechemb.paths import shown
from speechemb.speakers import MIN_CLIPS, moments
from speechemb.splits import NORMALISED


def usable(files: list[Path]) -> tuple[list[tuple[Path, np.ndarray | Recording]], list[tuple[str, str]]]:
    """The files with their waveforms at 16 kHz; and the files that cannot be used, with the reasons."""
    good, bad = [], []
    for path in files:
        try:
            found = recording.load(path)
        except decoding.AudioError as error:
            bad.append((printable(shown(path)), error.reason))
            continue
        if fault := found.fault if isinstance(found, Recording) else decoding.check(found, decoding.SAMPLE_RATE):
            bad.append((printable(shown(path)), fault))
        else:
            good.append((path, found))
    return good, bad


def parts_of(meta: dict[str, Any]) -> list[dict[str, Any]]:
    """The encoders of a model with their layers, pooling and precision, in the order of their features."""
    return meta.get("fused") or [meta]


def load_encoders(meta: dict[str, Any], sources: list[str]) -> list[encoders.Encoder]:
    """The encoders that a model was trained on; from `sources`, one for each, or else from where they were then.

    Raises:
        InputError: as `encoders.load_recorded`, or another number of sources.
    """
    parts = parts_of(meta)
    if sources and len(sources) != len(parts):
        tags = ", ".join(part["encoder"]["tag"] for part in parts)
        raise InputError(f"--encoder: give one for each encoder of the model, in this order: {tags}")
    places = sources or [part["encoder_source"] for part in parts]
    return [
        encoders.load_recorded(part["encoder"], place, part["precision"])
        for part, place in zip(parts, places, strict=True)
    ]


def features_of(
    found: list[encoders.Encoder], meta: dict[str, Any], clips: list[tuple[Path, np.ndarray | Recording]]
) -> np.ndarray:
    """What the model's classifier sees of these recordings: (n, d) float32, or (n, n_layers, dim) where it weighs them.

    The features of several encoders are concatenated, each with the model's layer taken first.
    """
    taken = []
    for encoder, part in zip(found, parts_of(meta), strict=True):
        vectors = encoder.embed([waveform for _, waveform in clips], part["layers"], part["pooling"])
        check_finite(vectors, [shown(path) for path, _ in clips], encoder.precision)
        taken.append(take_layer(vectors, part["layers"], meta["layer"]))
    return np.concatenate(taken, axis=-1)


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


def predict(
    classifier: Classifier,
    found: list[encoders.Encoder],
    meta: dict[str, Any],
    clips: list[tuple[Path, np.ndarray | Recording]],
    speaker: tuple[np.ndarray, np.ndarray] | None = None,
) -> list[list]:
    """One row per file: [path, emotion, probability of each class ...]. `speaker`: see `speaker_of`.

    An emotion that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    if not clips:
        return []
    features = features_of(found, meta, clips)
    if speaker:
        features = ((features - speaker[0]) / speaker[1]).astype(np.float32)
    probabilities = classifier.predict_proba(features)
    names = [f"'{label}" if is_formula(label) else label for label in meta["labels"]]
    labels = np.array(names)[probabilities.argmax(axis=1)]
    return [
        [cell_of_path(path), label, *row]
        for (path, _), label, row in zip(clips, labels.tolist(), probabilities, strict=True)
    ]
