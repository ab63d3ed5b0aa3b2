"""The figures of runs on numbers, such as arousal: CCC, Pearson's correlation and RMSE, with tests between runs.

`results/evaluation_regression_<run>.json` holds the settings of the run, as `scores` describes them, and `targets`: of
each target `ccc`, `pearson` and `rmse` pooled over all out-of-fold predictions, their `interval_95` over speakers (null
where there is none), `fold_mean` and `fold_std`, `rmse_of_mean` (of always predicting the mean, which is the deviation
of the true numbers), and the `range` of the true numbers.

Tests follow `significance`: confirmatory against the acoustic baseline with the same regressor and settings, corrected
(Holm) for all runs with that reference, of one target; all other pairs exploratory.
"""

import hashlib
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import provenance
from speechemb.artifacts.storage import SCHEMA
from speechemb.evaluation import comparison, counts, trained_on
from speechemb.evaluation.scores import HOW, SETTINGS
from speechemb.evaluation.significance import ALPHA, BETTER, IMPOSSIBLE, SAME, WORSE, impossible, references_of
from speechemb.metrics import paired_tests
from speechemb.metrics import regression as metrics

BLOCK = ("corpora", "target", "protocol")
COLUMNS = (
    *BLOCK,
    *("encoder", "pooling", "precision", "layer", "classifier", "tune", "seed", "augmented", "note"),
    *(f"{name}{end}" for name in metrics.STATISTICS for end in ("", "_low", "_high")),
    *("ccc_fold_mean", "ccc_fold_std", "rmse_of_mean", "clips", "speakers", "reference", "p_holm", "verdict", "run"),
)
PAIR_COLUMNS = (*BLOCK, "family", "a", "b", "ccc_a", "ccc_b", "difference", "p", "p_holm", "verdict", "comparisons")


@dataclass(frozen=True)
class EvaluatedRegression:
    """The figures of one run, its predictions, and the sums of its units by target, (U, 6) each."""

    result: dict[str, Any]
    predictions: pd.DataFrame
    by_unit: dict[str, np.ndarray]
    units: np.ndarray  # (U,) sorted names of the speakers
    tested: str  # equal for runs over the same clips with the same true numbers

    @property
    def why_no_units(self) -> str:
        """Why nothing can be resampled; empty where speakers are known."""
        return counts.why_no_units_of(counts.units_of(self.predictions))


def evaluated(predictions: pd.DataFrame, stamp: dict[str, Any]) -> EvaluatedRegression:
    """The figures of one run; `stamp` is the stamp of its predictions."""
    repeats, targets = stamp["repeats"], stamp["targets"]
    units, unit = np.unique(counts.units_of(predictions), return_inverse=True)
    why = counts.why_no_units_of(units[unit])
    by_unit, figures = {}, {}
    for target in targets:
        true, predicted = (predictions[f"{kind}_{target}"].to_numpy(float) for kind in ("true", "predicted"))
        centre = true.mean()  # no digits are lost, and the statistics do not depend on it
        by_unit[target] = metrics.sums(true - centre, predicted - centre, unit, len(units)) / repeats
        figures[target] = _figures(predictions, target, by_unit[target], why)
    clips = predictions["clip_id"].nunique()
    result = {
        **provenance.stamp("regression evaluation", SCHEMA, predictions=stamp["sha256"]),
        **{key: stamp[key] for key in (*SETTINGS, *HOW) if key != "labels"},
        "name": stamp["tag"],
        "direction": None,
        "mean_of": [],
        "trained_on": trained_on.summary([p["encoder"] for p in stamp.get("fused") or [stamp]], stamp["corpora"]),
        "clips": clips,
        "speakers": len(set(counts.speakers_of(predictions).tolist()) - {""}),
        "units": len(units),
        "unit": counts.unit_word_of(units.tolist()),
        "no_interval": why,
        "targets": figures,
    }
    columns = ["clip_id", *(f"true_{target}" for target in targets)]
    clip_rows = sorted(zip(*(predictions[name] for name in columns), units[unit].tolist(), strict=True))
    tested = hashlib.sha256(repr(clip_rows).encode()).hexdigest()
    return EvaluatedRegression(result, predictions, by_unit, units, tested)


def _figures(predictions: pd.DataFrame, target: str, by_unit: np.ndarray, why: str) -> dict[str, Any]:
    """The figures of one target."""
    total = by_unit.sum(axis=0)
    true, predicted = (predictions[f"{kind}_{target}"].to_numpy(float) for kind in ("true", "predicted"))
    names, fold = np.unique(predictions["fold"].to_numpy(np.str_), return_inverse=True)
    by_fold = metrics.sums(true - true.mean(), predicted - true.mean(), fold, len(names))
    spans = {name: (np.nan, np.nan) if why else metrics.interval(name, by_unit) for name in metrics.STATISTICS}
    return {
        **{name: float(statistic(total)) for name, statistic in metrics.STATISTICS.items()},
        "interval_95": {name: None if np.isnan(span[0]) else list(span) for name, span in spans.items()},
        "fold_mean": {name: float(statistic(by_fold).mean()) for name, statistic in metrics.STATISTICS.items()},
        "fold_std": {
            name: float(statistic(by_fold).std(ddof=1)) if len(names) > 1 else None
            for name, statistic in metrics.STATISTICS.items()
        },
        "rmse_of_mean": float(true.std()),
        "range": [float(true.min()), float(true.max())],
    }


