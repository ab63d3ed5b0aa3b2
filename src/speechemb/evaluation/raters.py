"""A run beside its raters, where their votes gave its labels; key `raters` of `evaluation_results_<run>.json`.

| key | holds |
|---|---|
| `source` | the name of the votes, and what was done with ties |
| `votes_per_clip` | mean number of votes; null where they are probabilities |
| `cross_entropy` | of the raters' distribution to the run's probabilities, in nats |
| `raters_entropy` | of the raters' distribution: the least that a cross-entropy can be |
| `agreement` | share of single votes that are for the run's answer, with `agreement_interval_95` over units |
| `raters_agreement` | the same of the choice of most *other* raters, in place of the run; null without whole votes |
| `raters_agreement_interval_95`, `no_raters_agreement` | its interval; why there is none |
| `agreed` | UAR where over half of the votes are for one class, and where all are; number of these clips |
| `emosuperb` | `--protocol emosuperb`: macro F1 over classes of the multi-label task; else null |

Figures are over all out-of-fold predictions together. EMO-SUPERB's is the mean over folds, as its authors give it (Wu
et al. 2024, arXiv 2402.13018); a class counts as chosen where its probability is above one over the number of classes.
"""

from typing import Any

import numpy as np
import pandas as pd

from speechemb.evaluation.counts import Counts
from speechemb.metrics import classification, confusion, intervals, raters

EMOSUPERB = "emosuperb_"  # begins the name of its raters


def figures(predictions: pd.DataFrame, counts: Counts, stamp: dict[str, Any]) -> dict[str, Any] | None:
    """The figures of a run (keys above); None where its labels are those of the corpus."""
    name, labels = stamp.get("raters", ""), counts.labels
    columns = [f"votes_{label}" for label in labels]
    if not name or not set(columns) <= set(predictions.columns):
        return None
    votes = predictions[columns].to_numpy(dtype=float)
    probabilities = predictions[[f"p_{label}" for label in labels]].to_numpy(dtype=float)
    shares, answers = raters.shares_of(votes), confusion.indices(predictions["predicted"].tolist(), labels, "predicted")
    units = predictions["group"].to_numpy(dtype=str)
    agreed = raters.agreement(votes, answers)
    counted = bool((votes == votes.round()).all() and (votes.sum(axis=1) > 1).any())
    true = confusion.indices(predictions["true"].tolist(), labels, "true")
    most = shares.max(axis=1)
    return {
        "source": name,
        "votes_per_clip": float(votes.sum(axis=1).mean()) if counted else None,
        "cross_entropy": raters.cross_entropy(shares, probabilities),
        "raters_entropy": raters.cross_entropy(shares, shares),
        "agreement": float(agreed[:, 0].sum() / agreed[:, 1].sum()),
        "agreement_interval_95": _interval(agreed, units, counts),
        **_of_raters(votes, units, counts, counted),
        "agreed": {
            "over_half": _uar(true, answers, most > 0.5, len(labels)),
            "unanimous": _uar(true, answers, most > 1 - 1e-9, len(labels)),
        },
        "emosuperb": _emosuperb(predictions, shares, probabilities, labels) if name.startswith(EMOSUPERB) else None,
    }


def _of_raters(votes: np.ndarray, units: np.ndarray, counts: Counts, counted: bool) -> dict[str, Any]:
    several = votes.sum(axis=1) > 1
    if not counted:
        why = "these are probabilities, not the votes of single raters"
        return {"raters_agreement": None, "raters_agreement_interval_95": None, "no_raters_agreement": why}
    agreeing = raters.leave_one_out(votes[several])
    return {
        "raters_agreement": float(agreeing[:, 0].sum() / agreeing[:, 1].sum()),
        "raters_agreement_interval_95": _interval(agreeing, units[several], counts),
        "no_raters_agreement": "",
    }


