"""What a change of the recordings does to a run: UAR on changed and on clean test clips, and answers that stay.

Both are of the same clips by the same models of held-out folds, so their difference has a paired interval: speakers are
resampled with both.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from speechemb.evaluation.counts import count
from speechemb.metrics.classification import uar_of
from speechemb.metrics.intervals import difference_interval
from speechemb.terminal import aligned

COLUMNS = (
    "run",
    "encoder",  # its tag
    "classifier",
    "change",  # a name of `audio.changes.CHANGES`
    "words",  # what it is
    "uar_clean",  # of the same clips as they are
    "uar",
    "difference",  # uar - uar_clean
    "difference_low",  # 95 % over speakers; empty: no interval
    "difference_high",
    "unchanged",  # share of clips with the same answer
    "speakers",  # units that are resampled, see `counts`
    "clips",
)


def compared(stamp: dict[str, Any], change: str, words: str, clean: pd.DataFrame, changed: pd.DataFrame) -> dict:
    """The row of one run and change.

    Args:
        stamp: of the run's predictions
        clean: predictions; those of clips without a changed version are not used
        changed: predictions of the changed versions, each clip in the same fold
    """
    keys = ["clip_id", "fold"]
    clean = clean.set_index(keys).loc[changed.set_index(keys).index].reset_index()
    a, b = count(changed, stamp["labels"]), count(clean, stamp["labels"])
    low, high = np.nan, np.nan
    if not b.why_no_units:
        low, high = difference_interval(uar_of, a.by_unit, b.by_unit)
    uar, uar_clean = float(uar_of(a.total)), float(uar_of(b.total))
    same = (clean["predicted"].to_numpy() == changed["predicted"].to_numpy()).mean()
    figures = (uar_clean, uar, uar - uar_clean, low, high, float(same), len(b.units), len(b.by_clip))
    names = (stamp["tag"], stamp["encoder"]["tag"], stamp["classifier"], change, words)
    return dict(zip(COLUMNS, (*names, *figures), strict=True))


def table_of(rows: list[dict]) -> pd.DataFrame:
    """The table, figures with 6 decimals."""
    return pd.DataFrame(rows, columns=list(COLUMNS)).round(6)


def text_of(table: pd.DataFrame) -> str:
    """The table for the terminal, run by run."""
    lines = []
    for run, rows in table.groupby("run", sort=False):
        one = rows.iloc[0]
        lines.append(f"{run}: UAR {one.uar_clean:.3f} on {one.clips} clean clips, {one.speakers} speakers")
        head = ["", "UAR", "change", "95 % interval", "same answers"]
        cells = [
            [row["change"], f"{row['uar']:.3f}", f"{row['difference']:+.3f}", interval(row), f"{row['unchanged']:.1%}"]
            for row in rows.to_dict("records")
        ]
        lines += [f"  {line}" for line in aligned(cells, head)]
    return "\n".join(lines)


def interval(row: Mapping[Any, Any]) -> str:
    """`[-0.123, -0.045]`, or `none`."""
    low, high = row["difference_low"], row["difference_high"]
    return "none" if np.isnan(low) else f"[{low:+.3f}, {high:+.3f}]"
