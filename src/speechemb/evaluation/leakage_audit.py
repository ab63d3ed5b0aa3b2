"""The leakage audit: how much UAR each looser way of dividing the clips, and each deliberate leakage, adds.

Runs that agree in everything but protocol, augmented copies and leakage are compared with their own speaker-independent
run (`--cv speaker`). A higher UAR than that run's is not a gain: it is the size of the leakage. Where there are several
such runs, the one with as many folds and repeats is taken. A run without one is named, not passed over in silence.
"""

from typing import Any

import pandas as pd

from speechemb.evaluation import comparison

SAME = ["corpora", "classes", "encoder", "pooling", "precision", "layer", "classifier", "tune", "seed"]
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
    run is compared with, in percentage points.
    """
    rows = pd.DataFrame([_audit_row(result) for result in results if not result["direction"]])
    found, alone = [], []
    for _, runs in rows.groupby(SAME, sort=True) if len(rows) else ():
        plain = runs[(runs["protocol"] == "speaker") & (runs["leak"] == "") & (runs["augmented"] == 0)]
        of = runs.assign(baseline=[_baseline(row, plain) for _, row in runs.iterrows()])
        alone += of.loc[of["baseline"] == "", "run"].tolist()
        of = of[of["baseline"] != ""]
        if len(of) > len(plain):
            uar = of["baseline"].map(dict(zip(plain["run"], plain["uar"], strict=True)))
            found.append(of.assign(points=100 * (of["uar"] - uar)).sort_values("uar", kind="stable"))
    table = pd.concat(found, ignore_index=True)[list(COLUMNS)] if found else pd.DataFrame(columns=list(COLUMNS))
    return table, alone


def _baseline(row: pd.Series, plain: pd.DataFrame) -> str:
    """The name of the run that a run is compared with, or nothing where none fits or several do."""
    if row["run"] in set(plain["run"]):
        return row["run"]
    alike = plain[(plain["n_folds"] == row["n_folds"]) & (plain["repeats"] == row["repeats"])]
    candidates = alike if len(alike) else plain
    return candidates["run"].item() if len(candidates) == 1 else ""


def _audit_row(result: dict[str, Any]) -> dict[str, Any]:
    """A row of the comparison table, with the parts of the protocol in columns of their own."""
    parts = {key: result[key] for key in ("augmented", "protocol", "n_folds", "repeats", "leak")}
    return {**comparison.run_row(result), **parts}


def protocol_words(row: Any) -> str:
    """A row's protocol for people: `random x5`, `speaker-independent x5; deliberate leakage: scaler` ..."""
    words = "random" if row.protocol == "random" else f"{row.protocol}-independent"
    words += f" folds x{row.n_folds}" + (f", {row.repeats} times" if row.repeats > 1 else "")
    if row.augmented:
        words += f", {row.augmented} augmented copies per clip"
    if row.leak:
        words += f"; deliberate leakage: {row.leak}"
    return words


def with_titles(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns that its picture shows: `name` of each bar and `panel`, shared by compared runs."""
    names = [protocol_words(row) for row in table.itertuples()]
    panels = [
        f"{row.corpora}, {row.classes} classes, {comparison.settings_words(row._replace(augmented=0))}"
        for row in table.itertuples()
    ]
    return table.assign(name=names, panel=panels)
