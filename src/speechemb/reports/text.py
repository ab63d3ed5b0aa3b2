"""Figures as text: tables and dicts in, strings out; nothing is read or written here."""

from typing import Any

import pandas as pd

from speechemb.evaluation.leakage_audit import protocol_words
from speechemb.evaluation.significance import ALPHA, Comparable
from speechemb.labels import display_corpora


def run_title(result: dict[str, Any]) -> str:
    """Two-line title of a picture: what was run and how, with its UAR."""
    corpora, uar = display_corpora(result["corpora"]), result["overall"]["uar"]
    return (
        f"{result['encoder']['tag']}, {corpora}, layer {result['layer']}, {result['classifier']}\n"
        f"{result['protocol_note']}: UAR {uar:.3f} (chance {result['chance_uar']:.3f})"
    )


def classification_report(result: dict[str, Any]) -> str:
    """Report of one run: protocol, UAR beside chance and majority, one line per class, fairness and listeners."""
    overall, std, majority = result["overall"], result["fold_std"], result["majority"]
    interval, both = result["interval_95"]["uar"], result["speakers_on_both_sides"]
    span = (
        f"95 % interval {interval[0]:.3f} to {interval[1]:.3f} over speakers"
        if interval
        else "no interval: unknown or too few speakers, or no variation between them"
    )
    lines = [
        result["tag"],
        f"protocol: {result['n_folds']} x {result['protocol_note']}; "
        f"speakers in both training and test: {'unknown' if both is None else both}",
        f"UAR      {overall['uar']:.3f}  ({span}; std over folds {std['uar']:.3f}; chance {result['chance_uar']:.3f})",
        f"accuracy {overall['accuracy']:.3f}  (always {majority['label']}: {majority['accuracy']:.3f})",
        f"F1       {overall['macro_f1']:.3f} macro, {overall['weighted_f1']:.3f} weighted",
        "",
        f"{'':12s} precision  recall      f1  support",
    ]
    for label, of in result["per_class"].items():
        lines.append(f"{label:12s} {of['precision']:9.3f} {of['recall']:7.3f} {of['f1']:7.3f} {of['support']:8d}")
    calibration = f"expected calibration error {result['calibration_error']:.3f} (15 bins)"
    lines += ["", calibration, *fairness_lines(result), *listener_lines([result])]
    return "\n".join(lines) + "\n"


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
        lines.append(f"{of['speaker']:20s} {of['uar']:.3f}{span_text(of)}  {of['gender'] or '-'}, {of['clips']} clips")
    return lines


def span_text(figures: dict[str, Any]) -> str:
    """` [0.412, 0.533]`, or nothing where there is no interval."""
    return " [{:.3f}, {:.3f}]".format(*figures["interval_95"]) if figures["interval_95"] else ""


def listener_lines(results: list[dict[str, Any]]) -> list[str]:
    """Scores of human listeners on the clips of these classes, once for each list of classes."""
    found = {tuple(result["labels"]): result["human"] for result in results if result["human"]}
    return [
        f"listeners, {len(labels)} classes: UAR {of['uar']:.3f}, accuracy {of['accuracy']:.3f} "
        f"({of['source']}; {of['note']})"
        for labels, of in sorted(found.items())
    ]


def ranking_text(comparables: list[Comparable]) -> str:
    """Comparable runs, best first: which of those below each one is significantly better than, and which it is not."""
    lines = []
    for runs in comparables:
        lines.append(f"{runs.corpora}, {runs.classes} classes, {runs.protocol}: {runs.basis}")
        for place, run in enumerate(runs.runs, start=1):
            line = f"  {place}. UAR {run['value']:.3f}  {run['name']}"
            below = list(enumerate(runs.runs[place:], start=place + 1))
            beaten = [str(number) for number, other in below if other["name"] in run["beats"]]
            undecided = [str(number) for number, other in below if other["name"] not in run["beats"]]
            verdicts = []
            if beaten:
                verdicts.append(f"significantly better than {', '.join(beaten)}")
            if undecided:
                verdicts.append(f"no significant difference from {', '.join(undecided)}")
            lines.append(f"{line}: {'; '.join(verdicts)}" if verdicts else line)
    return "\n".join(lines)


def published_text(table: pd.DataFrame) -> str:
    """Published figures: comparable ones first, the others with the reason why they are not."""
    lines = []
    for (corpus, classes, protocol), rows in table.groupby(["corpus", "classes", "our_protocol"], sort=False):
        lines.append(f"published figures for {corpus}, {classes} classes (not ours), beside our {protocol}:")
        for verdict, part in sorted(rows.groupby("comparable", sort=False), key=lambda pair: pair[0] != "yes"):
            lines.append("  comparable:" if verdict == "yes" else f"  {verdict}:")
            for row in part.itertuples():
                what = " ".join(filter(None, [row.encoder, row.layers and f"({row.layers})", row.classifier]))
                lines.append(f"    {row.value:5.1f} % {row.metric:8s} {what}; {row.protocol}; {row.source}")
    return "\n".join(lines)


def comparison_text(table: pd.DataFrame) -> str:
    """The comparison table for the terminal, a block for each set of comparable runs."""
    lines = []
    for (corpora, classes, protocol), rows in table.groupby(["corpora", "classes", "protocol"], sort=False):
        chance, majority = rows["chance_uar"].iloc[0], rows["majority_accuracy"].iloc[0]
        what = f"{display_corpora(corpora.split('+'))}, {classes} classes, {protocol}"
        lines.append(f"{what}: chance UAR {chance:.3f}, majority accuracy {majority:.3f}")
        for _, row in rows.iterrows():
            interval = "" if pd.isna(row["uar_low"]) else f" [{row['uar_low']:.3f}, {row['uar_high']:.3f}]"
            name = f"{row['encoder']} {row['pooling']}, layer {row['layer']}, {row['classifier']}"
            lines.append(
                f"  {name:52s} UAR {row['uar']:.3f}{interval}  accuracy {row['accuracy']:.3f}  "
                f"weighted F1 {row['weighted_f1']:.3f}"
            )
    return "\n".join(lines)


def audit_text(table: pd.DataFrame) -> str:
    """The leakage audit for the terminal; empty where there is none."""
    if table.empty:
        return ""
    lines = ["How much UAR leakage adds, in percentage points over the speaker-independent run:"]
    for _, row in table.iterrows():
        run = f"{row['encoder']}, {row['corpora']} {row['classes']} classes, layer {row['layer']}, {row['classifier']}"
        lines.append(f"  {run:60s} {protocol_words(row):60s} UAR {row['uar']:.3f}  {row['points']:+.1f}")
    return "\n".join(lines)
