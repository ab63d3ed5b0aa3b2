"""What step 4 writes and says of runs on numbers: JSON, tables, scatter pictures, and the report's section."""

from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import storage
from speechemb.evaluation.comparison import run_words, settings_words
from speechemb.evaluation.regression import BLOCK, EvaluatedRegression
from speechemb.labels import display_corpora
from speechemb.reports.outputs import Output, rounded
from speechemb.terminal import aligned
from speechemb.visualization import charts, regression_figures

HEAD = ("run", "CCC [95 %]", "mean of folds", "Pearson", "RMSE [95 %]", "verdict on CCC")


def write(
    out: Output, runs: list[EvaluatedRegression], table: pd.DataFrame, pairs: pd.DataFrame, stamp: dict[str, Any]
) -> None:
    """The files of all runs; none where there are no runs."""
    if not runs:
        return
    for run in runs:
        name = run.result["name"]
        storage.write_json(out.folder / f"evaluation_regression_{name}.json", run.result, out.files)
        out.picture(f"scatter_{name}.png", regression_figures.scatter(_panels(run), run_words(run.result)))
    out.csv("regression.csv", rounded(table), stamp, "regression comparison")
    out.csv("paired_tests_regression.csv", rounded(pairs), stamp, "paired tests of regressions")
    out.text("regression.md", markdown(table))


def _panels(run: EvaluatedRegression) -> list[regression_figures.Panel]:
    found = []
    for target, of in run.result["targets"].items():
        true, predicted = (run.predictions[f"{kind}_{target}"].to_numpy(float) for kind in ("true", "predicted"))
        found.append(regression_figures.Panel(f"{target}: CCC {_with_span(of, 'ccc')}", true, predicted))
    return found


def _with_span(of: dict[str, Any], name: str) -> str:
    span = of["interval_95"][name]
    return f"{of[name]:.3f} [{f'{span[0]:.3f}, {span[1]:.3f}' if span else 'no interval'}]"


def sections(runs: list[EvaluatedRegression], table: pd.DataFrame) -> list[dict[str, Any]]:
    """For the report: a table per corpora, target and protocol, and the scatter of its best run as a chart."""
    of = {run.result["name"]: run for run in runs}
    found = []
    for _, rows in table.groupby(list(BLOCK), sort=False):
        best, target = rows.iloc[0][["run", "target"]]
        data = of[best].predictions
        chart = charts.scatter(data[f"true_{target}"].to_numpy(), data[f"predicted_{target}"].to_numpy(), target)
        caption = _caption(rows)
        title = f"{target}: the run with the highest CCC, {best}"
        found.append({"caption": caption, "title": title, "head": HEAD, "rows": _cells(rows), "chart": chart})
    return found


def _caption(rows: pd.DataFrame) -> str:
    """What comparable rows share, and the error of a constant."""
    one = rows.iloc[0]
    mean = f"RMSE of always predicting the mean {one['rmse_of_mean']:.3f}"
    what = f"{display_corpora(one['corpora'].split('+'))}, {one['target']}, {one['protocol']}"
    return f"{what}: {one['clips']} clips, {one['speakers']} speakers; {mean}"


def _cells(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    cells = []
    for row in rows.to_dict("records"):
        spans = {
            name: "no interval"
            if np.isnan(row[f"{name}_low"])
            else f"{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}"
            for name in ("ccc", "rmse")
        }
        folds = f"{row['ccc_fold_mean']:.3f}"
        if row["ccc_fold_std"] is not None and not np.isnan(row["ccc_fold_std"]):
            folds += f" ± {row['ccc_fold_std']:.3f}"
        name = settings_words(row) + (f" ({row['note']})" if row["note"] else "")
        ccc, rmse = (f"{row[metric]:.3f} [{spans[metric]}]" for metric in ("ccc", "rmse"))
        cells.append((name, ccc, folds, f"{row['pearson']:.3f}", rmse, row["verdict"]))
    return cells


def markdown(table: pd.DataFrame) -> str:
    """A heading and a table for each set of comparable runs."""
    parts = []
    for _, rows in table.groupby(list(BLOCK), sort=False):
        lines = [HEAD, ("---",) * len(HEAD), *_cells(rows)]
        cells = (" | ".join(cell.replace("|", r"\|") for cell in line) for line in lines)
        caption = _caption(rows)
        parts.append(f"### {caption}\n\n" + "".join(f"| {line} |\n" for line in cells))
    return "\n".join(parts)


def text(table: pd.DataFrame) -> str:
    """The same for the terminal; empty without runs."""
    lines = []
    for _, rows in table.groupby(list(BLOCK), sort=False):
        lines.append(_caption(rows))
        lines += [f"  {line}" for line in aligned([list(row) for row in _cells(rows)], list(HEAD))]
    return "\n".join(lines)
