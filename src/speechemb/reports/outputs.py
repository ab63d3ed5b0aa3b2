"""The files that step 4 writes into the results folder, from figures that `evaluation` computed."""

from pathlib import Path
from typing import Any

import pandas as pd

from speechemb.artifacts import storage
from speechemb.artifacts.atomic import Together
from speechemb.evaluation import comparison, leakage_audit, scores, significance
from speechemb.reports.text import classification_report, run_title
from speechemb.visualization import evaluation_figures

# What the names of step 4's files begin with.
OWN = (
    "evaluation_results_",
    "classification_report_",
    "confusion_matrix_",
    "reliability_",
    "fairness_",
    "cross_corpus_",
    "layer_curve_",
    "comparison.",
    "paired_tests.",
    "ranking.",
    "audit.",
    "published.",
)


def write_run(folder: Path, result: dict[str, Any], files: Together) -> None:
    """The files of one run."""
    tag, labels, title = result["tag"], result["labels"], run_title(result)
    storage.write_json(folder / f"evaluation_results_{tag}.json", result, files)
    storage.write_text(folder / f"classification_report_{tag}.txt", classification_report(result), files)
    matrix = pd.DataFrame(result["confusion_matrix"], index=pd.Index(labels, name="true"), columns=labels)
    storage.write_text(folder / f"confusion_matrix_{tag}_cv.csv", matrix.to_csv(lineterminator="\n"), files)
    heat_map = evaluation_figures.confusion_matrix(matrix.to_numpy(), labels, title)
    storage.write_figure(folder / f"confusion_matrix_{tag}_cv.png", heat_map, files)
    diagram = evaluation_figures.reliability(result["reliability"], result["calibration_error"], title)
    storage.write_figure(folder / f"reliability_{tag}.png", diagram, files)
    if result["by_speaker"]:
        storage.write_figure(folder / f"fairness_{tag}.png", evaluation_figures.fairness(result, title), files)
    if "cells" in result:
        write_cross_corpus(folder, result, files)


def write_cross_corpus(folder: Path, result: dict[str, Any], files: Together) -> None:
    """The matrix of training x test corpus as table and heat map."""
    matrix = scores.cross_corpus_matrix(result)
    path = folder / f"cross_corpus_{result['tag']}.csv"
    storage.write_text(path, matrix.round(6).to_csv(lineterminator="\n"), files)
    figure = evaluation_figures.cross_corpus(matrix.to_numpy(), matrix.columns.tolist(), run_title(result))
    storage.write_figure(path.with_suffix(".png"), figure, files)


def write_layer_curve(
    folder: Path, name: str, curve: pd.DataFrame, results: list[dict[str, Any]], files: Together
) -> None:
    """UAR by layer with its interval, as table and picture."""
    used = [result for result in results if result["tag"] in set(curve["run"])]
    path = folder / f"layer_curve_{name}.csv"
    storage.write_csv(path, curve.round(6), {**comparison.stamp_of(used), "kind": "layer curve"}, files)
    title = f"{name}\n{used[0]['protocol_note']}"
    storage.write_figure(path.with_suffix(".png"), evaluation_figures.layer_curve(curve, title), files)


def write_audit(folder: Path, table: pd.DataFrame, stamp: dict[str, Any], files: Together) -> None:
    """The leakage audit as table and picture, where there are runs to compare."""
    if not table.empty:
        storage.write_csv(folder / "audit.csv", table.round(6), {**stamp, "kind": "audit"}, files)
        storage.write_figure(folder / "audit.png", evaluation_figures.audit(leakage_audit.with_titles(table)), files)


def write_paired_tests(
    folder: Path, comparables: list[significance.Comparable], stamp: dict[str, Any], files: Together
) -> None:
    """Paired tests and ranking as tables, and as a picture where there is something to rank."""
    pairs, ranking = significance.pairs_table(comparables), significance.ranking_table(comparables)
    storage.write_csv(folder / "paired_tests.csv", pairs.round(6), {**stamp, "kind": "paired tests"}, files)
    storage.write_csv(folder / "ranking.csv", ranking.round(6), {**stamp, "kind": "ranking"}, files)
    panels = [_ranking_panel(runs) for runs in comparables if runs.runs]
    if panels:
        storage.write_figure(folder / "ranking.png", evaluation_figures.ranking(panels), files)


def write_summary(folder: Path, results: list[dict[str, Any]], stamp: dict[str, Any], files: Together) -> None:
    """`metrics.json`, to be called last: it lists every file that was written, and those of runs that are gone go."""
    written = files.hashes(folder)
    for name in _written_before(folder) - set(written):
        files.remove(folder / name)
    summaries = [comparison.without_details(result) for result in results]
    storage.write_json(folder / "metrics.json", {**stamp, "files": written, "runs": summaries}, files)


def _written_before(folder: Path) -> set[str]:
    """The files that step 4 wrote the last time, as far as `metrics.json` can be trusted to say so."""
    try:
        listed = storage.read_json(folder / "metrics.json", "metrics", remedy="")["files"]
    except (storage.ArtifactError, KeyError):
        return set()
    # A folder may come from elsewhere: whatever its list says, only files of step 4 are removed.
    return {name for name in listed if name.startswith(OWN)}


def _ranking_panel(runs: significance.Comparable) -> tuple[str, list[str], list[float], list[tuple[float, float]]]:
    """Title, runs, UARs and intervals of comparable runs, as their picture takes them."""
    title = f"{runs.corpora}, {runs.classes} classes, {runs.protocol}: {runs.basis}"
    names = [run["name"] for run in runs.runs]
    return title, names, [run["value"] for run in runs.runs], [runs.intervals[name] for name in names]
