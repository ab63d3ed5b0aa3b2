"""`results/predictions_<run>.csv`, which step 3 writes: its columns, its reader and its writer."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from speechemb.artifacts import provenance, schemas
from speechemb.artifacts.atomic import Together
from speechemb.artifacts.freshness import command_for
from speechemb.artifacts.storage import SCHEMA, ArtifactError, read_csv, write_csv
from speechemb.errors import first
from speechemb.paths import STEP3, shown

EMOTION = "emotion"  # the usual target; of others see `splits.targets`
# One row per clip and fold, followed by one column p_<emotion> per class, and one
# votes_<emotion> per class where raters' votes give the labels.
PREDICTION_COLUMNS = ("clip_id", "path", "corpus", "speaker", "group", "fold", "true", "predicted")


class Settings(schemas.Schema):
    """What decides the predictions of a run: the fingerprint covers these."""

    embeddings: list[schemas.Sha256]  # content of the npz files
    labels: schemas.Labels  # the classes, in the order of the columns p_<label>
    classifier: schemas.Name
    layer: schemas.Name  # last, mean, all, a layer's number, auto or weighted
    tune: schemas.Count  # Optuna trials in each fold; 0: not tuned
    protocol: schemas.Name  # one of splits.NOTES, `guessed<N>`, or the name of published folds
    n_folds: schemas.Size  # of one repeat
    repeats: schemas.Size
    leak: schemas.Name | Literal[""]  # one of splits.LEAKS, or empty
    normalise: Literal["", "speaker"]  # one of splits.NORMALISED, or empty
    seed: schemas.Count
    raters: schemas.Name | Literal[""] = ""  # whose votes give the labels, see `training.raters`; empty: the corpus
    target: schemas.Name = EMOTION  # what the classes are of


class EncoderPart(schemas.Schema):
    """One of the encoders whose features a run concatenates (`--fuse`)."""

    encoder: schemas.EncoderInfo
    encoder_source: schemas.Text
    layers: schemas.Layers
    pooling: schemas.Pooling
    precision: schemas.Precision

    @classmethod
    def of(cls, meta: dict[str, Any]) -> "EncoderPart":
        """What the `meta` of an npz says of its encoder."""
        return cls(**{key: meta[key] for key in cls.model_fields})


class RunMeta(Settings):
    """What step 3 records about a run, in the sidecars of its tables and in its model's `model.json`."""

    inputs: list[schemas.Source]  # path and content of each npz
    tag: schemas.Name  # the run's name in file names
    encoder: schemas.EncoderInfo
    encoder_source: schemas.Text  # where the encoder was loaded from
    pooling: schemas.Pooling
    precision: schemas.Precision  # that the encoder computed in
    layers: schemas.Layers  # that the npz holds
    fused: list[EncoderPart]  # the encoders, in the order of their features; empty for a single one
    augmented: schemas.Count  # augmented copies of each clip, 0 for none
    features: schemas.Size  # dimensions of what the classifier sees
    corpora: schemas.Corpora
    protocol_note: schemas.Text  # the protocol for people
    groups: schemas.Count  # groups of clips that splits keep together
    speakers_on_both_sides: schemas.Count | None  # in training and test of some fold; None where one is unknown
    dropped: schemas.Count  # clips listed in excluded_<tag>.csv with the reason
    left_out: schemas.Count  # clips of other classes: not in --emotions, or not in every corpus of a cross-corpus run

    def stamp(self, command: str) -> dict[str, Any]:
        """These with fingerprint, command, versions and state of the code."""
        settings = {name: getattr(self, name) for name in Settings.model_fields}
        return {**provenance.stamp("predictions", SCHEMA, command, **settings), **self.model_dump()}


class PredictionsStamp(RunMeta, schemas.Stamp):
    """The sidecar of the predictions."""

    genders: dict[schemas.Text, schemas.Text]  # <corpus>/<speaker> -> gender, where both are known
    sha256: schemas.Sha256


