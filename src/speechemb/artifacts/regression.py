"""`results/regression_<run>.csv`, which step 3 writes for targets that are numbers: columns, reader and writer."""

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import Field

from speechemb.artifacts import numbers, predictions, schemas
from speechemb.artifacts.atomic import Together
from speechemb.artifacts.freshness import command_for
from speechemb.artifacts.storage import ArtifactError, read_csv, write_csv
from speechemb.errors import first
from speechemb.paths import STEP3, shown

KIND, MODEL_KIND = "regression", "regression model"
# One row per clip and fold, followed by true_<target> and predicted_<target> of every target.
COLUMNS = ("clip_id", "path", "corpus", "speaker", "group", "fold")


class RegressionMeta(predictions.RunMeta):
    """What step 3 records about a run on numbers: as about a run on classes, with targets in the place of labels.

    `target` is their names, joined by +; `classifier` is the regressor.
    """

    labels: Annotated[list[schemas.Label], Field(max_length=0)] = []
    targets: Annotated[numbers.NumberNames, Field(min_length=1)]

    def stamp(self, command: str) -> dict[str, Any]:
        return {**super().stamp(command), "kind": KIND}


class RegressionStamp(RegressionMeta, schemas.Stamp):
    """The sidecar of the predictions."""

    sha256: schemas.Sha256


def name_of(tag: str) -> str:
    """The name of a run's predictions."""
    return f"regression_{tag}.csv"


def columns_of(targets: list[str]) -> list[str]:
    """The columns with numbers."""
    return [f"{kind}_{target}" for target in targets for kind in ("true", "predicted")]


def write(path: Path, frame: pd.DataFrame, stamp: dict[str, Any], files: Together) -> None:
    """Out-of-fold predictions with six decimals; to be called last, as `predictions.write_predictions`."""
    frame = frame.loc[:, [*COLUMNS, *columns_of(stamp["targets"])]].round(6)
    write_csv(path, frame, {**stamp, "files": files.hashes(path.parent)}, files)


def read(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions (`true_*`, `predicted_*` float64) and their stamp.

    Raises:
        ArtifactError: the file is missing, changed or foreign, or holds a value that no prediction can have.
    """
    remedy = f"rerun {command_for(path, STEP3)}, or delete the file if it is no longer wanted"
    frame, stamp = read_csv(path, KIND, COLUMNS, remedy, RegressionStamp)
    if path.name != name_of(stamp["tag"]):
        raise ArtifactError(f"{shown(path)} holds the run {stamp['tag']}: give it its name back, or {remedy}")
    columns = columns_of(stamp["targets"])
    if frame.empty or any(column not in frame.columns for column in columns):
        raise ArtifactError(f"{shown(path)} holds no prediction or lacks a column of {columns}: {remedy}")
    if (twice := frame.duplicated(["clip_id", "fold"])).any():
        raise ArtifactError(
            f"{shown(path)}: a clip occurs twice in a fold: {first(frame.clip_id[twice].tolist())}: {remedy}"
        )
    for column in columns:
        try:
            frame[column] = numbers.parsed(frame[column])
        except ValueError:
            raise ArtifactError(f"{shown(path)}: column {column} holds something else than numbers: {remedy}") from None
        if (empty := frame[column].isna()).any():
            raise ArtifactError(
                f"{shown(path)}: {column} is empty for {first(frame.clip_id[empty].tolist())}: {remedy}"
            )
    return frame, stamp
