"""Writing and reading artifacts: atomic writes, sealed JSON, CSV with a sidecar, and "is it up to date?".

A CSV `X.csv` has a sidecar `X.meta.json` with schema, fingerprint, input hashes, library versions, git state and the
SHA-256 of the CSV, so that plain `pandas.read_csv` works and a changed file is noticed. The npz of embeddings and the
`model.json` of a model carry the same block inside.
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

SCHEMA = 1  # of every artifact; incremented when today's readers could misread a new file


class ArtifactError(InputError):
    """A file that passes between the steps is missing, truncated, foreign, changed or older than its input."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder; it becomes `path` if the block succeeds and is deleted otherwise."""
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
    """Write sealed JSON with sorted keys; NaN becomes null, which every JSON reader accepts."""
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
    """Read a JSON artifact.

    Raises:
        ArtifactError: it is missing, damaged, changed or of another kind or schema; the message ends in `remedy`.
    """
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
    """Write a CSV and its sidecar. The old sidecar is deleted first, so that readers refuse an interrupted write."""
    sidecar(path).unlink(missing_ok=True)
    with atomic(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
    write_json(sidecar(path), {**stamp, "sha256": provenance.sha256_file(path)})


def read_csv(path: Path, kind: str, columns: tuple[str, ...], remedy: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a CSV as strings, and its provenance.

    Raises:
        ArtifactError: it is missing, changed or foreign, or lacks one of `columns`; the message ends in `remedy`.
    """
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
    """Raise an ArtifactError if an input of `path` has changed since `path` was made from it.

    `inputs`: dicts with the `path` and `sha256` of a CSV. An input that no longer exists cannot be checked and is
    accepted, so that results can be used without the corpus.
    """
    for item in inputs:
        source = ROOT / item["path"]
        if source.is_file() and provenance.sha256_file(source) != item["sha256"]:
            raise ArtifactError(f"{shown(path)} was made from an earlier {item['path']}: rerun {command}")


def recorded_stamp(path: Path) -> dict[str, Any] | None:
    """The provenance block of a CSV, a JSON artifact or an npz; None if it is missing or damaged."""
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
    """Whether making `path` again would give the same: inputs, settings, code and libraries are unchanged.

    Args:
        path: a CSV, a JSON artifact or an npz
        stamp: the provenance block it would get today; `fingerprint`, `versions` and `git` are compared, if it has them
    """
    found = recorded_stamp(path) if path.exists() else None
    compared = [key for key in ("fingerprint", "versions", "git") if key in stamp]
    return found is not None and all(found.get(key) == stamp[key] for key in compared)


def write_text(path: Path, text: str) -> None:
    """Write a report for people; no script reads it."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_figure(path: Path, figure: Any) -> None:
    """Write a matplotlib figure as PNG, without the software version, so that equal figures have equal bytes."""
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})
