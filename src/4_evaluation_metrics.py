"""Step 4: evaluate the predictions.

Reads   results/predictions_*.csv, probes_*.csv and regression_*.csv (no model is loaded),
        data/published_figures.csv, data/encoder_training.csv, data/CREMA-D/summaryTable.csv
Writes, into results/,
        for every run (of cross-corpus runs: for every direction): evaluation_results_<run>.json,
        classification_report_<run>.txt, confusion_matrix_<run>_cv.csv and .png; and in <run>/: reliability.png,
        fairness.png (UAR by gender and speaker), mistakes.csv (the wrong answers, the surest first); for the points of
        a layer curve only the first
        for all runs: metrics.json; comparison.csv, .md and .tex; published.csv: published figures and whether they are
        comparable
        paired_tests.csv, ranking.csv and .png: comparable runs on the same clips, tested against a reference
        probes.csv and .md: what else each encoder knows (speaker, gender, sentence, intensity), where that was asked
        regression.csv and .md, paired_tests_regression.csv, and evaluation_regression_<run>.json and scatter_<run>.png
        of each run on numbers, such as arousal: CCC, Pearson's correlation and RMSE
        audit.csv and .png: how much UAR looser folds and deliberate leakage add to a speaker-independent run
        cross_corpus_<run>.csv and .png: UAR of each pair of training and test corpus, for cross-corpus runs
        report.html: all of it as one page for the browser, where clips are heard by a click; see --report-audio
        layer_curve_<run without layer>.csv and .png: UAR by layer, where three or more single layers were run

The main metric is UAR (unweighted average recall), pooled over all out-of-fold predictions, with a 95 % interval over
speakers, beside the mean over folds, chance and the majority class. A run is called better than its reference only
where a paired test, corrected for all runs with that reference, finds a significant difference. All other pairs are
exploratory: they have a raw p and no verdict. A warning names each encoder that was trained on
a corpus that it is tested on.

Example: python src/4_evaluation_metrics.py
Ends with: wrote results/metrics.json, results/comparison.csv and results/report.html: 6 runs
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
    parser.add_argument(
        "--report-audio",
        choices=("mistakes", "all", "none"),
        default="mistakes",
        help="the recordings that report.html holds: of the surest mistakes, of all clips, or none (whoever gets the "
        "page gets the voices); other clips play from their files, where those are",
    )
    cli.add_figures(parser)
    return cli.parsed(parser, argv, __file__)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from speechemb.artifacts import atomic
    from speechemb.evaluation import comparison, late_fusion, leakage_audit, literature, scores, significance
    from speechemb.reports import other_targets, outputs, text
    from speechemb.reports.page import report
    from speechemb.visualization import style

    folder = paths.output(args.results_dir)
    read, probed, numbers = read_runs(folder)
    if args.fuse:
        read.append(late_fusion.mean_of(read, args.fuse))
    runs = [run for one in terminal.bar(read, "runs", title="evaluating") for run in scores.evaluated(*one)]
    results = [run.result for run in runs]
    table, stamp = comparison.runs_table(results), comparison.stamp_of(results, args.command)
    curves = comparison.layer_curves(results)
    of_curves = comparison.runs_of_curves(curves)
    comparables = significance.compare(runs, of_curves, args.reference or "")
    audit, alone = leakage_audit.audit_table(results)
    others = other_targets.of(probed, numbers, runs)
    figures = literature.compare_figures(results, literature.read_figures())
    warnings = text.warnings(results)
    for line in filter(None, [*warnings, style.use_fonts_for(text.words_of(results))]):
        cli.log.warning("%s", line)
    found = report.Found(runs, read, table, comparables, curves, audit, warnings, args.command, others)
    page = report.plan(found, args.report_audio)
    cli.log.info("%s", page.announced())
    with atomic.together() as files:
        out = outputs.Output(folder, files, args.figures or "")
        outputs.write_runs(out, terminal.bar(runs, "runs", title="writing"), of_curves)
        outputs.write_layer_curves(out, curves, results)
        outputs.write_cross_corpus(out, results)
        outputs.write_audit(out, audit, stamp)
        others.write(out, stamp)
        outputs.write_paired_tests(out, comparables, results, stamp)
        out.csv("published.csv", figures, stamp, "published figures")
        outputs.write_comparison(out, table, stamp)
        page.write(out)
        outputs.write_summary(out, results, stamp)
    show(folder, found, alone, figures)


def show(folder: Path, found, alone: list[str], figures) -> None:
    """Print what was found; `alone`: runs that the audit lacks, `figures`: the published ones."""
    from speechemb.evaluation import raters
    from speechemb.reports import tables, text

    results = [run.result for run in found.runs]
    texts = [text.audit_text(found.audit, alone), tables.comparison_text(found.table, results)]
    texts += [
        *text.training_lines(results),
        *text.listener_lines(results),
        *raters.summary_lines(results),
        text.ranking_text(found.comparables),
        text.curve_text(found.curves),
        found.others.text(),
    ]
    print(*filter(None, [*texts, text.published_text(figures)]), sep="\n")
    made = [paths.shown(folder / name) for name in ("metrics.json", "comparison.csv", "report.html")]
    print(f"wrote {', '.join(made[:-1])} and {made[-1]}: {len(results)} runs")


def read_runs(folder: Path) -> tuple[list[tuple], ...]:
    """Every file of predictions with its provenance: of emotions, of probes and of numbers.

    All are checked before the first result is written.
    """
    from speechemb.artifacts import freshness, predictions, regression

    readers = {
        "predictions": predictions.read_predictions,
        "probes": predictions.read_predictions,
        "regression": regression.read,
    }
    files = {kind: sorted(folder.glob(f"{kind}_*.csv")) for kind in readers}
    if not any(files.values()):
        raise InputError(f"{paths.shown(folder)} holds no predictions_*.csv: run {paths.STEP3} first")
    runs = tuple([readers[kind](path) for path in of] for kind, of in files.items())
    for path in (path for of in files.values() for path in of):
        freshness.check_upstream(path, paths.STEP3)
    return runs


if __name__ == "__main__":
    sys.exit(cli.run(main))
