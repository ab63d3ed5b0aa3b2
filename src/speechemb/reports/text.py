"""Figures as text: tables and dicts in, strings out; nothing is read or written here."""

import math
from typing import Any

import pandas as pd

from speechemb.errors import first
from speechemb.evaluation import raters, trained_on
from speechemb.evaluation.comparison import run_row, settings_words
from speechemb.evaluation.fairness import FEW
from speechemb.evaluation.leakage_audit import protocol_words
from speechemb.evaluation.significance import ALPHA, Comparable, Pair
from speechemb.labels import display_corpora
from speechemb.terminal import aligned


def words_of(results: list[dict[str, Any]]) -> set[str]:
    """The words of the pictures that come from the user: classes, speakers, names of runs."""
    words = {label for result in results for label in result["labels"]}
    words |= {of["speaker"] for result in results for of in result["by_speaker"]}
    return words | {result["name"] for result in results}


def run_title(result: dict[str, Any]) -> str:
    """Three-line title of a picture: what was run, how, and its UAR."""
    what = f"{display_corpora(result['corpora'])}, {settings_words(run_row(result))}"
    return f"{what}\n{result['protocol_note']}\n{uar_words(result)} (chance {result['chance_uar']:.3f})"


def cell_words(result: dict[str, Any] | None) -> str:
    """UAR, interval and clips of a cell of a cross-corpus matrix, in three lines; empty without a run."""
    if not result:
        return ""
    interval = result["interval_95"]["uar"]
    span = "[{:.2f}, {:.2f}]".format(*interval) if interval else "no interval"
    return f"{result['overall']['uar']:.3f}\n{span}\nn = {result['clips']}"


def uar_words(result: dict[str, Any]) -> str:
    """`UAR pooled 0.486, mean of folds 0.440 ± 0.031`; only `UAR 0.486` where there is one fold."""
    overall, mean, std = (result[key]["uar"] for key in ("overall", "fold_mean", "fold_std"))
    if len(result["folds"]) < 2:
        return f"UAR {overall:.3f}"
    return f"UAR pooled {overall:.3f}, mean of folds {mean:.3f} ± {std:.3f}"


def classification_report(result: dict[str, Any]) -> str:
    """Report of one run: protocol, UAR beside chance and majority, one line per class, fairness and listeners."""
    overall, majority = result["overall"], result["majority"]
    both = result["speakers_on_both_sides"]
    n_windowed = result["windowed_clips"]
    windowed = f"; {n_windowed} clips longer than one window of the encoder" if n_windowed else ""
    lines = [
        result["name"],
        f"{settings_words(run_row(result))}{windowed}",
        f"protocol: {result['n_folds']} x {result['protocol_note']}; "
        f"speakers in both training and test: {'unknown' if both is None else both}",
        f"{uar_words(result)}; chance {result['chance_uar']:.3f}",
        f"95 % interval of the {'pooled ' if len(result['folds']) > 1 else ''}UAR: {interval_words(result)}",
        f"accuracy {overall['accuracy']:.3f}  (always {majority['label']}: {majority['accuracy']:.3f})",
        f"F1       {overall['macro_f1']:.3f} macro, {overall['weighted_f1']:.3f} weighted",
        f"encoder trained on: {trained_on.words(result['trained_on'])}",
        *(f"warning: {line}" for line in trained_on.warnings(result["trained_on"])),
        *corpus_lines(result),
        "",
        f"{'':12s} precision  recall      f1  support",
    ]
    for label, of in result["per_class"].items():
        lines.append(f"{label:12s} {of['precision']:9.3f} {of['recall']:7.3f} {of['f1']:7.3f} {of['support']:8d}")
    lines += ["", *calibration_lines(result), *fairness_lines(result), *listener_lines([result])]
    lines += raters.lines(result.get("raters"))
    return "\n".join(lines) + "\n"


def interval_words(result: dict[str, Any]) -> str:
    """`0.412 to 0.533, over 24 speakers`, or `none: <why>`."""
    interval = result["interval_95"]["uar"]
    if not interval:
        return f"none: {result['no_interval']}"
    return f"{interval[0]:.3f} to {interval[1]:.3f}, over {result['units']} {result['unit']}"


def corpus_lines(result: dict[str, Any]) -> list[str]:
    """UAR of each corpus of a run over several."""
    return [
        f"  {corpus}: UAR pooled {of['uar']:.3f}{span_text(of)}, accuracy {of['accuracy']:.3f}, {of['clips']} clips"
        for corpus, of in result["by_corpus"].items()
    ]


