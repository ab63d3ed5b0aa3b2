"""Step 4: evaluate the predictions.

Reads   results/predictions_*.csv (no model is loaded), data/published_figures.csv, data/CREMA-D/summaryTable.csv
Writes, into results/,
        for every run: evaluation_results_<run>.json, classification_report_<run>.txt,
        confusion_matrix_<run>_cv.csv and .png, reliability_<run>.png, fairness_<run>.png (UAR by gender and speaker)
        for all runs: metrics.json, comparison.csv; published.csv: published figures and whether they are comparable
        paired_tests.csv, ranking.csv and .png: comparable runs on the same clips, with significance tests
        audit.csv and .png: how much UAR looser folds and deliberate leakage add to a speaker-independent run
        cross_corpus_<run>.csv and .png: UAR of each pair of training and test corpus, for cross-corpus runs
        layer_curve_<run without layer>.csv and .png: UAR by layer, where three or more single layers were run

The main metric is UAR (unweighted average recall) over all out-of-fold predictions, with a 95 % interval over speakers,
beside chance and the majority class. One run is called better than another only where a paired test finds a significant
difference.

Example: python src/4_evaluation_metrics.py
Ends with: wrote results/metrics.json and results/comparison.csv: 6 runs
"""

import argparse
import sys
from pathlib import Path

from speechemb import cli, paths
from speechemb.errors import InputError


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--results-dir", type=Path, default=paths.RESULTS, help="the folder step 3 wrote to")
    return cli.parsed(parser, argv, __file__)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from speechemb.artifacts import atomic, storage
    from speechemb.evaluation import comparison, counts, leakage_audit, literature, scores, significance
    from speechemb.reports import outputs, text

    folder = paths.output(args.results_dir)
    runs = read_runs(folder)
    counted = [counts.count(predictions, stamp["labels"]) for predictions, stamp in runs]
    results = [scores.evaluate(one, stamp) for one, (_, stamp) in zip(counted, runs, strict=True)]
    table, stamp = comparison.runs_table(results), comparison.stamp_of(results)
    audit = leakage_audit.audit_table(results)
    tags = [result["tag"] for result in results]
    comparables = significance.compare(table, dict(zip(tags, counted, strict=True)))
    figures = literature.compare_figures(results, literature.read_figures())
    with atomic.together() as files:
        for result in results:
            outputs.write_run(folder, result, files)
        for name, curve in comparison.layer_curves(results).items():
            outputs.write_layer_curve(folder, name, curve, results, files)
        outputs.write_audit(folder, audit, stamp, files)
        outputs.write_paired_tests(folder, comparables, stamp, files)
        storage.write_csv(folder / "published.csv", figures, {**stamp, "kind": "published figures"}, files)
        storage.write_csv(folder / "comparison.csv", table.round(6), {**stamp, "kind": "comparison"}, files)
        outputs.write_summary(folder, results, stamp, files)

    texts = [text.audit_text(audit), text.comparison_text(table), *text.listener_lines(results)]
    texts += [text.ranking_text(comparables), text.published_text(figures)]
    print(*filter(None, texts), sep="\n")
    print(f"wrote {paths.shown(folder)}/metrics.json and {paths.shown(folder)}/comparison.csv: {len(results)} runs")


def read_runs(folder: Path) -> list[tuple]:
    """Every predictions file of the folder with its provenance; all are checked before the first result is written."""
    from speechemb.artifacts import freshness, predictions

    files = sorted(folder.glob("predictions_*.csv"))
    if not files:
        raise InputError(f"{paths.shown(folder)} holds no predictions_*.csv: run {paths.STEP3} first")
    runs = [predictions.read_predictions(path) for path in files]
    for path in files:
        freshness.check_upstream(path, paths.STEP3)
    return runs


if __name__ == "__main__":
    sys.exit(cli.run(main))
