"""The figures of one run, computed from its counts.

Keys of `results/evaluation_results_<run>.json`:

| key | holds |
|---|---|
| `tag`, `encoder`, `pooling`, `precision`, `layer`, `classifier`, `tune`, `corpora`, `seed` | what was run |
| `labels` | the classes in order |
| `trained_on` | what the encoder was trained on, and whether it saw the corpora tested on, see `trained_on` |
| `name` | of its files: the tag; of a direction `<tag>_train-<corpus>_test-<corpus>` |
| `direction` | cross-corpus runs: `train` and `test`, the corpora; else null |
| `protocol`, `protocol_note`, `n_folds` | how the clips were divided |
| `speakers_on_both_sides` | speakers in both training and test data, counted; null: unknown or guessed |
| `repeats` | how often the cross-validation was repeated |
| `leak` | the deliberate leakage, or empty |
| `normalise` | `speaker`: features standardised within each speaker (transductive, see `splits.NORMALISED`); or empty |
| `mean_of` | of a mean of the probabilities of several runs: their names; else empty |
| `augmented` | augmented copies per training clip |
| `windowed_clips` | clips that were longer than one window of the encoder; null: not recorded |
| `clips`, `speakers` | test clips, each once; known speakers |
| `units`, `unit` | how many speakers (or sessions, or guessed speakers) are resampled, and which of them |
| `overall` | pooled: accuracy, uar, macro and weighted F1 and precision over all out-of-fold predictions together |
| `interval_95` | [low, high] of pooled UAR, accuracy, macro and weighted F1 over units; null where there is none |
| `no_interval` | why UAR has no interval; empty where it has one |
| `fold_mean`, `fold_std`, `folds` | the same figures per fold, their mean and sample standard deviation |
| `per_class` | precision, recall, F1 and support of each class |
| `confusion_matrix` | counts; rows are true classes in the order of `labels` |
| `chance_uar`, `majority` | scores of guessing and of always predicting the most frequent class |
| `auroc` | AUROC of the confidence for the prediction being right; null where all are right or all wrong |
| `nll` | negative log-likelihood of the true classes, in nats |
| `calibration_error`, `reliability` | expected calibration error of the probabilities, and its 15 bins |
| `by_corpus` | runs over several corpora: pooled figures and interval of UAR of each |
| `by_gender`, `gender_gap`, `by_speaker` | UAR by gender and by speaker, see `fairness` |
| `raters` | the run beside its raters, whose votes gave its labels, see `evaluation.raters`; null where they did not |
| `human` | scores of human listeners, see `listeners`; null except for CREMA-D with its table of votes |

A cross-corpus run has one such file for each direction, and no figure over directions: each is a task of its own.

With repeats, a clip is predicted several times. The confusion matrix is then the mean over the repeats, and so is every
speaker's: UAR and accuracy are the means over the repeats, and an interval counts each clip and speaker once.

`metrics.json` holds `runs`, a list of these without the long parts. Provenance keys: see `provenance.stamp`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from speechemb.artifacts import provenance
from speechemb.artifacts.storage import SCHEMA
from speechemb.evaluation import counts, fairness, listeners, raters, trained_on
from speechemb.evaluation.counts import Counts
from speechemb.evaluation.late_fusion import mean_words
from speechemb.metrics import classification, intervals
from speechemb.splits import CROSS_CORPUS, NORMALISED

SETTINGS = ("tag", "encoder", "pooling", "precision", "layer", "classifier", "tune", "corpora", "seed", "labels")
HOW = ("protocol", "protocol_note", "n_folds", "repeats", "leak", "normalise", "augmented", "speakers_on_both_sides")
WITH_INTERVAL = ("uar", "accuracy", "macro_f1", "weighted_f1")


@dataclass(frozen=True)
class Evaluated:
    """The figures of one run, or of one direction of a cross-corpus run, and what they come from."""

    result: dict[str, Any]
    counts: Counts
    predictions: pd.DataFrame


def evaluated(predictions: pd.DataFrame, stamp: dict[str, Any]) -> list[Evaluated]:
    """One run's figures; of a cross-corpus run those of each direction, never pooled: each is a task of its own."""
    if stamp["protocol"] != CROSS_CORPUS:
        return [_evaluated(predictions, stamp)]
    found = []
    for _, part in predictions.groupby(["fold", "corpus"], sort=True):
        fold, test = part[["fold", "corpus"]].iloc[0]
        train = training_corpus(fold, stamp["corpora"])
        direction = {
            "name": f"{stamp['tag']}_train-{train}_test-{test}",
            "direction": {"train": train, "test": test},
            "protocol_note": "; ".join(
                filter(None, [f"trained on {train}, tested on {test}", NORMALISED.get(stamp["normalise"])])
            ),
            "n_folds": 1,
        }
        found.append(_evaluated(part, {**stamp, **direction}))
    return found


def training_corpus(fold: str, corpora: list[str]) -> str:
    """The training corpus of a cross-corpus fold: its name, or the first word of its name that is a corpus."""
    words = [fold, *fold.replace(",", " ").replace("->", " ").split()]
    return next((word for word in words if word in corpora), fold)


def _evaluated(predictions: pd.DataFrame, stamp: dict[str, Any]) -> Evaluated:
    counted = counts.count(predictions, stamp["labels"])
    beside = {"raters": raters.figures(predictions, counted, stamp)}
    return Evaluated(evaluate(counted, stamp) | beside, counted, predictions)


