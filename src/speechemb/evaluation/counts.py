"""The predictions of one run, counted once: every figure and test of the run is computed from these counts."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from speechemb.metrics import calibration, confusion
from speechemb.metrics.confusion import Indices
from speechemb.speakers import within_corpus


@dataclass(frozen=True)
class Counts:
    """Confusion matrices (int64, rows are true classes) and reliability bins of one run.

    A clip that was predicted several times (`--repeats`, cross-corpus) counts as often.
    """

    labels: list[str]  # the K classes
    by_clip: NDArray[np.int64]  # (C, K, K), in the order of clip ids
    clip_speakers: NDArray[np.str_]  # (C,) `<corpus>/<speaker>`, empty: unknown
    speakers: NDArray[np.str_]  # (S,) the known ones, sorted
    by_speaker: NDArray[np.int64]  # (S, K, K)
    by_fold: dict[str, NDArray[np.int64]]  # fold -> (K, K)
    by_cell: dict[tuple[str, str], NDArray[np.int64]]  # (fold, test corpus) -> (K, K)
    reliability: dict[str, NDArray]  # see `calibration.reliability`
    tested: str  # equal for runs over the same classes of the same clips, each tested as often

    @property
    def total(self) -> NDArray[np.int64]:
        """The confusion matrix over all predictions, (K, K)."""
        return self.by_clip.sum(0)

    @property
    def all_speakers_known(self) -> bool:
        """Whether every clip has a speaker: only then are there intervals and tests over speakers."""
        return bool((self.clip_speakers != "").all())


def count(predictions: pd.DataFrame, labels: list[str]) -> Counts:
    """The counts of one predictions file, see `artifacts.predictions`; `labels` are its classes in order."""
    true = confusion.indices(predictions["true"].tolist(), labels, "true")
    predicted = confusion.indices(predictions["predicted"].tolist(), labels, "predicted")
    probabilities = predictions[[f"p_{label}" for label in labels]].to_numpy()
    ids, first, clip = np.unique(predictions["clip_id"].to_numpy(np.str_), return_index=True, return_inverse=True)
    by_clip = confusion.matrices(true, predicted, clip, len(ids), len(labels))
    clip_speakers = speakers_of(predictions)[first]
    known = clip_speakers != ""
    speakers, speaker = np.unique(clip_speakers[known], return_inverse=True)
    by_speaker = np.zeros((len(speakers), *by_clip.shape[1:]), dtype=np.int64)
    np.add.at(by_speaker, speaker, by_clip[known])
    return Counts(
        labels=labels,
        by_clip=by_clip,
        clip_speakers=clip_speakers,
        speakers=speakers,
        by_speaker=by_speaker,
        by_fold=_count_by(predictions, "fold", true, predicted, len(labels)),
        by_cell=_count_by(predictions, ["fold", "corpus"], true, predicted, len(labels)),
        reliability=calibration.reliability(true, probabilities),
        tested=_digest(predictions, labels),
    )


def speakers_of(predictions: pd.DataFrame) -> NDArray[np.str_]:
    """`<corpus>/<speaker>` of each prediction, empty where unknown."""
    return within_corpus(predictions["corpus"].to_numpy(np.str_), predictions["speaker"].to_numpy(np.str_))


def _count_by(
    predictions: pd.DataFrame, columns: str | list[str], true: Indices, predicted: Indices, n_classes: int
) -> dict:
    """Value (or values) of the columns -> confusion matrix, sorted."""
    groups = predictions.groupby(columns, sort=True)
    names = groups.size().index.tolist()
    matrices = confusion.matrices(true, predicted, groups.ngroup().to_numpy(), len(names), n_classes)
    return dict(zip(names, matrices, strict=True))


def _digest(predictions: pd.DataFrame, labels: list[str]) -> str:
    """SHA-256 over the classes and, in any order, the clips with their true labels, corpora and speakers."""
    columns = [predictions[name] for name in ("clip_id", "true", "corpus", "speaker")]
    clips = sorted(zip(*columns, strict=True))
    return hashlib.sha256(repr((sorted(labels), clips)).encode()).hexdigest()
