"""The figures of one run, computed from its counts.

Keys of `results/evaluation_results_<run>.json`:

| key | holds |
|---|---|
| `tag`, `encoder`, `pooling`, `layer`, `classifier`, `corpora`, `seed`, `labels` | what was run; the classes in order |
| `protocol`, `protocol_note`, `n_folds` | how the clips were divided |
| `speakers_on_both_sides` | speakers in both training and test data, counted; null: unknown |
| `repeats` | how often the cross-validation was repeated |
| `leak` | the deliberate leakage, or empty |
| `augmented` | augmented copies per training clip |
| `clips`, `speakers` | test clips of all folds; known speakers |
| `overall` | accuracy, uar, macro and weighted F1 and precision over all out-of-fold predictions together |
| `interval_95` | [low, high] of UAR, accuracy, macro and weighted F1 over speakers; null where there is none |
| `fold_mean`, `fold_std`, `folds` | the same figures per fold, their mean and sample standard deviation |
| `per_class` | precision, recall, F1 and support of each class |
| `confusion_matrix` | counts; rows are true classes in the order of `labels` |
| `chance_uar`, `majority` | scores of guessing and of always predicting the most frequent class |
| `calibration_error`, `reliability` | expected calibration error of the probabilities, and its 15 bins |
| `by_gender`, `gender_gap`, `by_speaker` | UAR by gender and by speaker, see `fairness` |
| `human` | scores of human listeners, see `listeners`; null except for CREMA-D with its table of votes |
| `cells` | cross-corpus runs only: the figures of each pair of training and test corpus |

With repeats, a clip is predicted several times. The confusion matrix is then the mean over the repeats, and so is every
speaker's: UAR and accuracy are the means over the repeats, and an interval counts each clip and speaker once.

`metrics.json` holds `runs`, a list of these without the long parts. Provenance keys: see `provenance.stamp`.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from speechemb.artifacts import provenance
from speechemb.artifacts.storage import SCHEMA
from speechemb.evaluation import fairness, listeners
from speechemb.evaluation.counts import Counts
from speechemb.metrics import calibration, classification, intervals

SETTINGS = ("tag", "encoder", "pooling", "layer", "classifier", "corpora", "seed", "labels")
HOW = ("protocol", "protocol_note", "n_folds", "repeats", "leak", "augmented", "speakers_on_both_sides")
WITH_INTERVAL = ("uar", "accuracy", "macro_f1", "weighted_f1")


def evaluate(counts: Counts, stamp: dict[str, Any]) -> dict[str, Any]:
    """The figures of one run (keys above); `stamp` is the provenance of its predictions."""
    labels, repeats = counts.labels, stamp["repeats"]
    matrix = counts.total / repeats
    result = {
        **provenance.stamp("evaluation", SCHEMA, predictions=stamp["sha256"]),
        **{key: stamp[key] for key in SETTINGS + HOW},
        "clips": int(counts.total.sum()) // repeats,
        "speakers": len(counts.speakers),
        "overall": classification.summary_of(matrix),
        "interval_95": speaker_intervals(counts, repeats),
        "per_class": classification.per_class_of(matrix, labels),
        "confusion_matrix": (matrix if repeats > 1 else counts.total).tolist(),
        "chance_uar": classification.chance_uar(labels),
        "majority": classification.majority_of(counts.total, labels),
        "calibration_error": calibration.expected_calibration_error(counts.reliability),
        "reliability": counts.reliability,
        "human": listeners.listener_scores(labels) if stamp["corpora"] == ["cremad"] else None,
    }
    result |= fairness.fairness_of(counts, stamp["genders"], repeats)
    result |= fold_figures(counts.by_fold)
    if stamp["protocol"] == "cross-corpus":
        result["cells"] = [
            {"train": train, "test": test, **_figures(cell)} for (train, test), cell in counts.by_cell.items()
        ]
    return result


def speaker_intervals(counts: Counts, repeats: int = 1) -> dict[str, list[float] | None]:
    """95 % intervals over speakers; None where a speaker is unknown or there is only one."""
    if not counts.all_speakers_known or len(counts.speakers) < 2:
        return dict.fromkeys(WITH_INTERVAL)
    found = {}
    for name in WITH_INTERVAL:
        low, high = intervals.speaker_interval(classification.STATISTICS[name], counts.by_speaker / repeats)
        found[name] = None if np.isnan(low) else [low, high]
    return found


def fold_figures(by_fold: dict[str, NDArray]) -> dict[str, Any]:
    """Figures of every fold, their mean and sample standard deviation."""
    folds = [{"fold": fold, **_figures(matrix)} for fold, matrix in by_fold.items()]
    table = pd.DataFrame(folds)[list(classification.STATISTICS)]
    return {"folds": folds, "fold_mean": table.mean().to_dict(), "fold_std": table.std(ddof=1).to_dict()}


def _figures(matrix: NDArray) -> dict[str, Any]:
    return {"clips": int(matrix.sum()), **classification.summary_of(matrix)}


def cross_corpus_matrix(result: dict[str, Any]) -> pd.DataFrame:
    """UAR; rows are training corpora, columns test corpora; NaN on the diagonal."""
    cells = pd.DataFrame(result["cells"]).pivot(index="train", columns="test", values="uar")
    return cells.reindex(index=result["corpora"], columns=result["corpora"])
