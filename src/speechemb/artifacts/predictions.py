"""`results/predictions_<run>.csv`, which step 3 writes: its columns, its reader and its writer."""

from pathlib import Path
from typing import Any

import pandas as pd

from speechemb.artifacts.storage import ArtifactError, read_csv, write_csv
from speechemb.errors import first
from speechemb.paths import STEP3, shown

# results/predictions_<tag>.csv, one row a clip and fold, followed by one column p_<emotion> a class.
PREDICTION_COLUMNS = ("clip_id", "corpus", "speaker", "fold", "true", "predicted")


def write_predictions(path: Path, frame: pd.DataFrame, labels: list[str], stamp: dict[str, Any]) -> None:
    """Out-of-fold predictions; probabilities are rounded to 6 decimals."""
    columns = [*PREDICTION_COLUMNS, *(f"p_{label}" for label in labels)]
    write_csv(path, frame[columns].round(6), {**stamp, "labels": labels})


def read_predictions(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions (`p_*` float64) and their provenance, with `labels`, `protocol`, `encoder`, `classifier`, ..."""
    remedy = f"rerun {STEP3}, or delete the file if it is no longer wanted"
    frame, stamp = read_csv(path, "predictions", PREDICTION_COLUMNS, remedy)
    labels = stamp.get("labels", [])
    columns = [f"p_{label}" for label in labels]
    if frame.empty or not labels or any(column not in frame.columns for column in columns):
        raise ArtifactError(f"{shown(path)} holds no prediction or lacks a column of {columns}: {remedy}")
    for column in ("true", "predicted"):
        if (foreign := ~frame[column].isin(labels)).any():
            raise ArtifactError(f"{shown(path)}: column {column} has a class not in {labels}, "
                                f"first for {first(frame.clip_id[foreign])}: {remedy}")  # fmt: skip
    frame[columns] = frame[columns].astype(float)
    return frame, stamp


def write_log(path: Path, rows: list[dict[str, Any]], stamp: dict[str, Any]) -> None:
    """Step 3's log `results/training_<tag>.csv`: one row a fold with clip and group counts and its figures."""
    write_csv(path, pd.DataFrame(rows).round(6), {**stamp, "kind": "training log"})