def evaluate(counts: Counts, stamp: dict[str, Any]) -> dict[str, Any]:
    """The figures of one run (keys above); `stamp` is the stamp of its predictions."""
    labels, repeats, direction = counts.labels, stamp["repeats"], stamp.get("direction")
    mean_of = stamp.get("mean_of", [])
    matrix = counts.total / repeats
    found, why = unit_intervals(counts, repeats)
    tested = [direction["test"]] if direction else stamp["corpora"]
    encoders = [part["encoder"] for part in stamp.get("fused") or [stamp]]
    result = {
        **provenance.stamp("evaluation", SCHEMA, predictions=stamp["sha256"], direction=direction),
        **{key: stamp[key] for key in SETTINGS + HOW},
        "trained_on": trained_on.summary(encoders, tested),
        "name": stamp.get("name", stamp["tag"]),
        "protocol_note": "; ".join(filter(None, [stamp["protocol_note"], mean_words(mean_of)])),
        "mean_of": mean_of,
        "windowed_clips": stamp.get("windowed_clips"),
        "clips": len(counts.by_clip),
        "speakers": len(counts.speakers),
        "units": len(counts.units),
        "unit": counts.unit_word,
        "overall": classification.summary_of(matrix),
        "interval_95": found,
        "no_interval": why,
        "per_class": classification.per_class_of(matrix, labels),
        "confusion_matrix": (matrix if repeats > 1 else counts.total).tolist(),
        "chance_uar": classification.chance_uar(labels),
        "majority": classification.majority_of(counts.total, labels),
        **counts.calibration,
        "by_corpus": corpus_figures(counts, repeats) if len(tested) > 1 else {},
        "human": listeners.listener_scores(labels) if tested == ["cremad"] else None,
    }
    return result | fairness.fairness_of(counts, stamp["genders"], repeats) | fold_figures(counts.by_fold)


def unit_intervals(counts: Counts, repeats: int = 1) -> tuple[dict[str, list[float] | None], str]:
    """95 % intervals over units by metric, None where there is none, and why UAR has none, or nothing."""
    if why := counts.why_no_units:
        return dict.fromkeys(WITH_INTERVAL), why
    by_unit = counts.by_unit / repeats
    found: dict[str, list[float] | None] = {}
    for name in WITH_INTERVAL:
        low, high = intervals.speaker_interval(classification.STATISTICS[name], by_unit)
        found[name] = None if np.isnan(low) else [low, high]
    return found, intervals.why_no_interval(classification.uar_of, by_unit, counts.unit_word)


def corpus_figures(counts: Counts, repeats: int = 1) -> dict[str, dict[str, Any]]:
    """Corpus -> clips, figures over all its predictions, interval_95 of UAR over its units, and why it has none."""
    found = {}
    for corpus in np.unique(counts.clip_corpora).tolist():
        inside = counts.clip_corpora == corpus
        part = counts.taken(inside)
        span, why = unit_intervals(part, repeats)
        figures = classification.summary_of(part.total / repeats)
        found[corpus] = {"clips": int(inside.sum()), **figures, "interval_95": span["uar"], "no_interval": why}
    return found


def fold_figures(by_fold: dict[str, NDArray]) -> dict[str, Any]:
    """Figures of every fold, their mean and sample standard deviation."""
    folds = [
        {"fold": fold, "clips": int(matrix.sum()), **classification.summary_of(matrix)}
        for fold, matrix in by_fold.items()
    ]
    values = np.array([[fold[name] for name in classification.STATISTICS] for fold in folds])
    std = values.std(axis=0, ddof=1) if len(folds) > 1 else np.full(values.shape[1], np.nan)
    mean_std = (dict(zip(classification.STATISTICS, row.tolist(), strict=True)) for row in (values.mean(axis=0), std))
    return {"folds": folds, **dict(zip(("fold_mean", "fold_std"), mean_std, strict=True))}


def cross_corpus_cells(results: list[dict[str, Any]]) -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
    """Tag of each cross-corpus run -> (training corpus, test corpus) -> evaluation.

    Where training and test corpus are the same, it is the speaker-independent run on that corpus with the same settings
    and classes, if there is exactly one.
    """
    found: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for result in results:
        if where := result["direction"]:
            found.setdefault(result["tag"], {})[where["train"], where["test"]] = result
    for cells in found.values():
        one = next(iter(cells.values()))
        for corpus in one["corpora"]:
            within = [result for result in results if _is_within(result, corpus, one)]
            if len(within) == 1:
                cells[corpus, corpus] = within[0]
    return found


def _is_within(result: dict[str, Any], corpus: str, cross: dict[str, Any]) -> bool:
    """Whether a run is speaker-independent on one corpus, with the settings of a cross-corpus run."""
    same = {*SETTINGS, "augmented", "normalise"} - {"tag", "corpora"}
    if result["protocol"] != "speaker" or result["corpora"] != [corpus] or result["leak"] or result["mean_of"]:
        return False
    return all(result[key] == cross[key] for key in same)


def cross_corpus_matrix(cells: dict[tuple[str, str], dict[str, Any]], corpora: list[str]) -> pd.DataFrame:
    """UAR of the cells of one run; rows are training corpora, columns test corpora; NaN where not tested."""
    matrix = pd.DataFrame(np.nan, index=pd.Index(corpora, name="train"), columns=pd.Index(corpora, name="test"))
    for (train, test), result in cells.items():
        matrix.loc[train, test] = result["overall"]["uar"]
    return matrix
