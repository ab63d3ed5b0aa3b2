"""All runs beside each other: the comparison table, and the curve of UAR over layers."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import provenance
from speechemb.artifacts.storage import SCHEMA
from speechemb.evaluation import trained_on
from speechemb.evaluation.late_fusion import mean_words
from speechemb.labels import display_corpora
from speechemb.splits import NORMALISED, OPTIMISTIC_GUESS, TABLE, TRANSDUCTIVE, is_guessed

# Keys of an evaluation that `metrics.json` does not repeat.
_DETAILS = ("folds", "per_class", "confusion_matrix", "reliability", "by_speaker")
_OF_NONE = ["corpora", "classes", "protocol", "uar", "run"]  # what readers of an empty table look for
_PROVENANCE = ("kind", "schema", "versions", "git")


def runs_table(results: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per run, best UAR first within the same corpora, classes and protocol: only those rows are comparable.

    A cross-corpus run has a row for each direction.
    """
    table = pd.DataFrame([run_row(result) for result in results], columns=None if results else _OF_NONE)
    order = {"corpora": True, "classes": True, "protocol": True, "uar": False}
    return table.sort_values(list(order), ascending=list(order.values()), kind="stable", ignore_index=True)


def run_row(result: dict[str, Any]) -> dict[str, Any]:
    """A run's row of the comparison table; its keys are the table's columns, in the order a reader needs them in.

    `uar` is pooled: over all out-of-fold predictions together. `uar_fold_mean` is the mean over folds.
    """
    low, high = uar_interval(result)
    return {
        "corpora": "+".join(result["corpora"]),
        "classes": len(result["labels"]),
        "encoder": result["encoder"]["tag"],
        "pooling": "+".join(result["pooling"]),
        "precision": result["precision"],
        "layer": result["layer"],
        "classifier": result["classifier"],
        "tune": result["tune"],
        "seed": result["seed"],
        "augmented": result["augmented"],
        "protocol": protocol_of(result),
        "note": note_of(result),
        "uar": result["overall"]["uar"],
        "uar_low": low,
        "uar_high": high,
        "uar_fold_mean": result["fold_mean"]["uar"],
        "uar_fold_std": result["fold_std"]["uar"],
        "accuracy": result["overall"]["accuracy"],
        "weighted_f1": result["overall"]["weighted_f1"],
        "macro_f1": result["overall"]["macro_f1"],
        "auroc": np.nan if result["auroc"] is None else result["auroc"],
        "nll": result["nll"],
        "calibration_error": result["calibration_error"],
        "chance_uar": result["chance_uar"],
        "majority_accuracy": result["majority"]["accuracy"],
        "clips": result["clips"],
        "windowed_clips": result["windowed_clips"],
        "speakers": result["speakers"],
        "speakers_on_both_sides": result["speakers_on_both_sides"],
        "trained_on": trained_on.words(result["trained_on"]),
        "test_corpus_in_training": trained_on.worst(result["trained_on"]["saw"].values()),
        "run": result["name"],
    }


def protocol_of(result: dict[str, Any]) -> str:
    """`speaker x5`, `random x5 (optimistic)`: rows of one table that differ in it are not comparable."""
    other_task = f" ({TRANSDUCTIVE})" if result["normalise"] else ""
    if direction := result["direction"]:
        return f"train {direction['train']}, test {direction['test']}{other_task}"
    words = f"{result['protocol']} x{result['n_folds']}"
    if result["repeats"] > 1:
        words += f", {result['repeats']} times"
    from_table = result["protocol"].startswith(TABLE)
    if result["protocol"] == "random" or (from_table and result["speakers_on_both_sides"] != 0):
        words += " (optimistic)"
    if is_guessed(result["protocol"]):
        words += f", {OPTIMISTIC_GUESS}"
    if result["leak"]:
        words += f" (LEAK: {result['leak']})"
    return words + (f" (labels of raters: {beside['source']})" if (beside := result.get("raters")) else "") + other_task


def is_strict(protocol: str) -> bool:
    """Whether these words of `protocol_of` mean speaker-independent folds, without leakage, and not transductive."""
    return re.fullmatch(r"speaker x\d+(, \d+ times)?", protocol) is not None


