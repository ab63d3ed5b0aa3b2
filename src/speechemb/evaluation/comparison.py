"""All runs beside each other: the comparison table, and the curve of UAR over layers."""

import re
from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import provenance
from speechemb.artifacts.storage import SCHEMA

# One row a run in the comparison table; the order of the columns is the order a reader needs them in.
COLUMNS = (
    *("corpora", "classes", "encoder", "pooling", "layer", "classifier", "protocol"),
    *("uar", "uar_low", "uar_high", "uar_fold_std", "accuracy", "weighted_f1", "macro_f1"),
    *("chance_uar", "majority_accuracy", "clips", "speakers", "speakers_on_both_sides", "run"),
)


def table(results: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a run, best UAR first within the same corpora, classes and protocol: only those rows are comparable."""
    rows = [row(result) for result in results]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(
        ["corpora", "classes", "protocol", "uar"], ascending=[True, True, True, False], kind="stable"
    ).reset_index(drop=True)


def protocol_of(result: dict[str, Any]) -> str:
    """`speaker x5`, `random x5 (optimistic)`: rows of one table that differ in it are not comparable."""
    folds = "" if result["protocol"] == "cross-corpus" else f" x{result['n_folds']}"
    repeats = f", {result['repeats']} times" if result["repeats"] > 1 else ""
    note = " (optimistic)" if result["protocol"] == "random" else ""
    return result["protocol"] + folds + repeats + note + (f" (LEAK: {result['leak']})" if result["leak"] else "")


def row(result: dict[str, Any]) -> dict[str, Any]:
    """The comparison table's row of one run: the keys are `COLUMNS`."""
    low, high = result["interval_95"]["uar"] or (np.nan, np.nan)
    return {
        "corpora": "+".join(result["corpora"]),
        "classes": len(result["labels"]),
        "encoder": result["encoder"]["tag"],
        "pooling": "+".join(result["pooling"]),
        "layer": result["layer"],
        "classifier": result["classifier"],
        "protocol": protocol_of(result),
        "uar": result["overall"]["uar"],
        "uar_low": low,
        "uar_high": high,
        "uar_fold_std": result["fold_std"]["uar"],
        "accuracy": result["overall"]["accuracy"],
        "weighted_f1": result["overall"]["weighted_f1"],
        "macro_f1": result["overall"]["macro_f1"],
        "chance_uar": result["chance_uar"],
        "majority_accuracy": result["majority"]["accuracy"],
        "clips": result["clips"],
        "speakers": result["speakers"],
        "speakers_on_both_sides": result["speakers_on_both_sides"],
        "run": result["tag"],
    }


def short(result: dict[str, Any]) -> dict[str, Any]:
    """An evaluation without its provenance and its long parts."""
    long = {"folds", "per_class", "confusion_matrix", "reliability", "by_speaker", "kind", "schema", "versions", "git"}
    return {key: value for key, value in result.items() if key not in long}


def stamp_of_all(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The provenance of a file made from several evaluations."""
    return provenance.stamp("metrics", SCHEMA, evaluations=[result["fingerprint"] for result in results])


def layer_curves(results: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """UAR with its interval per layer, of evaluations that differ in the layer only: `<tag without layer>` -> table.

    Columns: layer (int), uar, uar_low, uar_high, chance_uar, run. Only where at least three layers were run.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        if result["layer"].isdecimal():
            low, high = result["interval_95"]["uar"] or (np.nan, np.nan)
            row = {"layer": int(result["layer"]), "uar": result["overall"]["uar"], "uar_low": low, "uar_high": high}
            name = re.sub(rf"-layer{result['layer']}(?=-)", "", result["tag"])
            rows.setdefault(name, []).append({**row, "chance_uar": result["chance_uar"], "run": result["tag"]})
    tables = {name: pd.DataFrame(found).sort_values("layer", ignore_index=True) for name, found in rows.items()}
    return {name: table for name, table in tables.items() if len(table) >= 3}
