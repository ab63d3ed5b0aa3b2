"""The files that step 4 writes into the results folder, from figures that `evaluation` computed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import storage
from speechemb.artifacts.atomic import Together
from speechemb.evaluation import comparison, leakage_audit, scores, significance
from speechemb.evaluation.mistakes import mistakes
from speechemb.labels import display_corpora
from speechemb.reports import tables
from speechemb.reports.text import calibration_title, cell_words, classification_report, run_title
from speechemb.visualization import comparison_figures, evaluation_figures

# The files in results/<run>/.
IN_FOLDER = {
    "mistakes.csv",
    *(f"{name}.{kind}" for name in ("reliability", "fairness") for kind in ("png", "pdf", "svg")),
}
# What the names of step 4's files begin with; the three after `confusion_matrix_` are of earlier versions.
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
    "probes.",
    "regression.",
    "evaluation_regression_",
    "scatter_",
    "paired_tests_regression.",
    "report.html",
)


@dataclass(frozen=True)
class Output:
    """The results folder, the files that appear in it together, and a second format of its pictures."""

    folder: Path
    files: Together
    vector: str = ""  # pdf, svg or none

    def text(self, name: str, text: str) -> None:
        """UTF-8 text."""
        storage.write_text(self.folder / name, text, self.files)

    def csv(self, name: str, table: pd.DataFrame, stamp: dict[str, Any], kind: str) -> None:
        """A CSV with its sidecar."""
        storage.write_csv(self.folder / name, table, {**stamp, "kind": kind}, self.files)

    def picture(self, name: str, figure: Any) -> None:
        """PNG, and the second format beside it."""
        storage.write_figure(self.folder / name, figure, self.files, self.vector)


def write_runs(out: Output, runs: list[scores.Evaluated], of_curves: set[str]) -> None:
    """The files of every run; of the points of a layer curve the figures only: they have one picture, the curve."""
    for run in runs:
        write_figures(out, run.result)
        if run.result["name"] not in of_curves:
            write_run(out, run)


def write_figures(out: Output, result: dict[str, Any]) -> None:
    """The figures of one run, for programs."""
    storage.write_json(out.folder / f"evaluation_results_{result['name']}.json", result, out.files)


def write_run(out: Output, run: scores.Evaluated) -> None:
    """The tables and pictures of one run."""
    result = run.result
    name, labels, title = result["name"], result["labels"], run_title(result)
    wrong = mistakes(run.predictions, labels).round(6)
    out.text(f"{name}/mistakes.csv", wrong.to_csv(index=False, lineterminator="\n"))
    out.text(f"classification_report_{name}.txt", classification_report(result))
    matrix = pd.DataFrame(result["confusion_matrix"], index=pd.Index(labels, name="true"), columns=pd.Index(labels))
    out.text(f"confusion_matrix_{name}_cv.csv", matrix.to_csv(lineterminator="\n"))
    heat_map = evaluation_figures.confusion_matrix(matrix.to_numpy(), labels, title)
    out.picture(f"confusion_matrix_{name}_cv.png", heat_map)
    diagram = evaluation_figures.reliability(result["reliability"], calibration_title(result), title)
    out.picture(f"{name}/reliability.png", diagram)
    if result["by_speaker"]:
        out.picture(f"{name}/fairness.png", evaluation_figures.fairness(result, title))


def write_comparison(out: Output, table: pd.DataFrame, stamp: dict[str, Any]) -> None:
    """The comparison table of all runs: every column as CSV, the main ones as Markdown and LaTeX."""
    out.csv("comparison.csv", table.round(6), stamp, "comparison")
    out.text("comparison.md", tables.markdown(table))
    out.text("comparison.tex", tables.latex(table))


def write_cross_corpus(out: Output, results: list[dict[str, Any]]) -> None:
    """The matrix of training x test corpus of each cross-corpus run, as table and heat map."""
    for tag, cells in scores.cross_corpus_cells(results).items():
        one = next(iter(cells.values()))
        matrix = scores.cross_corpus_matrix(cells, one["corpora"])
        out.text(f"cross_corpus_{tag}.csv", matrix.round(6).to_csv(lineterminator="\n"))
        words = [[cell_words(cells.get((train, test))) for test in one["corpora"]] for train in one["corpora"]]
        notes = {comparison.note_of(result) for result in cells.values()} - {""}
        within = "diagonal: speaker-independent folds within the corpus, where run"
        what = comparison.settings_words(comparison.run_row(one))
        title = "\n".join([what, f"UAR, 95 % interval, clips; {within}", *sorted(notes)])
        figure = comparison_figures.cross_corpus(matrix.to_numpy(), np.array(words), one["corpora"], title)
        out.picture(f"cross_corpus_{tag}.png", figure)


def write_layer_curves(out: Output, curves: dict[str, pd.DataFrame], results: list[dict[str, Any]]) -> None:
    """UAR by layer with its interval, as table and picture, of each curve of `comparison.layer_curves`."""
    for name, curve in curves.items():
        write_layer_curve(out, name, curve, results)


def write_layer_curve(out: Output, name: str, curve: pd.DataFrame, results: list[dict[str, Any]]) -> None:
    """UAR by layer with its interval, as table and picture."""
    used = [result for result in results if result["name"] in set(curve["run"])]
    one = used[0]
    out.csv(f"layer_curve_{name}.csv", curve.round(6), comparison.stamp_of(used), "layer curve")
    what = f"{display_corpora(one['corpora'])}, {len(one['labels'])} classes, {one['encoder']['tag']}"
    what += f" {'+'.join(one['pooling'])}, {one['classifier']}: {one['clips']} clips, {one['speakers']} speakers"
    figure = comparison_figures.layer_curve(curve, f"{what}\n{one['protocol_note']}")
    out.picture(f"layer_curve_{name}.png", figure)


def write_audit(out: Output, table: pd.DataFrame, stamp: dict[str, Any]) -> None:
    """The leakage audit as table and picture, where there are runs to compare."""
    if not table.empty:
        out.csv("audit.csv", table.round(6), stamp, "audit")
        out.picture("audit.png", comparison_figures.audit(leakage_audit.with_titles(table)))


def write_paired_tests(
    out: Output, comparables: list[significance.Comparable], results: list[dict[str, Any]], stamp: dict[str, Any]
) -> None:
    """Paired tests and ranking as tables, and as a picture where there is something to rank."""
    pairs, ranking = (
        rounded(table) for table in (significance.pairs_table(comparables), significance.ranking_table(comparables))
    )
    out.csv("paired_tests.csv", pairs, stamp, "paired tests")
    out.csv("ranking.csv", ranking, stamp, "ranking")
    if comparables:
        of = {result["name"]: result for result in results}
        panels = [ranking_panel(runs, [of[run["name"]] for run in runs.runs]) for runs in comparables]
        out.picture("ranking.png", comparison_figures.ranking(panels))


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Figures with 6 decimals, p-values with 6 digits: a p is small, but never 0."""
    digits = {name: table[name].map(lambda p: float(f"{p:.6g}")) for name in ("p", "p_holm") if name in table}
    return table.round(6).assign(**digits)


