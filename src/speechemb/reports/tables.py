"""The comparison table: for the terminal, and for a paper as Markdown and as LaTeX for `booktabs`."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from speechemb.evaluation.comparison import block_words, settings_words
from speechemb.evaluation.late_fusion import mean_words
from speechemb.terminal import aligned

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


def comparison_text(table: pd.DataFrame, results: list[dict[str, Any]]) -> str:
    """The comparison table for the terminal, a block for each set of comparable runs."""
    of, lines = {result["name"]: result for result in results}, []
    for _, rows in table.groupby(["corpora", "classes", "protocol"], sort=False):
        chance, majority = rows["chance_uar"].iloc[0], rows["majority_accuracy"].iloc[0]
        lines.append(
            f"{block_words(rows.iloc[0].to_dict())}: chance UAR {chance:.3f}, majority accuracy {majority:.3f}"
        )
        settings = [settings_words(row) for row in rows.to_dict("records")]
        # Two runs that differ in something else have their names to tell them by.
        names = [run if settings.count(name) > 1 else name for name, run in zip(settings, rows["run"], strict=True)]
        block = [of[run] for run in rows["run"]]
        uar = "UAR pooled" if any(len(result["folds"]) > 1 for result in block) else "UAR"
        head = ["", uar, "95 % interval", "mean of folds", "accuracy", "weighted F1", "AUROC of confidence"]
        cells = []
        for name, result in zip(names, block, strict=True):
            cells += [run_cells(name, result), *(corpus_cells(*one) for one in result["by_corpus"].items())]
        lines += [f"  {line}" for line in aligned(cells, head)]
        for name, result in zip(names, block, strict=True):
            lines += [f"  {name}: {mean_words(result['mean_of'])}"] if result["mean_of"] else []
        reasons = [one["no_interval"] for one in block if not one["interval_95"]["uar"]]
        lines += [f"  no interval: {why}" for why in dict.fromkeys(reasons)]
    return "\n".join(lines)


def run_cells(name: str, result: dict[str, Any]) -> list[str]:
    """A run's row of the table in the terminal."""
    overall, mean, std = (result[key] for key in ("overall", "fold_mean", "fold_std"))
    folds = f"{mean['uar']:.3f} ± {std['uar']:.3f}" if len(result["folds"]) > 1 else ""
    auroc = "" if result["auroc"] is None else f"{result['auroc']:.3f}"
    figures = [f"{overall['accuracy']:.3f}", f"{overall['weighted_f1']:.3f}", auroc]
    return [name, f"{overall['uar']:.3f}", interval_cell(result["interval_95"]["uar"]), folds, *figures]


def corpus_cells(corpus: str, of: dict[str, Any]) -> list[str]:
    """The row of one corpus, of a run over several."""
    uar, accuracy = f"{of['uar']:.3f}", f"{of['accuracy']:.3f}"
    return [f"  {corpus}, {of['clips']} clips", uar, interval_cell(of["interval_95"]), "", accuracy, "", ""]


def interval_cell(interval: list[float] | None) -> str:
    """`[0.412, 0.533]`, or `none`."""
    return "[{:.3f}, {:.3f}]".format(*interval) if interval else "none"
