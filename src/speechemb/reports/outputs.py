"""The files that step 4 writes into the results folder, from figures that `evaluation` computed."""

from pathlib import Path
from typing import Any

import pandas as pd

from speechemb.artifacts import storage
from speechemb.artifacts.atomic import Together
from speechemb.evaluation import comparison, leakage_audit, scores, significance
from speechemb.evaluation.mistakes import mistakes
from speechemb.reports import tables
from speechemb.reports.text import calibration_title, classification_report, run_title
from speechemb.visualization import evaluation_figures

# What the names of step 4's files begin with.
OWN = (
    "evaluation_results_",
    "classification_report_",
    "confusion_matrix_",
    "reliability_",
    "fairness_",
    "mistakes_",
    "cross_corpus_",
    "layer_curve_",
    "comparison.",
    "paired_tests.",
    "ranking.",
    "audit.",
    "published.",
)


def write_figures(folder: Path, result: dict[str, Any], files: Together) -> None:
    """The figures of one run, for programs."""
    storage.write_json(folder / f"evaluation_results_{result['name']}.json", result, files)


def write_run(folder: Path, run: scores.Evaluated, files: Together) -> None:
    """The files of one run, pictures included."""
    result = run.result
    name, labels, title = result["name"], result["labels"], run_title(result)
    write_figures(folder, result, files)
    wrong = mistakes(run.predictions, labels).round(6)
    storage.write_text(folder / f"mistakes_{name}.csv", wrong.to_csv(index=False, lineterminator="\n"), files)
    storage.write_text(folder / f"classification_report_{name}.txt", classification_report(result), files)
    matrix = pd.DataFrame(result["confusion_matrix"], index=pd.Index(labels, name="true"), columns=pd.Index(labels))
    storage.write_text(folder / f"confusion_matrix_{name}_cv.csv", matrix.to_csv(lineterminator="\n"), files)
    heat_map = evaluation_figures.confusion_matrix(matrix.to_numpy(), labels, title)
    storage.write_figure(folder / f"confusion_matrix_{name}_cv.png", heat_map, files)
    diagram = evaluation_figures.reliability(result["reliability"], calibration_title(result), title)
    storage.write_figure(folder / f"reliability_{name}.png", diagram, files)
    if result["by_speaker"]:
        storage.write_figure(folder / f"fairness_{name}.png", evaluation_figures.fairness(result, title), files)


def write_comparison(folder: Path, table: pd.DataFrame, stamp: dict[str, Any], files: Together) -> None:
    """The comparison table of all runs: every column as CSV, the main ones as Markdown and LaTeX."""
    storage.write_csv(folder / "comparison.csv", table.round(6), {**stamp, "kind": "comparison"}, files)
    storage.write_text(folder / "comparison.md", tables.markdown(table), files)
    storage.write_text(folder / "comparison.tex", tables.latex(table), files)


def write_cross_corpus(folder: Path, results: list[dict[str, Any]], files: Together) -> None:
    """The matrix of training x test corpus of each cross-corpus run, as table and heat map."""
    for tag, matrix in scores.cross_corpus_matrices(results).items():
        path = folder / f"cross_corpus_{tag}.csv"
        storage.write_text(path, matrix.round(6).to_csv(lineterminator="\n"), files)
        names = [str(name) for name in matrix.columns]
        notes = {comparison.note_of(result) for result in results if result["tag"] == tag} - {""}
        title = "\n".join([tag, "UAR of each direction, over all clips of the corpus tested on", *sorted(notes)])
        figure = evaluation_figures.cross_corpus(matrix.to_numpy(), names, title)
        storage.write_figure(path.with_suffix(".png"), figure, files)


def write_layer_curve(
    folder: Path, name: str, curve: pd.DataFrame, results: list[dict[str, Any]], files: Together
) -> None:
    """UAR by layer with its interval, as table and picture."""
    used = [result for result in results if result["name"] in set(curve["run"])]
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
    pairs, ranking = (
        rounded(table) for table in (significance.pairs_table(comparables), significance.ranking_table(comparables))
    )
    storage.write_csv(folder / "paired_tests.csv", pairs, {**stamp, "kind": "paired tests"}, files)
    storage.write_csv(folder / "ranking.csv", ranking, {**stamp, "kind": "ranking"}, files)
    if comparables:
        panels = [ranking_panel(runs) for runs in comparables]
        storage.write_figure(folder / "ranking.png", evaluation_figures.ranking(panels), files)


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Figures with 6 decimals, p-values with 6 digits: a p is small, but never 0."""
    digits = {name: table[name].map(lambda p: float(f"{p:.6g}")) for name in ("p", "p_holm") if name in table}
    return table.round(6).assign(**digits)


def ranking_panel(runs: significance.Comparable) -> evaluation_figures.RankingPanel:
    """Comparable runs as their picture takes them."""
    why = significance.impossible(runs.units, runs.unit, 1, runs.why_not)
    against = f"against {next(iter(runs.families))}" if len(runs.families) == 1 else "each against its reference"
    basis = f"no verdict possible: {why}" if why else against if runs.families else "no reference, no verdicts"
    shared = runs.shared
    return evaluation_figures.RankingPanel(
        title=f"{shared['corpora']}, {shared['classes']} classes, {shared['protocol']}: {basis}",
        names=[run["name"] for run in runs.runs],
        uar=[run["uar"] for run in runs.runs],
        intervals=[(run["uar_low"], run["uar_high"]) for run in runs.runs],
        verdicts=[significance.verdict_of(runs, run["name"]).split(":")[0] for run in runs.runs],
    )


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
