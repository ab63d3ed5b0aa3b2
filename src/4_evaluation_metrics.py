"""Step 4: evaluate the predictions.

Reads   results/predictions_*.csv (no model is loaded), data/published_figures.csv, data/encoder_training.csv,
        data/CREMA-D/summaryTable.csv
Writes, into results/,
        for every run (of cross-corpus runs: for every direction): evaluation_results_<run>.json,
        classification_report_<run>.txt, confusion_matrix_<run>_cv.csv and .png, reliability_<run>.png,
        fairness_<run>.png (UAR by gender and speaker), mistakes_<run>.csv (the wrong answers, the surest first); for
        the points of a layer curve only the first
        for all runs: metrics.json; comparison.csv, .md and .tex; published.csv: published figures and whether they are
        comparable
        paired_tests.csv, ranking.csv and .png: comparable runs on the same clips, tested against a reference
        audit.csv and .png: how much UAR looser folds and deliberate leakage add to a speaker-independent run
        cross_corpus_<run>.csv and .png: UAR of each pair of training and test corpus, for cross-corpus runs
        layer_curve_<run without layer>.csv and .png: UAR by layer, where three or more single layers were run

The main metric is UAR (unweighted average recall), pooled over all out-of-fold predictions, with a 95 % interval over
speakers, beside the mean over folds, chance and the majority class. A run is called better than its reference only
where a paired test, corrected for all runs with that reference, finds a significant difference. All other pairs are
exploratory: they have a raw p and no verdict. A warning names each encoder that was trained on
a corpus that it is tested on.

Example: python src/4_evaluation_metrics.py
Ends with: wrote results/metrics.json and results/comparison.csv: 6 runs
"""

import argparse
import sys
from pathlib import Path

from speechemb import cli, paths, terminal
from speechemb.errors import InputError


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--results-dir", type=Path, default=paths.RESULTS, help="the folder step 3 wrote to")
    parser.add_argument(
        "--reference",
        metavar="RUN",
        help="the run that all comparable ones are tested against (default: for each, the acoustic baseline with the "
        "same classifier, tuning, seed and copies)",
    )
    parser.add_argument(
        "--fuse",
        nargs="+",
        metavar="RUN",
        help="also evaluate the mean of the out-of-fold probabilities of these runs (equal weights), as one more run",
    )
    cli.add_figures(parser)
    return cli.parsed(parser, argv, __file__)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from speechemb.artifacts import atomic
    from speechemb.evaluation import comparison, late_fusion, leakage_audit, literature, scores, significance
    from speechemb.reports import outputs, tables, text
    from speechemb.visualization import style

    folder = paths.output(args.results_dir)
    read = read_runs(folder)
    if args.fuse:
        read.append(late_fusion.mean_of(read, args.fuse))
    watched = terminal.bar(read, "runs", title="evaluating")
    runs = [run for predictions, stamp in watched for run in scores.evaluated(predictions, stamp)]
    results = [run.result for run in runs]
    table, stamp = comparison.runs_table(results), comparison.stamp_of(results, args.command)
    curves = comparison.layer_curves(results)
    of_curves = comparison.runs_of_curves(curves)
    comparables = significance.compare(runs, of_curves, args.reference or "")
    audit, alone = leakage_audit.audit_table(results)
    figures = literature.compare_figures(results, literature.read_figures())
    for line in filter(None, [*text.warnings(results), style.use_fonts_for(text.words_of(results))]):
        cli.log.warning("%s", line)
    with atomic.together() as files:
        out = outputs.Output(folder, files, args.figures or "")
        outputs.write_runs(out, terminal.bar(runs, "runs", title="writing"), of_curves)
        for name, curve in curves.items():
            outputs.write_layer_curve(out, name, curve, results)
        outputs.write_cross_corpus(out, results)
        outputs.write_audit(out, audit, stamp)
        outputs.write_paired_tests(out, comparables, results, stamp)
        out.csv("published.csv", figures, stamp, "published figures")
        outputs.write_comparison(out, table, stamp)
        outputs.write_summary(out, results, stamp)

    texts = [text.audit_text(audit, alone), tables.comparison_text(table, results), *text.training_lines(results)]
    texts += text.listener_lines(results)
    texts += [text.ranking_text(comparables), text.curve_text(curves), text.published_text(figures)]
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
