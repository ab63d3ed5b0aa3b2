"""The files of step 4 in the results folder, from figures that `evaluation`, `significance` and others computed."""

from pathlib import Path
from typing import Any

import pandas as pd

from speechemb.artifacts import storage
from speechemb.evaluation import comparison, leakage_audit, scores, significance
from speechemb.reports.text import audit_text, classification_report, run_title
from speechemb.visualization import evaluation_figures


def run(folder: Path, result: dict[str, Any]) -> None:
    """The files of one run."""
    tag, labels = result["tag"], result["labels"]
    title = run_title(result)
    storage.write_json(folder / f"evaluation_results_{tag}.json", result)
    storage.write_text(folder / f"classification_report_{tag}.txt", classification_report(result))
    matrix = pd.DataFrame(result["confusion_matrix"], index=pd.Index(labels, name="true"), columns=labels)
    storage.write_text(folder / f"confusion_matrix_{tag}_cv.csv", matrix.to_csv(lineterminator="\n"))
    storage.write_figure(
        folder / f"confusion_matrix_{tag}_cv.png", evaluation_figures.confusion_matrix(matrix, labels, title)
    )
    curve = evaluation_figures.reliability(result["reliability"], result["calibration_error"], title)
    storage.write_figure(folder / f"reliability_{tag}.png", curve)
    if figure := evaluation_figures.fairness(result, title):
        storage.write_figure(folder / f"fairness_{tag}.png", figure)


def ranking(folder: Path, groups: list[significance.Ranked], stamp: dict[str, Any]) -> None:
    """Paired tests and ranking as tables, and as a picture where there is something to rank."""
    pairs = significance.pairs_table(groups)
    storage.write_csv(folder / "paired_tests.csv", pairs.round(6), {**stamp, "kind": "paired tests"})
    storage.write_csv(folder / "ranking.csv", significance.ranking_table(groups).round(6), {**stamp, "kind": "ranking"})
    (folder / "ranking.png").unlink(missing_ok=True)
    if tested := [group for group in groups if group.result]:
        storage.write_figure(folder / "ranking.png", evaluation_figures.ranking(tested))


def audit(folder: Path, table: pd.DataFrame, stamp: dict[str, Any]) -> None:
    """The leakage audit as table and picture, where there are runs to compare."""
    if table.empty:
        return
    storage.write_csv(folder / "audit.csv", table.round(6), {**stamp, "kind": "audit"})
    storage.write_figure(folder / "audit.png", evaluation_figures.audit(leakage_audit.named(table)))
    print(audit_text(table))


def cross_corpus(folder: Path, result: dict[str, Any]) -> None:
    """The matrix of training x test corpus as table and heat map."""
    matrix = scores.cross_corpus_matrix(result)
    path = folder / f"cross_corpus_{result['tag']}.csv"
    storage.write_text(path, matrix.round(6).to_csv(lineterminator="\n"))
    figure = evaluation_figures.cross_corpus(matrix.to_numpy(), matrix.columns.tolist(), run_title(result))
    storage.write_figure(path.with_suffix(".png"), figure)


def layer_curve(folder: Path, name: str, curve: pd.DataFrame, results: list[dict[str, Any]]) -> None:
    """UAR per layer with its interval, as table and picture."""
    used = [result for result in results if result["tag"] in set(curve["run"])]
    path = folder / f"layer_curve_{name}.csv"
    storage.write_csv(path, curve.round(6), {**comparison.stamp_of_all(used), "kind": "layer curve"})
    title = f"{name}\n{used[0]['protocol_note']}"
    storage.write_figure(path.with_suffix(".png"), evaluation_figures.layer_curve(curve, title))
