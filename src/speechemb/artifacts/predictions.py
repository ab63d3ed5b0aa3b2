"""`results/predictions_<run>.csv`, written by step 3: its columns, provenance, reader and writer."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from speechemb.artifacts import provenance
from speechemb.artifacts.storage import SCHEMA, ArtifactError, read_csv, sidecar, write_csv
from speechemb.errors import first
from speechemb.paths import STEP3, shown

# One row per clip and fold. After these columns there is one p_<emotion> per class.
PREDICTION_COLUMNS = ("clip_id", "corpus", "speaker", "fold", "true", "predicted")


@dataclass(frozen=True)
class Settings:
    """The settings that determine the predictions of a run; the fingerprint covers them."""

    embeddings: list[str]  # fingerprints of the npz files
    classifier: str
    layer: str  # last, mean, all, a layer's number, auto or weighted
    tune: int  # Optuna trials in each fold; 0: not tuned
    protocol: str  # one of splits.NOTES
    n_folds: int  # of one repeat
    repeats: int
    leak: str  # one of splits.LEAKS, or empty
    seed: int


@dataclass(frozen=True)
class PredictionsMeta(Settings):
    """What step 3 records about a run, in the sidecars of its tables and in its model's `model.json`."""

    inputs: list[dict[str, str]]  # path and fingerprint of each npz
    tag: str  # the run's name in file names
    encoder: dict[str, Any]  # tag, name, revision, sizes
    encoder_source: str  # where the encoder was loaded from
    pooling: list[str]
    precision: str  # that the encoder computed in
    layers: list[int]  # that the npz holds
    augmented: int  # augmented copies of each clip, 0 for none
    features: int  # dimensions of what the classifier sees
    labels: list[str]  # the classes, in the order of the columns p_<label>
    corpora: list[str]
    protocol_note: str  # the protocol for people
    groups: int  # groups of clips that splits keep together
    speakers_on_both_sides: int | None  # speakers in training and test of some fold; None where a speaker is unknown
    left_out: int  # clips of classes that not all corpora have (cross-corpus runs)
    genders: dict[str, str]  # <corpus>/<speaker> -> gender, where both are known

    def stamp(self) -> dict[str, Any]:
        """The provenance block: these fields with fingerprint, versions and git state."""
        settings = {field.name: getattr(self, field.name) for field in fields(Settings)}
        return {**provenance.stamp("predictions", SCHEMA, **settings), **vars(self)}


def write_predictions(path: Path, frame: pd.DataFrame, stamp: dict[str, Any]) -> None:
    """Write out-of-fold predictions, rounded to 6 decimals; `stamp` comes from `PredictionsMeta.stamp`."""
    columns = [*PREDICTION_COLUMNS, *(f"p_{label}" for label in stamp["labels"])]
    write_csv(path, frame[columns].round(6), stamp)


def read_predictions(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions (`p_*` float64) and their provenance, with the fields of `PredictionsMeta` as keys.

    Raises:
        ArtifactError: the file is missing, changed or foreign, or lacks a column, or its sidecar lacks a field.
    """
    remedy = f"rerun {STEP3}, or delete the file if it is no longer wanted"
    frame, stamp = read_csv(path, "predictions", PREDICTION_COLUMNS, remedy)
    if missing := [field.name for field in fields(PredictionsMeta) if field.name not in stamp]:
        raise ArtifactError(f"{shown(sidecar(path))} lacks {', '.join(missing)}: {remedy}")
    labels = stamp["labels"]
    columns = [f"p_{label}" for label in labels]
    if frame.empty or not labels or any(column not in frame.columns for column in columns):
        raise ArtifactError(f"{shown(path)} holds no predictions or lacks a column of {columns}: {remedy}")
    for column in ("true", "predicted"):
        if (foreign := ~frame[column].isin(labels)).any():
            ids = first(frame.clip_id[foreign])
            raise ArtifactError(f"{shown(path)}: column {column} has a class not in {labels} for {ids}: {remedy}")
    frame[columns] = frame[columns].astype(float)
    return frame, stamp


def write_log(path: Path, rows: list[dict[str, Any]], stamp: dict[str, Any]) -> None:
    """Write the log `results/training_<run>.csv`: one row per fold with clip and group counts and figures."""
    write_csv(path, pd.DataFrame(rows).round(6), {**stamp, "kind": "training log"})