def calibration_lines(result: dict[str, Any]) -> list[str]:
    """How well the probabilities are calibrated, and whether confidence tells right from wrong."""
    auroc = result["auroc"]
    tells = "none: all answers are right, or all wrong" if auroc is None else f"{auroc:.3f} (0.5: says nothing)"
    return [
        f"expected calibration error {result['calibration_error']:.3f} (15 bins)",
        f"AUROC of the confidence for being right {tells}",
        f"negative log-likelihood {result['nll']:.3f} (equal probabilities: {math.log(len(result['labels'])):.3f})",
    ]


def calibration_title(result: dict[str, Any]) -> str:
    """The title of the legend of a reliability diagram."""
    auroc = "" if result["auroc"] is None else f"\nAUROC of confidence {result['auroc']:.3f}"
    return f"calibration error {result['calibration_error']:.3f}{auroc}"


def fairness_lines(result: dict[str, Any]) -> list[str]:
    """UAR by gender, with the test of the gap between them, and by speaker, the worst first."""
    lines = []
    if result["by_gender"]:
        lines += ["", "UAR by gender"]
    for gender, of in result["by_gender"].items():
        lines.append(f"{gender:12s} {of['uar']:.3f}{span_text(of)}  {of['speakers']} speakers, {of['clips']} clips")
    if gap := result["gender_gap"]:
        verdict = "significant difference" if gap["p"] <= ALPHA else "no significant difference"
        lines.append(f"{gap['better']} - {gap['worse']}: {gap['difference']:.3f}, {verdict} (p {gap['p']:.4f})")
    if result["by_speaker"]:
        lines += ["", "UAR by speaker, worst first"]
    for of in result["by_speaker"]:
        doubt = f" ({of['doubt']}: says little)" if of["doubt"] else ""
        lines.append(
            f"{of['speaker']:20s} {of['uar']:.3f}{span_text(of)}  {of['gender'] or '-'}, {of['clips']} clips{doubt}"
        )
    return lines


def warnings(results: list[dict[str, Any]]) -> list[str]:
    """What to be careful about: encoders tested on corpora that they were trained on, and speakers that say little."""
    lines = [line for result in results for line in trained_on.warnings(result["trained_on"])]
    return [*dict.fromkeys(lines), *speaker_warnings(results)]


def speaker_warnings(results: list[dict[str, Any]]) -> list[str]:
    """One line for each choice of corpora and classes in which speakers have one emotion only, or few clips."""
    lines = {}
    for result in results:
        speakers = result["by_speaker"]
        for doubt, so in (
            ("one emotion only", "who speaks gives the emotion away, and UAR by speaker says little"),
            ("few clips", f"fewer than {FEW}: UAR by speaker says little"),
        ):
            names = sorted(of["speaker"] for of in speakers if of["doubt"] == doubt)
            if names:
                where = "+".join(result["corpora"]), len(result["labels"])
                have = f"{where[0]}, {where[1]} classes: {len(names)} of {len(speakers)} speakers have {doubt}"
                lines.setdefault((*where, doubt), f"{have} ({first(names)}): {so}")
    return list(lines.values())


def span_text(figures: dict[str, Any]) -> str:
    """` [0.412, 0.533]`, or ` [no interval: <why>]`."""
    if figures["interval_95"]:
        return " [{:.3f}, {:.3f}]".format(*figures["interval_95"])
    return f" [no interval: {figures['no_interval']}]"


def listener_lines(results: list[dict[str, Any]]) -> list[str]:
    """Scores of human listeners on the clips of these classes, once for each list of classes."""
    found = {tuple(result["labels"]): result["human"] for result in results if result["human"]}
    return [
        f"listeners, {len(labels)} classes: UAR {of['uar']:.3f}, accuracy {of['accuracy']:.3f} "
        f"({of['source']}; {of['note']})"
        for labels, of in sorted(found.items())
    ]