def name_of(tag: str, target: str) -> str:
    """The name of a run's predictions: those of probes are files of their own, which no table of emotions lists."""
    return f"{'predictions' if target == EMOTION else 'probes'}_{tag}.csv"


def write_predictions(path: Path, frame: pd.DataFrame, stamp: dict[str, Any], files: Together) -> None:
    """Out-of-fold predictions; probabilities are rounded to 6 decimals. `stamp` is that of a `RunMeta`, with `genders`.

    To be called last: the sidecar records what has been written for the same folder, so that a run that was killed
    before is not taken for finished.
    """
    columns = [*PREDICTION_COLUMNS, *(f"p_{label}" for label in stamp["labels"])]
    columns += [name for label in stamp["labels"] if (name := f"votes_{label}") in frame.columns]
    write_csv(path, frame.loc[:, columns].round(6), {**stamp, "files": files.hashes(path.parent)}, files)


def read_predictions(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions (`p_*` float64) and their stamp, see `PredictionsStamp`.

    Raises:
        ArtifactError: the file is missing, changed or foreign, or holds a value that no prediction can have.
    """
    remedy = f"rerun {command_for(path, STEP3)}, or delete the file if it is no longer wanted"
    frame, stamp = read_csv(path, "predictions", PREDICTION_COLUMNS, remedy, PredictionsStamp)
    if path.name != name_of(stamp["tag"], stamp.setdefault("target", EMOTION)):
        raise ArtifactError(f"{shown(path)} holds the run {stamp['tag']}: give it its name back, or {remedy}")
    labels = stamp["labels"]
    columns = [f"p_{label}" for label in labels]
    if frame.empty or any(column not in frame.columns for column in columns):
        raise ArtifactError(f"{shown(path)} holds no prediction or lacks a column of {columns}: {remedy}")
    for column in ("true", "predicted"):
        _refuse(path, frame, ~frame[column].isin(labels), f"column {column} has a class not in {labels}", remedy)
    _refuse(path, frame, ~frame["corpus"].isin(stamp["corpora"]), "column corpus has another corpus", remedy)
    _refuse(path, frame, frame.duplicated(["clip_id", "fold"]), "a clip occurs twice in a fold:", remedy)
    p = frame[columns].apply(pd.to_numeric, errors="coerce")
    wrong = ~((p >= 0) & (p <= 1)).all(axis=1) | (np.abs(p.sum(axis=1) - 1) > 1e-3)
    _refuse(path, frame, wrong, "probabilities are not in [0, 1] with sum 1", remedy)
    frame[columns] = p.astype(float)
    votes = [name for label in labels if (name := f"votes_{label}") in frame.columns]
    if votes:
        found = frame[votes].apply(pd.to_numeric, errors="coerce")
        wrong = ~((found >= 0) & (found < 1e9)).all(axis=1) | (found.sum(axis=1) <= 0)
        _refuse(path, frame, wrong, "votes are no numbers from 0 on, or none are above 0,", remedy)
        frame[votes] = found.astype(float)
    return frame, stamp


def _refuse(path: Path, frame: pd.DataFrame, wrong: pd.Series, what: str, remedy: str) -> None:
    if wrong.any():
        raise ArtifactError(f"{shown(path)}: {what} for {first(frame.clip_id[wrong].tolist())}: {remedy}")


def write_excluded(path: Path, rows: list[dict[str, str]], stamp: dict[str, Any], files: Together) -> None:
    """Step 3's `results/excluded_<tag>.csv`: clip_id, corpus and reason of the clips of the npz that the run lacks."""
    write_csv(path, pd.DataFrame(rows), {**stamp, "kind": "excluded clips"}, files)


def write_log(path: Path, rows: list[dict[str, Any]], stamp: dict[str, Any], files: Together) -> None:
    """Step 3's log `results/training_<tag>.csv`: one row per fold with clip and group counts and its figures."""
    write_csv(path, pd.DataFrame(rows).round(6), {**stamp, "kind": "training log"}, files)
