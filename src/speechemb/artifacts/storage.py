"""Every file that passes between the scripts: its schema, its reader and its writer.

A CSV `X.csv` has a sidecar `X.meta.json` that holds schema, fingerprint, input hashes, library versions, git state
and the CSV's own SHA-256, so that plain `pandas.read_csv` works and a changed file is noticed. (The embeddings' npz,
in `embeddings.py`, and the trained models, in `trained.py`, carry the same block inside.) Writes are atomic.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import provenance
from speechemb.errors import InputError, first
from speechemb.paths import ROOT, shown

SCHEMA = 1  # of every artifact; raised when a reader of today could misread a file of tomorrow

STEP1 = "python src/1_data_preprocessing.py"
STEP2 = "python src/2_wavlm_feature_extraction.py"
STEP3 = "python src/3_train_classifiers.py"
STEP4 = "python src/4_evaluation_metrics.py"

# data/processed/<corpus>.csv, one row a clip. Unknown = empty; the columns of REQUIRED are never empty.
METADATA_COLUMNS = (
    "clip_id",  # unique, <corpus>/<file stem>
    "path",  # relative to the project's root where it lies inside, with /
    "corpus",
    "speaker",
    "session",
    "sentence",
    "gender",  # female, male
    "emotion",
    "duration_s",  # seconds
    "sample_rate",  # Hz, of the file
    "audio_sha256",  # of the file's bytes
)
METADATA_REQUIRED = ("clip_id", "path", "corpus", "emotion", "duration_s", "sample_rate", "audio_sha256")
EXCLUDED_COLUMNS = ("clip_id", "path", "emotion", "reason")
# results/predictions_<tag>.csv, one row a clip and fold, followed by one column p_<emotion> a class.
PREDICTION_COLUMNS = ("clip_id", "corpus", "speaker", "fold", "true", "predicted")


class ArtifactError(InputError):
    """A file between the scripts is missing, truncated, foreign, changed by hand or older than its input."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that becomes `path` when the block ends well, and else disappears."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o644)  # mkstemp makes it private
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Sealed JSON with sorted keys; NaN becomes null, so that every JSON reader takes it."""
    with atomic(path) as temporary:
        sealed = provenance.seal(_plain(content))
        text = json.dumps(sealed, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def read_json(path: Path, kind: str, remedy: str) -> dict[str, Any]:
    """A JSON artifact of this kind and schema, or an `ArtifactError` that ends in `remedy`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{shown(path)} is missing: {remedy}") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ArtifactError(f"{shown(path)} is not valid JSON (truncated or foreign): {remedy}") from None
    check_kind(path, content, kind, remedy)
    return content


def check_kind(path: Path, stamp: Any, kind: str, remedy: str) -> None:
    """Raise `ArtifactError` unless `stamp` is the unchanged provenance block of a `kind` in this schema."""
    if not isinstance(stamp, dict) or stamp.get("kind") != kind:
        found = stamp.get("kind") if isinstance(stamp, dict) else None
        raise ArtifactError(f"{shown(path)} does not hold {kind} (found: {found or 'something else'}): {remedy}")
    if stamp.get("schema") != SCHEMA:
        raise ArtifactError(f"{shown(path)} has schema {stamp.get('schema')}, not {SCHEMA}: {remedy}")
    if provenance.seal(stamp) != stamp:
        raise ArtifactError(f"{shown(path)} was changed after it was written: {remedy}")


def sidecar(csv: Path) -> Path:
    """`X.csv` -> `X.meta.json`."""
    return csv.with_suffix(".meta.json")


