"""Step 4: what the predictions are worth.

Reads   results/predictions_*.csv (no model is loaded), data/published_figures.csv, data/CREMA-D/summaryTable.csv
Writes  results/evaluation_results_<run>.json, classification_report_<run>.txt, confusion_matrix_<run>_cv.csv and .png,
        per_class_<run>.png, reliability_<run>.png, fairness_<run>.png (gender, speakers) for every run
        results/metrics.json and comparison.csv over all runs; cross_corpus_<run>.csv and .png where there are such runs
        results/audit.csv and .png: what looser folds and known mistakes pretend, beside the speaker-disjoint run
        results/paired_tests.csv, ranking.csv and .png: runs on the same clips compared; published.csv: others' figures
        layer_curve_<run without layer>.csv and .png where three or more single layers were run (step 3's --layer each)

The headline is UAR (unweighted average recall) over all out-of-fold predictions, with a 95 % interval over speakers,
beside what guessing and the most frequent class reach. A run beats another only where a paired test says so.

Example: python src/4_evaluation_metrics.py
Ends with: wrote results/metrics.json and results/comparison.csv: 6 runs
"""

import argparse
import sys
from pathlib import Path

from speechemb import cli, paths


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--results-dir", type=Path, default=paths.RESULTS, help="the folder step 3 wrote to")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from speechemb import artifacts, audit, embeddings, evaluation, published, report, selection, significance
    from speechemb.errors import InputError

    folder = paths.output(args.results_dir)
    files = sorted(folder.glob("predictions_*.csv"))
    if not files:
        raise InputError(f"{paths.shown(folder)} holds no predictions_*.csv: run {artifacts.STEP3} first")
    # Every file is read and checked before the first result is written.
    runs = [artifacts.read_predictions(path) for path in files]
    for path, (_, stamp) in zip(files, runs, strict=True):
        embeddings.check_unchanged(path, stamp["inputs"])
    results = [evaluation.evaluate(frame, stamp) for frame, stamp in runs]
    for result in results:
        write_run(folder, result)
        if "cells" in result:
            write_cross_corpus(folder, result)

    for name, curve in selection.layer_curves(results).items():
        write_layer_curve(folder, name, curve, results)

    table = evaluation.comparison(results)
    stamp = evaluation.stamp_of_all(results)
    artifacts.write_csv(folder / "comparison.csv", table.round(6), {**stamp, "kind": "comparison"})
    artifacts.write_json(folder / "metrics.json", {**stamp, "runs": [evaluation.short(result) for result in results]})
    write_audit(folder, audit.table(results), stamp)
    tags, frames = [result["tag"] for result in results], [frame for frame, _ in runs]
    groups = significance.ranked(table, dict(zip(tags, frames, strict=True)))
    write_ranking(folder, groups, stamp)
    figures = published.beside(results, published.read())
    artifacts.write_csv(folder / "published.csv", figures, {**stamp, "kind": "published figures"})
    print(report.comparison_table(table))
    print(*report.human_lines(results), report.ranking_text(groups), report.published_text(figures), sep="\n")
    print(f"wrote {paths.shown(folder)}/metrics.json and {paths.shown(folder)}/comparison.csv: {len(results)} runs")


def write_run(folder: Path, result: dict) -> None:
    """The files of one run."""
    import pandas as pd

    from speechemb import artifacts, plots, report

    tag, labels = result["tag"], result["labels"]
    title = report.title(result)
    artifacts.write_json(folder / f"evaluation_results_{tag}.json", result)
    artifacts.write_text(folder / f"classification_report_{tag}.txt", report.classification_report(result))
    matrix = pd.DataFrame(result["confusion_matrix"], index=pd.Index(labels, name="true"), columns=labels)
    artifacts.write_text(folder / f"confusion_matrix_{tag}_cv.csv", matrix.to_csv(lineterminator="\n"))
    artifacts.write_figure(folder / f"confusion_matrix_{tag}_cv.png", plots.confusion_matrix(matrix, labels, title))
    bars = plots.class_bars(result["per_class"], result["chance_uar"], title)
    artifacts.write_figure(folder / f"per_class_{tag}.png", bars)
    curve = plots.reliability(result["reliability"], result["calibration_error"], title)
    artifacts.write_figure(folder / f"reliability_{tag}.png", curve)
    if figure := plots.fairness(result, title):
        artifacts.write_figure(folder / f"fairness_{tag}.png", figure)


def write_ranking(folder: Path, groups: list, stamp: dict) -> None:
    """Paired tests and ranking as tables, and as a picture where there is something to rank."""
    from speechemb import artifacts, plots, significance

    pairs = significance.paired_tests(groups)
    artifacts.write_csv(folder / "paired_tests.csv", pairs.round(6), {**stamp, "kind": "paired tests"})
    artifacts.write_csv(folder / "ranking.csv", significance.ranking(groups).round(6), {**stamp, "kind": "ranking"})
    (folder / "ranking.png").unlink(missing_ok=True)
    if tested := [group for group in groups if group.result]:
        artifacts.write_figure(folder / "ranking.png", plots.ranking(tested))


def write_audit(folder: Path, table, stamp: dict) -> None:
    """The leakage audit as table and picture, where there are runs to compare."""
    from speechemb import artifacts, plots, report

    if table.empty:
        return
    artifacts.write_csv(folder / "audit.csv", table.round(6), {**stamp, "kind": "audit"})
    artifacts.write_figure(folder / "audit.png", plots.audit(table))
    print(report.audit(table))


def write_cross_corpus(folder: Path, result: dict) -> None:
    """The matrix of training x test corpus as table and heat map."""
    from speechemb import artifacts, evaluation, plots, report

    matrix = evaluation.cross_corpus_matrix(result)
    path = folder / f"cross_corpus_{result['tag']}.csv"
    artifacts.write_text(path, matrix.round(6).to_csv(lineterminator="\n"))
    figure = plots.cross_corpus(matrix.to_numpy(), matrix.columns.tolist(), report.title(result))
    artifacts.write_figure(path.with_suffix(".png"), figure)


def write_layer_curve(folder: Path, name: str, curve, results: list[dict]) -> None:
    """UAR per layer with its interval, as table and picture."""
    from speechemb import artifacts, evaluation, plots

    used = [result for result in results if result["tag"] in set(curve["run"])]
    path = folder / f"layer_curve_{name}.csv"
    artifacts.write_csv(path, curve.round(6), {**evaluation.stamp_of_all(used), "kind": "layer curve"})
    title = f"{name}\n{used[0]['protocol_note']}"
    artifacts.write_figure(path.with_suffix(".png"), plots.layer_curve(curve, title))


if __name__ == "__main__":
    sys.exit(cli.run(main))