def ranking_panel(runs: significance.Comparable, results: list[dict[str, Any]]) -> comparison_figures.RankingPanel:
    """Comparable runs as their picture takes them; `results` are their evaluations in the same order."""
    why = significance.impossible(runs.units, runs.unit, 1, runs.why_not)
    names = comparison.short_names(results)
    references = [names.get(reference, reference) for reference in runs.families]
    against = f"against {references[0]}" if len(references) == 1 else "each against its reference"
    basis = f"no verdict possible: {why}" if why else against if references else "no reference, no verdicts"
    what = f"{comparison.block_words(runs.shared)}, {runs.clips} clips, {runs.units} {runs.unit}"
    return comparison_figures.RankingPanel(
        title=f"{what}\n{basis}",
        names=[names[run["name"]] for run in runs.runs],
        uar=[run["uar"] for run in runs.runs],
        intervals=[(run["uar_low"], run["uar_high"]) for run in runs.runs],
        verdicts=[significance.verdict_of(runs, run["name"]).split(":")[0] for run in runs.runs],
        chance=results[0]["chance_uar"],
    )


def write_summary(out: Output, results: list[dict[str, Any]], stamp: dict[str, Any]) -> None:
    """`metrics.json`, to be called last: it lists every file that was written, and those of runs that are gone go."""
    written, before = out.files.hashes(out.folder), _written_before(out.folder)
    runs = [result["name"] for result in results]
    for name in before - set(written):
        out.files.remove(out.folder / name)
    for run in {*runs, *_runs_of(before)}:
        folder = out.folder / run
        for name in IN_FOLDER - set(out.files.hashes(folder)):
            out.files.remove(folder / name)
        out.files.remove(folder)  # only if it is then empty
    in_folders = {run: files for run in runs if (files := out.files.hashes(out.folder / run))}
    summaries = [comparison.without_details(result) for result in results]
    found = {**stamp, "files": written, "run_files": in_folders, "runs": summaries}
    storage.write_json(out.folder / "metrics.json", found, out.files)


def _written_before(folder: Path) -> set[str]:
    """The files that step 4 wrote the last time, as far as `metrics.json` can be trusted to say so."""
    try:
        listed = storage.read_json(folder / "metrics.json", "metrics", remedy="")["files"]
    except (storage.ArtifactError, KeyError):
        return set()
    # A folder may come from elsewhere: whatever its list says, only files of step 4 are removed.
    return {name for name in listed if name.startswith(OWN)}


def _runs_of(names: set[str]) -> set[str]:
    """The runs that have their figures among these files."""
    begin, end = "evaluation_results_", ".json"
    return {name[len(begin) : -len(end)] for name in names if name.startswith(begin) and name.endswith(end)} - {""}