def write_csv(path: Path, frame: pd.DataFrame, stamp: dict[str, Any]) -> None:
    """Write a CSV and its sidecar. The old sidecar goes first: a kill in between leaves a pair that is refused."""
    sidecar(path).unlink(missing_ok=True)
    with atomic(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
    write_json(sidecar(path), {**stamp, "sha256": provenance.sha256_file(path)})


def read_csv(path: Path, kind: str, columns: tuple[str, ...], remedy: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A CSV of strings that equals what its sidecar says, with at least `columns`."""
    if not path.is_file():
        raise ArtifactError(f"{shown(path)} is missing: {remedy}")
    if not sidecar(path).is_file():
        raise ArtifactError(f"{shown(path)} has no {sidecar(path).name} beside it, so no script wrote it: {remedy}")
    stamp = read_json(sidecar(path), kind, remedy)
    if provenance.sha256_file(path) != stamp.get("sha256"):
        raise ArtifactError(f"{shown(path)} was changed or truncated after it was written: {remedy}")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ArtifactError(f"{shown(path)} has no column {', '.join(missing)}: {remedy}")
    return frame, stamp


def write_metadata(path: Path, frame: pd.DataFrame, excluded: pd.DataFrame, **content: Any) -> None:
    """Write `<corpus>.csv` and `<corpus>_excluded.csv`; `content` is what the fingerprint covers."""
    frame, excluded = frame[list(METADATA_COLUMNS)], excluded[list(EXCLUDED_COLUMNS)]
    with atomic(path.with_name(f"{path.stem}_excluded.csv")) as temporary:
        excluded.to_csv(temporary, index=False, lineterminator="\n")
    counts = excluded["reason"].value_counts().sort_index().to_dict()
    stamp = provenance.stamp("metadata", SCHEMA, **content)
    write_csv(path, frame, {**stamp, "clips": len(frame), "excluded": counts})


def read_metadata(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A corpus's clips (`duration_s` float, `sample_rate` int, the rest str) and their provenance."""
    remedy = f"rerun {STEP1} (a table of your own comes in with --corpora table:FILE.csv)"
    frame, stamp = read_csv(path, "metadata", METADATA_COLUMNS, remedy)
    if frame.empty:
        raise ArtifactError(f"{shown(path)} lists no clip: {remedy}")
    for column in METADATA_REQUIRED:
        if (empty := frame[column] == "").any():
            raise ArtifactError(f"{shown(path)}: column {column} is empty for {first(frame.clip_id[empty])}: {remedy}")
    if (double := frame.clip_id.duplicated()).any():
        raise ArtifactError(f"{shown(path)}: clip_id occurs twice: {first(frame.clip_id[double])}: {remedy}")
    for column, kind in (("duration_s", float), ("sample_rate", int)):
        try:
            frame[column] = frame[column].astype(kind)
        except ValueError as error:
            raise ArtifactError(f"{shown(path)}: column {column} holds no number ({error}): {remedy}") from None
    return frame, stamp


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


def check_upstream(path: Path, inputs: list[dict[str, str]], command: str) -> None:
    """Raise where an input of `path` still exists but is no longer the one `path` was made from.

    `inputs`: dicts with `path` and `sha256` (of a CSV). An input that is gone cannot be checked and is accepted:
    results are meant to travel without the corpus.
    """
    for item in inputs:
        source = ROOT / item["path"]
        if source.is_file() and provenance.sha256_file(source) != item["sha256"]:
            raise ArtifactError(f"{shown(path)} was made from an earlier {item['path']}: rerun {command}")


def stands(path: Path, stamp: dict[str, Any]) -> bool:
    """Whether `path` (a CSV, or a model's `model.json`) was made from the same input by the same code and libraries."""
    file = path if path.suffix == ".json" else sidecar(path)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return path.exists() and all(found.get(key) == stamp[key] for key in ("fingerprint", "versions", "git"))


def write_log(path: Path, rows: list[dict[str, Any]], stamp: dict[str, Any]) -> None:
    """Step 3's log `results/training_<tag>.csv`: one row a fold with clip and group counts and its figures."""
    write_csv(path, pd.DataFrame(rows).round(6), {**stamp, "kind": "training log"})


def write_text(path: Path, text: str) -> None:
    """A report for people; no script reads it."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_figure(path: Path, figure: Any) -> None:
    """A matplotlib figure as PNG, without the date and version that would make equal pictures differ."""
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})
