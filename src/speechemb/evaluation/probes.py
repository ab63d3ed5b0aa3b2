"""What else an embedding knows: UAR for speaker, gender, sentence and intensity beside that for emotion, by encoder.

A probe is a run of step 3 with `--target speaker` and the like. Its folds hold out sentences or takes for the speaker,
and speakers for everything else. A high figure for the speaker is no fault of an embedding, and none for emotion is no
merit: the table says what is there, not what ought to be. Figures of different rows have different chance levels and
folds, and are not compared with each other.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from speechemb.artifacts.predictions import EMOTION
from speechemb.evaluation import comparison
from speechemb.evaluation.scores import Evaluated, evaluated
from speechemb.labels import display_corpora
from speechemb.splits import PROBES

ORDER = (EMOTION, *PROBES)
OF_ENCODER = ["encoder", "pooling", "precision", "corpora"]
OF_ROW = ["target", "classes", "protocol", "layer", "tune", "seed", "augmented", "note"]
COLUMNS = (
    *OF_ENCODER,
    *OF_ROW,
    "classifier",
    *("uar", "uar_low", "uar_high", "uar_fold_mean", "uar_fold_std", "accuracy"),
    *("chance_uar", "majority_accuracy", "clips", "speakers", "run"),
)


def table(probes: Iterable[tuple[pd.DataFrame, dict[str, Any]]], runs: list[Evaluated]) -> pd.DataFrame:
    """One row per probe, and per speaker-independent run on the emotions of the same encoder and corpora; see COLUMNS.

    Args:
        probes: predictions and their stamps, of `artifacts.predictions.read_predictions`
        runs: the evaluated runs on emotions
    """
    rows = [
        {"target": stamp["target"], **comparison.run_row(run.result)}
        for frame, stamp in probes
        for run in evaluated(frame, stamp)
    ]
    encoders = {tuple(row[key] for key in OF_ENCODER) for row in rows}
    for run in runs:
        row = {"target": EMOTION, **comparison.run_row(run.result)}
        if tuple(row[key] for key in OF_ENCODER) in encoders and comparison.is_strict(row["protocol"]):
            rows.append(row)
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    place = found["target"].map({name: i for i, name in enumerate(ORDER)}).rename("place")
    keys = [*OF_ENCODER, "place", *OF_ROW[1:], "classifier"]
    return found.assign(place=place).sort_values(keys, kind="stable", ignore_index=True).drop(columns="place")


def tables_of_encoders(found: pd.DataFrame) -> list[dict[str, Any]]:
    """One table per encoder and corpora, with a row per target and layer and a column per classifier.

    Keys: `caption`, `classifiers`, `rows`; of a row `target`, `folds`, `layer`, `chance`, `clips` and `cells`: UAR and
    interval by classifier, empty where there is no run.
    """
    parts = []
    for _, rows in found.groupby(OF_ENCODER, sort=False):
        one = rows.iloc[0]
        names = list(dict.fromkeys(rows["classifier"]))
        caption = f"{display_corpora(one['corpora'].split('+'))}, {one['encoder']} {one['pooling']}, {one['precision']}"
        parts.append({"caption": caption, "classifiers": names, "rows": _lines(rows, names)})
    return parts


def _lines(rows: pd.DataFrame, classifiers: list[str]) -> list[dict[str, Any]]:
    lines = []
    for _, of in rows.groupby(OF_ROW, sort=False):
        one = of.iloc[0]
        cells = {
            name: [_cell(row) for row in of.loc[of["classifier"] == name].to_dict("records")] for name in classifiers
        }
        settings = comparison.settings_words({**one.to_dict(), "classifier": ""}).partition(", layer ")[2]
        lines.append(
            {
                "target": f"{one['target']} ({one['classes']} classes)",
                "folds": one["protocol"] + (f" ({one['note']})" if one["note"] else ""),
                "layer": settings.replace(", ,", ",").removesuffix(", "),
                "chance": f"{one['chance_uar']:.3f}",
                "clips": int(one["clips"]),
                "cells": ["; ".join(cells[name]) for name in classifiers],
            }
        )
    return lines


def _cell(row: dict[Any, Any]) -> str:
    span = "no interval" if pd.isna(row["uar_low"]) else f"{row['uar_low']:.3f}, {row['uar_high']:.3f}"
    return f"{row['uar']:.3f} [{span}]"
