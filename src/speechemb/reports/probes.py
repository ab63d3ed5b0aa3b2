"""The tables of probes, for the terminal and as Markdown; the report shows the same."""

from typing import Any

import pandas as pd

from speechemb.evaluation.probes import tables_of_encoders
from speechemb.reports.outputs import Output
from speechemb.terminal import aligned

HEAD = ("target", "folds hold out", "layer", "clips", "chance")
NOTE = "Folds, classes and chance differ from row to row: figures of one row are comparable, those of two rows are not."


def write(out: Output, found: pd.DataFrame, stamp: dict[str, Any]) -> None:
    """`probes.csv` and `probes.md`, where there are probes."""
    if not found.empty:
        out.csv("probes.csv", found.round(6), stamp, "probes")
        out.text("probes.md", markdown(found))


def markdown(found: pd.DataFrame) -> str:
    """A heading and a table for each encoder."""
    parts = []
    for part in tables_of_encoders(found):
        lines = [(*HEAD, *part["classifiers"]), ("---",) * (len(HEAD) + len(part["classifiers"])), *_rows(part)]
        cells = (" | ".join(cell.replace("|", r"\|") for cell in line) for line in lines)
        parts.append(f"### {part['caption']}: UAR [95 %]\n\n" + "".join(f"| {line} |\n" for line in cells))
    return "\n".join([*parts, NOTE + "\n"])


def text(found: pd.DataFrame) -> str:
    """The same for the terminal; empty without probes."""
    lines = []
    for part in tables_of_encoders(found):
        lines.append(f"what {part['caption']} knows: UAR [95 % interval]")
        lines += [f"  {line}" for line in aligned([list(row) for row in _rows(part)], [*HEAD, *part["classifiers"]])]
    return "\n".join([*lines, f"  {NOTE}"] if lines else [])


def _rows(part: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (row["target"], row["folds"], row["layer"], str(row["clips"]), row["chance"], *row["cells"])
        for row in part["rows"]
    ]
