"""The predictions of one run, counted once: every figure and test of the run is computed from these counts."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from speechemb.metrics import calibration, confusion
from speechemb.metrics.confusion import Indices
from speechemb.speakers import is_guessed, known, within_corpus

SESSION, CLIP = "session:", "clip:"  # begin the units of clips of unknown speakers, see `splits.groups.voices`
ANONYMOUS = 0.05  # share of clips without speaker and session from which on nothing is resampled


@dataclass(frozen=True)
class Counts:
    """Confusion matrices (int64, rows are true classes) and calibration of one run.

    A clip that was predicted several times (`--repeats`) counts as often. Units are what is resampled: speakers, and
    sessions where speakers are unknown. A clip without either is a unit by itself; where many clips are, nothing can be
    resampled, for single clips would pretend more evidence than there is.
    """

    labels: list[str]  # the K classes
    by_clip: NDArray[np.int64]  # (C, K, K), in the order of clip ids
    clip_corpora: NDArray[np.str_]  # (C,)
    clip_speakers: NDArray[np.str_]  # (C,) `<corpus>/<speaker>`, empty: unknown
    clip_units: NDArray[np.str_]  # (C,) `<corpus>/<speaker>`, `<corpus>/session:<session>` or `clip:<clip id>`
    by_fold: dict[str, NDArray[np.int64]]  # fold -> (K, K)
    calibration: dict[str, Any]  # `auroc`, `nll`, `calibration_error`, `reliability`, see `metrics.calibration`
    tested: str  # equal for runs over the same classes of the same clips, each tested as often

    @property
    def total(self) -> NDArray[np.int64]:
        """The confusion matrix over all predictions, (K, K)."""
        return self.by_clip.sum(0)

    @property
    def speakers(self) -> list[str]:
        """The known speakers, sorted."""
        return sorted(set(self.clip_speakers.tolist()) - {""})

    @property
    def units(self) -> list[str]:
        """The units, sorted."""
        return sorted(set(self.clip_units.tolist()))

    @property
    def by_speaker(self) -> NDArray[np.int64]:
        """(S, K, K) of the known speakers."""
        return self._summed(self.clip_speakers)

    @property
    def by_unit(self) -> NDArray[np.int64]:
        """(U, K, K) of the units."""
        return self._summed(self.clip_units)

    @property
    def unit_word(self) -> str:
        """What the units are: `speakers`, `sessions`, `speakers and sessions`, `guessed speakers` ..."""
        return unit_word_of(self.units)

    @property
    def why_no_units(self) -> str:
        """Why nothing can be resampled; empty where nearly every clip has a speaker or a session."""
        return why_no_units_of(self.clip_units)

    def taken(self, clips: NDArray[np.bool_]) -> "Counts":
        """The counts of a part of the clips `(C,)`; folds and calibration stay those of all."""
        parts = {
            name: getattr(self, name)[clips] for name in ("by_clip", "clip_corpora", "clip_speakers", "clip_units")
        }
        return replace(self, **parts)

    def _summed(self, names: NDArray[np.str_]) -> NDArray[np.int64]:
        known = names != ""
        found, where = np.unique(names[known], return_inverse=True)
        matrices = np.zeros((len(found), *self.by_clip.shape[1:]), dtype=np.int64)
        np.add.at(matrices, where, self.by_clip[known])
        return matrices


def unit_word_of(units: list[str]) -> str:
    """See `Counts.unit_word`."""
    found = {_unit_word(unit) for unit in units}
    return " and ".join(word for word in ("guessed speakers", "speakers", "sessions", "clips") if word in found)


def _unit_word(unit: str) -> str:
    if unit.startswith(CLIP):
        return "clips"
    if unit.partition("/")[2].startswith(SESSION):
        return "sessions"
    return "guessed speakers" if is_guessed(unit) else "speakers"


def why_no_units_of(clip_units: NDArray[np.str_]) -> str:
    """See `Counts.why_no_units`."""
    unknown = int(np.char.startswith(clip_units, CLIP).sum())
    few = unknown <= ANONYMOUS * len(clip_units)
    return "" if few else f"the speakers of {unknown} of {len(clip_units)} clips are unknown"


def count(predictions: pd.DataFrame, labels: list[str]) -> Counts:
    """The counts of one predictions file, see `artifacts.predictions`; `labels` are its classes in order."""
    true = confusion.indices(predictions["true"].tolist(), labels, "true")
    predicted = confusion.indices(predictions["predicted"].tolist(), labels, "predicted")
    probabilities = predictions[[f"p_{label}" for label in labels]].to_numpy()
    ids, first, clip = np.unique(predictions["clip_id"].to_numpy(np.str_), return_index=True, return_inverse=True)
    bins = calibration.reliability(true, probabilities)
    return Counts(
        labels=labels,
        by_clip=confusion.matrices(true, predicted, clip, len(ids), len(labels)),
        clip_corpora=predictions["corpus"].to_numpy(np.str_)[first],
        clip_speakers=speakers_of(predictions)[first],
        clip_units=units_of(predictions)[first],
        by_fold=_by_fold(predictions, true, predicted, len(labels)),
        calibration={
            "auroc": calibration.confidence_auroc(true, probabilities),
            "nll": calibration.negative_log_likelihood(true, probabilities),
            "calibration_error": calibration.expected_calibration_error(bins),
            "reliability": bins,
        },
        tested=_digest(predictions, labels),
    )


def speakers_of(predictions: pd.DataFrame) -> NDArray[np.str_]:
    """`<corpus>/<speaker>` of each prediction, empty where unknown or guessed."""
    return within_corpus(predictions["corpus"].to_numpy(np.str_), known(predictions["speaker"].to_numpy(np.str_)))


def units_of(predictions: pd.DataFrame) -> NDArray[np.str_]:
    """The unit of each prediction: its column `group` (see `splits.groups.voices`), or what speakers alone tell."""
    if "group" in predictions:
        return predictions["group"].to_numpy(np.str_)
    speakers = speakers_of(predictions)
    return np.where(speakers == "", np.char.add(CLIP, predictions["clip_id"].to_numpy(np.str_)), speakers)


def _by_fold(predictions: pd.DataFrame, true: Indices, predicted: Indices, n_classes: int) -> dict[str, NDArray]:
    """Fold -> confusion matrix, sorted."""
    names, fold = np.unique(predictions["fold"].to_numpy(np.str_), return_inverse=True)
    matrices = confusion.matrices(true, predicted, fold, len(names), n_classes)
    return dict(zip(names.tolist(), matrices, strict=True))


def _digest(predictions: pd.DataFrame, labels: list[str]) -> str:
    """SHA-256 over the classes and, in any order, the clips with their true labels, corpora, speakers and units."""
    columns = [predictions[name] for name in ("clip_id", "true", "corpus", "speaker")]
    clips = sorted(zip(*columns, units_of(predictions), strict=True))
    return hashlib.sha256(repr((sorted(labels), clips)).encode()).hexdigest()
