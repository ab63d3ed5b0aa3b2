"""The leakage audit: how much UAR each looser way of dividing the clips, and each deliberate leakage, adds.

Runs that agree in everything but protocol, augmented copies and leakage are compared with their own speaker-independent
run (`--cv speaker`). A higher UAR than that run's is not a gain: it is the size of the leakage. Where there are several
such runs, the one with as many folds and repeats is taken. A run without one is named, not passed over in silence.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from speechemb.evaluation import comparison
from speechemb.splits import OPTIMISTIC_GUESS, TRANSDUCTIVE, is_guessed

SAME = ["corpora", "classes", "encoder", "pooling", "precision", "layer", "classifier", "tune", "seed"]
SAME += ["normalise"]
COLUMNS = (
    *SAME,
    "augmented",
    "protocol",
    "n_folds",
    "repeats",
    "leak",
    "uar",
    "uar_low",
    "uar_high",
    "points",
    "baseline",
    "speakers_on_both_sides",
    "run",
)


def audit_table(results: list[dict[str, Any]]) -> tuple[pd.DataFrame, list[str]]:
    """One row per run of each set that has a speaker-independent run and another, and the runs that lack the former.

    `points`: UAR minus that of `baseline`, the speaker-independent run without augmented copies and leakage that the
    run is compared with, in percentage points. Means of the probabilities of several runs are not audited.
    """
    sets: dict[tuple, list[dict[str, Any]]] = {}
    for row in (_audit_row(result) for result in results if not (result["direction"] or result["mean_of"])):
        sets.setdefault(tuple(row[key] for key in SAME), []).append(row)
    found, alone = [], []
    for _, runs in sorted(sets.items()):
        plain = {row["run"]: row for row in runs if _is_plain(row)}
        baselines = [_baseline(row, plain) for row in runs]
        alone += [row["run"] for row, baseline in zip(runs, baselines, strict=True) if not baseline]
        compared = [
            {**row, "baseline": baseline, "points": 100 * (row["uar"] - plain[baseline]["uar"])}
            for row, baseline in zip(runs, baselines, strict=True)
            if baseline
        ]
        if len(compared) > len(plain):
            found += sorted(compared, key=lambda row: row["uar"])
    return pd.DataFrame(found, columns=list(COLUMNS)), alone


def _is_plain(row: dict[str, Any]) -> bool:
    return row["protocol"] == "speaker" and not row["leak"] and not row["augmented"]


def _baseline(row: dict[str, Any], plain: dict[str, dict[str, Any]]) -> str:
    """The name of the run that a run is compared with, or nothing where none fits or several do."""
    if row["run"] in plain:
        return row["run"]
    alike = [name for name, of in plain.items() if all(of[key] == row[key] for key in ("n_folds", "repeats"))]
    candidates = alike or list(plain)
    return candidates[0] if len(candidates) == 1 else ""


def _audit_row(result: dict[str, Any]) -> dict[str, Any]:
    """A row of the comparison table, with the parts of the protocol in columns of their own."""
    parts = {key: result[key] for key in ("augmented", "protocol", "n_folds", "repeats", "leak", "normalise")}
    return {**comparison.run_row(result), **parts}


def protocol_words(row: Mapping[Any, Any]) -> str:
    """A row's protocol for people: `random x5`, `speaker-independent x5; deliberate leakage: scaler` ..."""
    words = "random" if row["protocol"] == "random" else f"{row['protocol']}-independent"
    words = f"{row['protocol']}, {OPTIMISTIC_GUESS}," if is_guessed(row["protocol"]) else words
    words += f" folds x{row['n_folds']}" + (f", {row['repeats']} times" if row["repeats"] > 1 else "")
    if row["augmented"]:
        words += f", {row['augmented']} augmented copies per clip"
    if row["normalise"]:
        words += f"; {TRANSDUCTIVE}"
    if row["leak"]:
        words += f"; deliberate leakage: {row['leak']}"
    return words


def with_titles(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns that its picture shows: `name` of each bar and `panel`, shared by compared runs."""
    rows = table.to_dict("records")
    panels = [
        f"{row['corpora']}, {row['classes']} classes, {comparison.settings_words({**row, 'augmented': 0})}"
        for row in rows
    ]
    return table.assign(name=[protocol_words(row) for row in rows], panel=panels)
