"""Figures as text: arrays and dicts in, strings out; nothing is read or written here."""

from typing import Any

import pandas as pd


def title(result: dict[str, Any]) -> str:
    """Two lines over a picture: what was run, and how, with the headline."""
    overall = result["overall"]
    return (
        f"{result['encoder']['tag']}, {'+'.join(result['corpora'])}, layer {result['layer']}, {result['classifier']}\n"
        f"{result['protocol_note']}: UAR {overall['uar']:.3f} (chance {result['chance_uar']:.3f})"
    )


def classification_report(result: dict[str, Any]) -> str:
    """One run: protocol, headline with chance and majority, and a line for each class."""
    overall, std, majority = result["overall"], result["fold_std"], result["majority"]
    interval, both = result["interval_95"]["uar"], result["speakers_on_both_sides"]
    span = (
        f"95 % interval {interval[0]:.3f} to {interval[1]:.3f} over speakers"
        if interval
        else "no interval: speakers unknown, too few, or all alike"
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
    return "\n".join(lines) + "\n"


def comparison_table(table: pd.DataFrame) -> str:
    """All runs for the terminal, grouped by what is comparable."""
    lines = []
    for (corpora, classes, protocol), rows in table.groupby(["corpora", "classes", "protocol"], sort=False):
        chance, majority = rows["chance_uar"].iloc[0], rows["majority_accuracy"].iloc[0]
        lines.append(
            f"{corpora}, {classes} classes, {protocol}: chance UAR {chance:.3f}, majority accuracy {majority:.3f}"
        )
        for _, row in rows.iterrows():
            interval = "" if pd.isna(row["uar_low"]) else f" [{row['uar_low']:.3f}, {row['uar_high']:.3f}]"
            name = f"{row['encoder']} {row['pooling']}, layer {row['layer']}, {row['classifier']}"
            lines.append(
                f"  {name:52s} UAR {row['uar']:.3f}{interval}  accuracy {row['accuracy']:.3f}  "
                f"weighted F1 {row['weighted_f1']:.3f}"
            )
    return "\n".join(lines)