def tables(runs: list[EvaluatedRegression]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per run and target, best CCC first among comparable ones (COLUMNS); and one per pair (PAIR_COLUMNS)."""
    rows, pairs = [], []
    for block in _blocks(runs):
        for target in block[0].by_unit:
            tests = _tests(block, target)
            pairs += tests
            verdicts = {test["a"]: test for test in tests if test["family"] == "confirmatory"}
            references = {test["b"] for test in tests if test["family"] == "confirmatory"}
            rows += [_row(run.result, target, verdicts.get(run.result["name"]), references) for run in block]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    order = {**dict.fromkeys(BLOCK, True), "ccc": False}
    table = table.sort_values(list(order), ascending=list(order.values()), kind="stable", ignore_index=True)
    return table, pd.DataFrame(pairs, columns=list(PAIR_COLUMNS))


def _blocks(runs: list[EvaluatedRegression]) -> list[list[EvaluatedRegression]]:
    """Sets of comparable runs: the same corpora, targets, protocol and clips."""
    found: dict[tuple, list[EvaluatedRegression]] = {}
    for run in runs:
        shared = "+".join(run.result["corpora"]), "+".join(run.by_unit), comparison.protocol_of(run.result)
        found.setdefault((*shared, run.tested), []).append(run)
    return [found[key] for key in sorted(found)]


def _shared(result: dict[str, Any], target: str) -> dict[str, str]:
    return {
        "corpora": "+".join(result["corpora"]),
        "target": target,
        "protocol": comparison.protocol_of(result),
    }


def _row(result: dict[str, Any], target: str, test: dict[str, Any] | None, references: set[str]) -> dict[str, Any]:
    of = result["targets"][target]
    row = {
        **_shared(result, target),
        "encoder": result["encoder"]["tag"],
        "pooling": "+".join(result["pooling"]),
        **{key: result[key] for key in ("precision", "layer", "classifier", "tune", "seed", "augmented")},
        "note": comparison.note_of(result),
        "ccc_fold_mean": of["fold_mean"]["ccc"],
        "ccc_fold_std": of["fold_std"]["ccc"],
        "rmse_of_mean": of["rmse_of_mean"],
        "clips": result["clips"],
        "speakers": result["speakers"],
        "run": result["name"],
        "verdict": "reference" if result["name"] in references else "no reference",
    }
    for name in metrics.STATISTICS:
        low, high = of["interval_95"][name] or (np.nan, np.nan)
        row |= {name: of[name], f"{name}_low": low, f"{name}_high": high}
    if test:
        row |= {"reference": test["b"], "p_holm": test["p_holm"], "verdict": test["verdict"]}
    return row


def _tests(block: list[EvaluatedRegression], target: str) -> list[dict[str, Any]]:
    """The tests between comparable runs: each against its acoustic baseline, and all other pairs without verdict."""
    references, _ = references_of([run.result for run in block])
    families: dict[int, list[int]] = {}
    for run, against in references.items():
        families.setdefault(against, []).append(run)
    rows, why = [], block[0].why_no_units
    for against, family in families.items():
        p = [_p(block, i, against, target, why) for i in family]
        held_back = impossible(len(block[0].units), block[0].result["unit"], len(family), why)
        for i, raw, corrected in zip(family, p, p if why else paired_tests.holm(p), strict=True):
            row = _pair(block, i, against, target, raw)
            better = BETTER if row["difference"] > 0 else WORSE
            verdict = f"{IMPOSSIBLE}: {held_back}" if held_back else better if corrected <= ALPHA else SAME
            rows.append({**row, "family": "confirmatory", "p_holm": corrected, "verdict": verdict})
            rows[-1]["comparisons"] = len(family)
    tested = {frozenset(pair) for pair in references.items()}
    others = [pair for pair in combinations(range(len(block)), 2) if frozenset(pair) not in tested]
    for i, j in others:
        row = _pair(block, i, j, target, _p(block, i, j, target, why))
        rows.append({**row, "family": "exploratory", "comparisons": len(others)})
    return rows


def _p(block: list[EvaluatedRegression], i: int, j: int, target: str, why: str) -> float:
    return np.nan if why else metrics.exchange_test(block[i].by_unit[target], block[j].by_unit[target])


def _pair(block: list[EvaluatedRegression], i: int, j: int, target: str, p: float) -> dict[str, Any]:
    a, b = (block[k].result for k in (i, j))
    ccc = [one["targets"][target]["ccc"] for one in (a, b)]
    row = {**_shared(a, target), "a": a["name"], "b": b["name"], "ccc_a": ccc[0], "ccc_b": ccc[1]}
    return {**row, "difference": ccc[0] - ccc[1], "p": p}
