"""The leakage audit: how much UAR each looser way of dividing the clips, and each deliberate leakage, adds.

Runs that agree in corpora, classes, encoder, pooling, layer and classifier are compared with their own
speaker-independent run (`--cv speaker`). A higher UAR than that run's is not a gain: it is the size of the leakage.
"""

from typing import Any

import pandas as pd

from speechemb.evaluation import comparison

SAME = ["corpora", "classes", "encoder", "pooling", "layer", "classifier"]
COLUMNS = (
    *SAME,
    "augmented",
    "protocol",
    "leak",
    "uar",
    "uar_low",
    "uar_high",
    "points",
    "speakers_on_both_sides",
    "run",
)


def audit_table(results: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per run of each set that has one plain speaker-independent run and at least one other run.

    `points`: UAR minus that of the speaker-independent run without augmented copies and leakage, in percentage points.
    """
    rows = pd.DataFrame([_audit_row(result) for result in results])
    rows = rows[rows["protocol"] != "cross-corpus"]
    found = []
    for _, runs in rows.groupby(SAME, sort=True):
        plain = runs[(runs["protocol"] == "speaker") & (runs["leak"] == "") & (runs["augmented"] == 0)]
        if len(plain) == 1 and len(runs) > 1:
            runs = runs.assign(points=100 * (runs["uar"] - plain["uar"].item()))
            found.append(runs.sort_values("uar", kind="stable"))
    return pd.concat(found, ignore_index=True)[list(COLUMNS)] if found else pd.DataFrame(columns=list(COLUMNS))


def _audit_row(result: dict[str, Any]) -> dict[str, Any]:
    """A row of the comparison table, with the parts of the protocol in columns of their own."""
    parts = {key: result[key] for key in ("augmented", "protocol", "leak")}
    return {**comparison.run_row(result), **parts}


def protocol_words(row: pd.Series) -> str:
    """A row's protocol for people: `random folds`, `speaker-independent folds; deliberate leakage: scaler` ..."""
    words = "random folds" if row["protocol"] == "random" else f"{row['protocol']}-independent folds"
    if row["augmented"]:
        words += f", {row['augmented']} augmented copies per clip"
    if row["leak"]:
        words += f"; deliberate leakage: {row['leak']}"
    return words


def with_titles(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns that its picture shows: `name` of each bar and `panel`, shared by compared runs."""
    names = [protocol_words(row) for _, row in table.iterrows()]
    panels = [
        f"{row.corpora}, {row.classes} classes, {row.encoder}, {row.pooling}, {row.layer}, {row.classifier}"
        for row in table.itertuples()
    ]
    return table.assign(name=names, panel=panels)