def note_of(result: dict[str, Any]) -> str:
    """What makes a run another thing than a classifier tested as usual; empty where nothing does."""
    return "; ".join(filter(None, [NORMALISED.get(result["normalise"]), mean_words(result["mean_of"])]))


def block_words(row: Mapping[Any, Any]) -> str:
    """What comparable rows of a table share: `ravdess, 8 classes, speaker x5`."""
    return f"{display_corpora(str(row['corpora']).split('+'))}, {row['classes']} classes, {row['protocol']}"


def settings_words(row: Mapping[Any, Any]) -> str:
    """What was run, of a row of a table: `wavlm_base mean, bf16, layer mean, svm, tuned 20, seed 1, 2 copies`.

    Only what is not the default is named after the classifier.
    """
    words = [f"{row['encoder']} {row['pooling']}", row["precision"], f"layer {row['layer']}", row["classifier"]]
    words += [f"tuned {row['tune']}"] if row["tune"] else []
    words += [f"seed {row['seed']}"] if row["seed"] else []
    return ", ".join(words + ([f"{row['augmented']} augmented copies"] if row["augmented"] else []))


def run_words(result: dict[str, Any]) -> str:
    """Two lines about a run on numbers: corpora, targets and settings; its protocol."""
    row = {**result, "encoder": result["encoder"]["tag"], "pooling": "+".join(result["pooling"])}
    what = f"{display_corpora(result['corpora'])}, {', '.join(result['targets'])}, {settings_words(row)}"
    return f"{what}\n{result['protocol_note']}"


def short_names(results: list[dict[str, Any]]) -> dict[str, str]:
    """Run -> encoder and classifier, with the settings in which runs of one encoder differ; if need be, the run."""
    rows = {result["name"]: run_row(result) for result in results}
    words = {
        "pooling": "{}",
        "precision": "{}",
        "layer": "layer {}",
        "tune": "tuned {}",
        "seed": "seed {}",
        "augmented": "{} copies",
        "note": "({})",
    }
    by_encoder: dict[str, list[dict[str, Any]]] = {}
    for row in rows.values():
        by_encoder.setdefault(row["encoder"], []).append(row)
    vary = [key for key in words if any(len({row[key] for row in of}) > 1 for of in by_encoder.values())]
    names = {}
    for run, row in rows.items():
        further = [words[key].format(row[key]) for key in vary if row[key]]
        names[run] = " ".join([row["encoder"], row["classifier"], *further])
    return {run: name if list(names.values()).count(name) == 1 else run for run, name in names.items()}


def uar_interval(result: dict[str, Any]) -> tuple[float, float]:
    """The 95 % interval of UAR, (nan, nan) where there is none."""
    low, high = result["interval_95"]["uar"] or (np.nan, np.nan)
    return low, high


def without_details(result: dict[str, Any]) -> dict[str, Any]:
    """An evaluation without its provenance and its long parts, as `metrics.json` holds it."""
    return {key: value for key, value in result.items() if key not in _DETAILS + _PROVENANCE}


def stamp_of(results: list[dict[str, Any]], command: str = "") -> dict[str, Any]:
    """The stamp of a file that a command made from several evaluations."""
    return provenance.stamp("metrics", SCHEMA, command, evaluations=[result["fingerprint"] for result in results])


def layer_curves(results: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """UAR with its interval by layer, of runs that differ in the layer only: `<name without layer>` -> table.

    Columns: layer (int), uar, uar_low, uar_high, chance_uar, run. Only where at least three single layers were run.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        if result["layer"].isdecimal():
            low, high = uar_interval(result)
            row = {"layer": int(result["layer"]), "uar": result["overall"]["uar"], "uar_low": low, "uar_high": high}
            name = re.sub(rf"-layer{result['layer']}(?=-)", "", result["name"])
            rows.setdefault(name, []).append({**row, "chance_uar": result["chance_uar"], "run": result["name"]})
    curves = {name: pd.DataFrame(found).sort_values("layer", ignore_index=True) for name, found in rows.items()}
    return {name: curve for name, curve in curves.items() if len(curve) >= 3}


def runs_of_curves(curves: dict[str, pd.DataFrame]) -> set[str]:
    """The names of the runs that are points of a layer curve."""
    return {run for curve in curves.values() for run in curve["run"]}