def ranking_text(comparables: list[Comparable]) -> str:
    """For each set of comparable runs: verdicts against the references, and how many pairs are exploratory."""
    lines = []
    for runs in comparables:
        what = f"{runs.shared['corpora']}, {runs.shared['classes']} classes, {runs.shared['protocol']}"
        lines.append(f"{what}: paired permutation tests over {runs.units} {runs.unit}, {runs.clips} clips")
        cells = iter(aligned([pair_cells(pair) for pairs in runs.families.values() for pair in pairs]))
        for reference, pairs in runs.families.items():
            corrected = f"{len(pairs)} comparisons, Holm-corrected" if len(pairs) > 1 else "1 comparison"
            lines.append(f"  against {reference} (confirmatory, {corrected}, {ALPHA:.0%}):")
            lines += [f"    {next(cells)}" for _ in pairs]
        for why in sorted(set(runs.no_reference.values())):
            names = [run for run, of in runs.no_reference.items() if of == why]
            lines.append(f"  no verdict for {first(names)}: {why} (--reference RUN names a run to compare with)")
        lines += exploratory_lines(runs)
    return "\n".join(lines)


def pair_cells(pair: Pair) -> list[str]:
    """A pair of runs: the first of them, the difference, p, and the verdict."""
    p = [f"p {pair.p:.2g}"] + [f"corrected {pair.p_holm:.2g}"] * (pair.comparisons > 1)
    figures = f"UAR {pair.uar_a:.3f} - {pair.uar_b:.3f} = {pair.uar_a - pair.uar_b:+.3f}"
    return [pair.a, figures, "" if math.isnan(pair.p) else ", ".join(p), pair.verdict]


def exploratory_lines(runs: Comparable) -> list[str]:
    """How many pairs of a set are exploratory, and where they are."""
    n = len(runs.exploratory)
    if not n:
        return []
    if runs.why_not:
        return [f"  exploratory: {n} pairs, not tested: {runs.why_not}"]
    chance = f"{n * ALPHA:.1f} of them are expected below p {ALPHA} by chance alone"
    return [f"  exploratory: {n} pairs with raw p in paired_tests.csv, without verdict; {chance}"]


def curve_text(curves: dict[str, pd.DataFrame]) -> str:
    """One line for each layer curve."""
    return "\n".join(
        f"layer curve of {len(curve)} runs, in no comparison: layer_curve_{name}.csv and .png"
        for name, curve in curves.items()
    )


def published_text(table: pd.DataFrame) -> str:
    """Published figures: comparable ones first, the others with the reason why they are not."""
    lines = []
    for _, rows in table.groupby(["corpus", "classes", "our_protocol"], sort=False):
        corpus, classes, protocol = rows[["corpus", "classes", "our_protocol"]].iloc[0]
        lines.append(f"published figures for {corpus}, {classes} classes (not ours), beside our {protocol}:")
        for verdict, part in sorted(rows.groupby("comparable", sort=False), key=lambda pair: pair[0] != "yes"):
            lines.append("  comparable:" if verdict == "yes" else f"  {verdict}:")
            cells = []
            for row in part.to_dict("records"):
                layers = f"({row['layers']})" if row["layers"] else ""
                what = " ".join(filter(None, [row["encoder"], layers, row["classifier"]]))
                cells.append([f"{row['value']:5.1f} %", row["metric"], what, row["protocol"], row["source"]])
            lines += [f"    {line}" for line in aligned(cells)]
    return "\n".join(lines)


def training_lines(results: list[dict[str, Any]]) -> list[str]:
    """What each encoder was trained on, and what is known about the corpora that it is tested on here."""
    encoders: dict[str, tuple[str, dict[str, str]]] = {}
    for result in results:
        trained = result["trained_on"]
        encoders.setdefault(result["encoder"]["tag"], (trained_on.words(trained), {}))[1].update(trained["saw"])
    lines = ["encoders trained on (and whether they saw the test corpora):"] if encoders else []
    for tag, (speech, saw) in encoders.items():
        lines.append(f"  {tag}: {speech}; " + ", ".join(f"{corpus}: {word}" for corpus, word in sorted(saw.items())))
    return lines


def audit_text(table: pd.DataFrame, alone: list[str]) -> str:
    """The leakage audit for the terminal; empty where there is none."""
    lines, before = [], ""
    if not table.empty:
        lines.append("How much UAR leakage adds, in percentage points over the speaker-independent run (pooled UAR):")
    rows = table.to_dict("records")
    cells = aligned([[protocol_words(row), f"UAR {row['uar']:.3f}", f"{row['points']:+.1f}"] for row in rows])
    for row, line in zip(rows, cells, strict=True):
        run = f"  {row['corpora']}, {row['classes']} classes, {settings_words({**row, 'augmented': 0})}:"
        lines += [f"    {line}"] if run == before else [run, f"    {line}"]
        before = run
    if alone:
        lines.append(f"not in the leakage audit, for lack of one speaker-independent run like them: {first(alone)}")
    return "\n".join(lines)
