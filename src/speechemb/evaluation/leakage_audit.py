"""The leakage audit: what each way of dividing the clips, and each known mistake, adds to the same classifier's UAR.

Runs that agree in corpora, classes, encoder, pooling, layer and classifier are compared with their own speaker-disjoint
run. A difference is not a gain: it is what the looser protocol, or the mistake, pretends.
"""

from typing import Any

import pandas as pd

from speechemb.evaluation import comparison

COLUMNS = (
    *("corpora", "classes", "encoder", "pooling", "layer", "classifier", "augmented", "protocol", "leak"),
    *("uar", "uar_low", "uar_high", "points", "speakers_on_both_sides", "run"),
)
SAME = ["corpora", "classes", "encoder", "pooling", "layer", "classifier"]


def table(results: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a run of each group that has a plain speaker-disjoint run and at least one other protocol or mistake.

    `points`: UAR above the speaker-disjoint run without copies and mistakes, in percentage points.
    """
    rows = pd.DataFrame([_row(result) for result in results], columns=[c for c in COLUMNS if c != "points"])
    rows = rows[rows["protocol"] != "cross-corpus"]
    found = []
    for _, group in rows.groupby(SAME, sort=True):
        plain = group[(group["protocol"] == "speaker") & (group["leak"] == "") & (group["augmented"] == 0)]
        if len(plain) == 1 and len(group) > 1:
            group = group.assign(points=100 * (group["uar"] - plain["uar"].item()))
            found.append(group.sort_values("uar", kind="stable"))
    return pd.concat(found, ignore_index=True)[list(COLUMNS)] if found else pd.DataFrame(columns=list(COLUMNS))


def _row(result: dict[str, Any]) -> dict[str, Any]:
    """A row of the comparison table, with the protocol in its parts."""
    return {**comparison.row(result), **{key: result[key] for key in ("augmented", "protocol", "leak")}}


def name(row: pd.Series) -> str:
    """`random folds`, `speaker-disjoint, 2 copies a clip`, `MISTAKE: scaler` ...: a row for people."""
    words = {"random": "random folds"}.get(row["protocol"], f"{row['protocol']}-disjoint")
    words += f", {row['augmented']} copies a clip" if row["augmented"] else ""
    return words + (f"; MISTAKE: {row['leak']}" if row["leak"] else "")


def named(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns `name` (of a row, for people) and `panel` (what the rows of a group share)."""
    panels = [f"{row.corpora}, {row.classes} classes, {', '.join(getattr(row, key) for key in SAME[2:])}"
              for row in table.itertuples()]  # fmt: skip
    return table.assign(name=[name(row) for _, row in table.iterrows()], panel=panels)
