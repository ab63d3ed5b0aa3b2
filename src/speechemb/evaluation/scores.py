"""From the predictions of one run to its figures, and from all runs to one table.

Keys of `results/evaluation_results_<run>.json`:

| key | holds |
|---|---|
| `tag`, `encoder`, `pooling`, `layer`, `classifier`, `corpora`, `seed` | what was run |
| `protocol`, `protocol_note`, `n_folds`, `speakers_on_both_sides` | how; the last is counted (null: unknown) |
| `repeats`, `leak` | how often the cross-validation was done; the mistake made on purpose, or empty |
| `augmented` | how many changed copies of each training clip were trained on |
| `clips`, `speakers`, `labels` | different test clips (of all folds), their known speakers, class order |
| `overall` | accuracy, uar, macro and weighted f1, ... over all out-of-fold predictions together |
| `interval_95` | [low, high] of UAR, accuracy, macro and weighted F1 over speakers; null: none to be had |
| `fold_mean`, `fold_std`, `folds` | the same figures per fold, their mean and sample standard deviation |
| `per_class` | precision, recall, f1, support of each class |
| `confusion_matrix` | counts, rows are true classes in the order of `labels` |
| `chance_uar`, `majority` | what guessing and always answering the most frequent class reach |
| `calibration_error`, `reliability` | expected calibration error of the probabilities; its 15 bins |
| `by_gender`, `gender_gap`, `by_speaker` | UAR for groups and for single speakers, see `fairness` |
| `human` | CREMA-D only, where its table of votes is there: what listeners reach, see `human` |
| `cells` | cross-corpus runs only: figures of each training x test corpus |

With repeats, a clip is predicted several times. The confusion matrix is then the mean over the repeats, and so is every
speaker's: UAR and accuracy are the means of the repeats' own, and an interval counts each clip and speaker once.

`metrics.json` holds `runs`, a list of these without the long parts. Provenance keys: `provenance.stamp`.
"""

from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import provenance
from speechemb.artifacts.storage import SCHEMA
from speechemb.evaluation import fairness, listeners
from speechemb.metrics import calibration, classification, intervals
from speechemb.speakers import within_corpus

SETTINGS = ("tag", "encoder", "pooling", "layer", "classifier", "corpora", "seed", "labels")
HOW = ("protocol", "protocol_note", "n_folds", "repeats", "leak", "augmented", "speakers_on_both_sides")
WITH_INTERVAL = ("uar", "accuracy", "macro_f1", "weighted_f1")


def evaluate(frame: pd.DataFrame, stamp: dict[str, Any]) -> dict[str, Any]:
    """The figures of one predictions file (keys above)."""
    labels = stamp["labels"]
    true, predicted = frame["true"].tolist(), frame["predicted"].tolist()
    speakers, probabilities = speakers_of(frame), frame[[f"p_{label}" for label in labels]].to_numpy()
    repeats = stamp["repeats"]
    matrix = classification.confusion(true, predicted, labels) / repeats
    result = {
        **provenance.stamp("evaluation", SCHEMA, predictions=stamp["sha256"]),
        **{key: stamp[key] for key in (*SETTINGS, *HOW)},
        "clips": len(frame) // repeats,
        "speakers": len(set(speakers) - {""}),
        "overall": {name: float(statistic(matrix)) for name, statistic in classification.STATISTICS.items()},
        "interval_95": speaker_intervals(true, predicted, speakers, labels, repeats),
        "per_class": classification.per_class_of(matrix, labels),
        "confusion_matrix": (matrix if repeats > 1 else matrix.astype(int)).tolist(),
        "chance_uar": classification.chance_uar(labels),
        "majority": classification.majority(true, labels),
        "calibration_error": calibration.expected_calibration_error(true, probabilities, labels),
        "reliability": calibration.reliability(true, probabilities, labels),
        **fairness.fairness(true, predicted, frame["clip_id"], speakers, stamp["genders"], labels, repeats),
        "human": listeners.listeners(labels) if stamp["corpora"] == ["cremad"] else None,
        **by_fold(frame, labels),
    }
    if stamp["protocol"] == "cross-corpus":
        result["cells"] = cross_corpus_cells(frame, labels)
    return result


def speakers_of(frame: pd.DataFrame) -> np.ndarray:
    """`<corpus>/<speaker>` of each row of the predictions, empty where unknown."""
    return within_corpus(frame["corpus"].to_numpy(np.str_), frame["speaker"].to_numpy(np.str_))


def speaker_intervals(
    true, predicted, speakers: np.ndarray, labels: list[str], repeats: int = 1
) -> dict[str, list[float] | None]:
    """95 % intervals by the variation between speakers; None where a speaker is unknown or there is only one."""
    if (speakers == "").any() or len(set(speakers)) < 2:
        return dict.fromkeys(WITH_INTERVAL)
    confusions = intervals.speaker_confusions(true, predicted, speakers, labels) / repeats
    found = {name: intervals.speaker_interval(classification.STATISTICS[name], confusions) for name in WITH_INTERVAL}
    return {name: None if np.isnan(low) else [float(low), float(high)] for name, (low, high) in found.items()}


def by_fold(frame: pd.DataFrame, labels: list[str]) -> dict[str, Any]:
    """Figures of every fold, their mean and sample standard deviation."""
    folds = [
        {
            "fold": name,
            "clips": len(part),
            **classification.summary(part["true"].tolist(), part["predicted"].tolist(), labels),
        }
        for name, part in frame.groupby("fold", sort=True)
    ]
    table = pd.DataFrame(folds)[list(classification.STATISTICS)]
    return {"folds": folds, "fold_mean": table.mean().to_dict(), "fold_std": table.std(ddof=1).to_dict()}


def cross_corpus_cells(frame: pd.DataFrame, labels: list[str]) -> list[dict[str, Any]]:
    """Figures of each pair of training corpus (the fold's name) and test corpus."""
    return [
        {
            "train": train,
            "test": test,
            "clips": len(part),
            **classification.summary(part["true"].tolist(), part["predicted"].tolist(), labels),
        }
        for (train, test), part in frame.groupby(["fold", "corpus"], sort=True)
    ]


def cross_corpus_matrix(result: dict[str, Any]) -> pd.DataFrame:
    """UAR, rows are training corpora, columns test corpora; NaN on the diagonal."""
    cells = pd.DataFrame(result["cells"]).pivot(index="train", columns="test", values="uar")
    return cells.reindex(index=result["corpora"], columns=result["corpora"])