def _interval(agreeing: np.ndarray, units: np.ndarray, counts: Counts) -> list[float] | None:
    """95 % interval over units of a share, of which each clip has a numerator and a denominator."""
    if counts.why_no_units:
        return None
    _, number = np.unique(units, return_inverse=True)
    sums = np.zeros((number.max() + 1, 2))
    np.add.at(sums, number, agreeing)
    matrices = np.zeros((len(sums), 2, 2))
    matrices[:, 0, 0], matrices[:, 0, 1] = sums[:, 0], sums[:, 1] - sums[:, 0]
    low, high = intervals.speaker_interval(classification.accuracy_of, matrices)
    return None if np.isnan(low) else [low, high]


def _uar(true: np.ndarray, answers: np.ndarray, where: np.ndarray, n: int) -> dict[str, Any]:
    matrix = confusion.matrix(true[where], answers[where], n)
    return {"clips": int(where.sum()), "uar": float(classification.uar_of(matrix)) if where.any() else None}


def _emosuperb(
    predictions: pd.DataFrame, shares: np.ndarray, probabilities: np.ndarray, labels: list[str]
) -> dict[str, Any]:
    limit = 1 / len(labels)
    true, chosen = shares > limit, probabilities > limit
    by_class = raters.multilabel_f1(true, chosen)
    folds = predictions["fold"].to_numpy(dtype=str)
    of_folds = [
        float(raters.multilabel_f1(true[folds == fold], chosen[folds == fold]).mean()) for fold in np.unique(folds)
    ]
    return {
        "macro_f1": float(by_class.mean()),
        "macro_f1_fold_mean": float(np.mean(of_folds)),
        "macro_f1_fold_std": float(np.std(of_folds, ddof=1)) if len(of_folds) > 1 else None,
        "f1": dict(zip(labels, by_class.tolist(), strict=True)),
    }


def lines(found: dict[str, Any] | None) -> list[str]:
    """The figures for the classification report."""
    if not found:
        return []
    return [
        "",
        f"beside the raters ({found['source']})",
        f"cross-entropy to the raters {found['cross_entropy']:.3f} (their own entropy: {found['raters_entropy']:.3f})",
        f"agrees with {found['agreement']:.3f}{_span(found['agreement_interval_95'])} of single votes; "
        + _raters_words(found),
        *(
            f"UAR {of['uar']:.3f} on the {of['clips']} clips where {words}"
            for key, words in (("over_half", "over half of the votes agree"), ("unanimous", "all votes agree"))
            if (of := found["agreed"][key])["clips"]
        ),
        *_emosuperb_lines(found["emosuperb"]),
    ]


def summary_lines(results: list[dict[str, Any]]) -> list[str]:
    """One line per run with raters, for the terminal."""
    made = []
    for result in results:
        if found := result.get("raters"):
            parts = [f"agrees with {found['agreement']:.3f} of single votes", _raters_words(found)]
            parts += [f"cross-entropy {found['cross_entropy']:.3f} (raters' entropy {found['raters_entropy']:.3f})"]
            made.append(f"{result['name']}: {'; '.join(parts + _emosuperb_lines(found['emosuperb']))}")
    return made


def _raters_words(found: dict[str, Any]) -> str:
    if found["raters_agreement"] is None:
        return f"raters among each other: unknown, {found['no_raters_agreement']}"
    span = _span(found["raters_agreement_interval_95"])
    return f"the other raters' choice with {found['raters_agreement']:.3f}{span}"


def _emosuperb_lines(found: dict[str, Any] | None) -> list[str]:
    if not found:
        return []
    spread = "" if found["macro_f1_fold_std"] is None else f" ± {found['macro_f1_fold_std']:.3f}"
    return [
        f"EMO-SUPERB: macro F1 {found['macro_f1_fold_mean']:.3f}{spread}, mean of folds; {found['macro_f1']:.3f} pooled"
    ]


def _span(interval: list[float] | None) -> str:
    return " [{:.3f}, {:.3f}]".format(*interval) if interval else ""
