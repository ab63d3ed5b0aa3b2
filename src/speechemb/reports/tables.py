"""The comparison table for a paper: as Markdown, and as LaTeX for `booktabs`."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from speechemb.evaluation.comparison import block_words, settings_words

HEAD = ("run", "UAR [95 %]", "mean of folds", "accuracy", "macro F1")
_LATEX = {character: f"\\{character}" for character in "&%$#_{}"}
_LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}


class Block(NamedTuple):
    """Comparable runs, best first: a line about all of them, and a row of cells for each."""

    caption: str
    rows: list[tuple[str, ...]]


def blocks(table: pd.DataFrame) -> Iterator[Block]:
    """The blocks of `comparison.runs_table`: rows with the same corpora, classes and protocol."""
    for _, rows in table.groupby(["corpora", "classes", "protocol"], sort=False):
        one = rows.iloc[0]
        sizes = f"{_span(rows.clips)} clips, {_span(rows.speakers)} speakers"
        caption = f"{block_words(one.to_dict())}: {sizes}, chance UAR {one.chance_uar:.3f}"
        yield Block(caption, [_cells(row) for row in rows.to_dict("records")])


def _span(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _cells(row: Mapping[Any, Any]) -> tuple[str, ...]:
    interval = "no interval" if np.isnan(row["uar_low"]) else f"{row['uar_low']:.3f}, {row['uar_high']:.3f}"
    folds = f"{row['uar_fold_mean']:.3f}" + ("" if np.isnan(row["uar_fold_std"]) else f" ± {row['uar_fold_std']:.3f}")
    name = settings_words(row) + (f" ({row['note']})" if row["note"] else "")
    return name, f"{row['uar']:.3f} [{interval}]", folds, f"{row['accuracy']:.3f}", f"{row['macro_f1']:.3f}"


def markdown(table: pd.DataFrame) -> str:
    """A heading and a table for each block."""
    parts = []
    for block in blocks(table):
        lines = [HEAD, ("---",) * len(HEAD), *block.rows]
        cells = (" | ".join(cell.replace("|", r"\|") for cell in line) for line in lines)
        parts.append(f"### {block.caption}\n\n" + "".join(f"| {line} |\n" for line in cells))
    return "\n".join(parts)


def latex(table: pd.DataFrame) -> str:
    """A `table` for each block; the preamble needs `\\usepackage{booktabs}`."""
    parts = []
    for block in blocks(table):
        head, *rows = (" & ".join(map(_escaped, line)) + r" \\" for line in (HEAD, *block.rows))
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{_escaped(block.caption)}}}"]
        lines += [rf"\begin{{tabular}}{{l{'r' * (len(HEAD) - 1)}}}", r"\toprule", head, r"\midrule", *rows]
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n")
    return "\n".join(parts)


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
