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
from speechemb.errors import InputError
from speechemb.paths import ROOT, shown

SCHEMA = 1  # of every artifact; raised when a reader of today could misread a file of tomorrow


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


def check_upstream(path: Path, inputs: list[dict[str, str]], command: str) -> None:
    """Raise where an input of `path` still exists but is no longer the one `path` was made from.

    `inputs`: dicts with `path` and `sha256` (of a CSV). An input that is gone cannot be checked and is accepted:
    results are meant to travel without the corpus.
    """
    for item in inputs:
        source = ROOT / item["path"]
        if source.is_file() and provenance.sha256_file(source) != item["sha256"]:
            raise ArtifactError(f"{shown(path)} was made from an earlier {item['path']}: rerun {command}")


def recorded_stamp(path: Path) -> dict[str, Any] | None:
    """The provenance block that a CSV, a JSON artifact or an npz carries; None where it has none, or a damaged one."""
    from speechemb.artifacts import npz  # imports this module

    try:
        if path.suffix == ".npz":
            found = npz.load(path, [], remedy="")[1]
        else:
            file = path if path.suffix == ".json" else sidecar(path)
            found = json.loads(file.read_text(encoding="utf-8"))
        intact = isinstance(found, dict) and provenance.seal(found) == found
    except (ArtifactError, OSError, ValueError):
        return None
    return found if intact else None


def is_up_to_date(path: Path, stamp: dict[str, Any]) -> bool:
    """Whether `path` was made from the same inputs and settings by the same code and libraries as it would be today.

    Args:
        path: a CSV, a JSON artifact or an npz
        stamp: the provenance block that it would get today; what it has of fingerprint, versions and git is compared
    """
    found = recorded_stamp(path) if path.exists() else None
    compared = [key for key in ("fingerprint", "versions", "git") if key in stamp]
    return found is not None and all(found.get(key) == stamp[key] for key in compared)


def write_text(path: Path, text: str) -> None:
    """A report for people; no script reads it."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_figure(path: Path, figure: Any) -> None:
    """A matplotlib figure as PNG, without the date and version that would make equal pictures differ."""
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})
