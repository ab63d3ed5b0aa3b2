"""Step 4: what the predictions are worth.

Reads   results/predictions_*.csv (no model is loaded), data/published_figures.csv, data/CREMA-D/summaryTable.csv
Writes  results/evaluation_results_<run>.json, classification_report_<run>.txt, confusion_matrix_<run>_cv.csv and .png,
        reliability_<run>.png, fairness_<run>.png (gender, speakers) for every run
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
    from speechemb import paths
    from speechemb.artifacts import embeddings, predictions, storage
    from speechemb.errors import InputError
    from speechemb.evaluation import comparison, leakage_audit, literature, scores, significance
    from speechemb.reports import outputs
    from speechemb.reports.text import comparison_table, human_lines, published_text, ranking_text

    folder = paths.output(args.results_dir)
    files = sorted(folder.glob("predictions_*.csv"))
    if not files:
        raise InputError(f"{paths.shown(folder)} holds no predictions_*.csv: run {paths.STEP3} first")
    # Every file is read and checked before the first result is written.
    runs = [predictions.read_predictions(path) for path in files]
    for path, (_, stamp) in zip(files, runs, strict=True):
        embeddings.check_unchanged(path, stamp["inputs"])
    results = [scores.evaluate(frame, stamp) for frame, stamp in runs]
    for result in results:
        outputs.run(folder, result)
        if "cells" in result:
            outputs.cross_corpus(folder, result)

    for name, curve in comparison.layer_curves(results).items():
        outputs.layer_curve(folder, name, curve, results)

    table = comparison.table(results)
    stamp = comparison.stamp_of_all(results)
    storage.write_csv(folder / "comparison.csv", table.round(6), {**stamp, "kind": "comparison"})
    storage.write_json(folder / "metrics.json", {**stamp, "runs": [comparison.short(result) for result in results]})
    outputs.audit(folder, leakage_audit.table(results), stamp)
    tags, frames = [result["tag"] for result in results], [frame for frame, _ in runs]
    groups = significance.ranked(table, dict(zip(tags, frames, strict=True)))
    outputs.ranking(folder, groups, stamp)
    figures = literature.beside(results, literature.read())
    storage.write_csv(folder / "published.csv", figures, {**stamp, "kind": "published figures"})
    print(comparison_table(table))
    texts = [*human_lines(results), ranking_text(groups), published_text(figures)]
    print(*filter(None, texts), sep="\n")
    print(f"wrote {paths.shown(folder)}/metrics.json and {paths.shown(folder)}/comparison.csv: {len(results)} runs")


if __name__ == "__main__":
    sys.exit(cli.run(main))
