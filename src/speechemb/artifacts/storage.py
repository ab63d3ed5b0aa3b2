"""How the files between the scripts are written, read, and found to be up to date.

A CSV `X.csv` has a sidecar `X.meta.json`, so that plain `pandas.read_csv` works and a changed file is noticed. The
sidecar is the CSV's stamp: what the file was made from and by (`provenance.stamp`), its own SHA-256, and the SHA-256 of
the files that belong to it (`files`). An npz and a model's `model.json` carry such a stamp inside. A stamp is written
last, and an old one is removed first: a file without a valid stamp is one that a killed run left unfinished.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import provenance, schemas
from speechemb.artifacts.atomic import Together, together
from speechemb.errors import InputError
from speechemb.paths import shown

SCHEMA = 2  # of every artifact; raised when a reader of today could misread a file of tomorrow


class ArtifactError(InputError):
    """A file between the scripts is missing, truncated, foreign, changed by hand or older than its input."""


@contextmanager
def joined(files: Together | None) -> Iterator[Together]:
    """The given set of files, or one of its own for this block."""
    if files is not None:
        yield files
    else:
        with together() as own:
            yield own


def sidecar(path: Path) -> Path:
    """`X.csv` -> `X.meta.json`; of predict.py's other files `X.json` -> `X.json.meta.json`."""
    return path.with_suffix(".meta.json") if path.suffix == ".csv" else path.with_name(f"{path.name}.meta.json")


def write_json(path: Path, content: dict[str, Any], files: Together | None = None) -> None:
    """Sealed JSON with sorted keys; NaN becomes null, so that every JSON reader takes it."""
    sealed = provenance.seal(_plain(content))
    text = json.dumps(sealed, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n", files)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def write_csv(path: Path, frame: pd.DataFrame, stamp: dict[str, Any], files: Together | None = None) -> None:
    """Write a CSV and, after it, its sidecar."""
    with joined(files) as files:
        files.remove(sidecar(path))
        temporary = files.temporary(path)
        frame.to_csv(temporary, index=False, lineterminator="\n")
        write_json(sidecar(path), {**stamp, "sha256": provenance.sha256_file(temporary)}, files)


def write_text(path: Path, text: str, files: Together | None = None) -> None:
    """UTF-8 text."""
    with joined(files) as files:
        files.temporary(path).write_text(text, encoding="utf-8")


def write_figure(path: Path, figure: Any, files: Together | None = None, vector: str = "") -> None:
    """A matplotlib figure as PNG, and as `vector` (pdf or svg) beside it.

    Without the date and version that would make equal pictures differ.
    """
    unlike = {"png": "Software", "pdf": "CreationDate", "svg": "Date"}
    with joined(files) as files:
        for kind in filter(None, ("png", vector)):
            temporary = files.temporary(path.with_suffix(f".{kind}"))
            figure.savefig(temporary, format=kind, dpi=150, metadata={unlike[kind]: None})


def read_json(path: Path, kind: str, remedy: str, schema: type[schemas.Schema] = schemas.Stamp) -> dict[str, Any]:
    """A JSON artifact of this kind that follows `schema`.

    Raises:
        ArtifactError: one line that ends in `remedy`.
    """
    if not path.is_file():  # a named pipe would never end
        raise ArtifactError(f"{shown(path)} is missing: {remedy}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ArtifactError(f"{shown(path)} is not valid JSON (truncated or foreign): {remedy}") from None
    check_stamp(path, content, kind, remedy, schema)
    return content


def check_stamp(path: Path, stamp: Any, kind: str, remedy: str, schema: type[schemas.Schema] = schemas.Stamp) -> None:
    """Raise `ArtifactError` unless `stamp` is the unchanged stamp of a `kind` and follows `schema`."""
    if not isinstance(stamp, dict) or stamp.get("kind") != kind:
        found = stamp.get("kind") if isinstance(stamp, dict) else None
        raise ArtifactError(f"{shown(path)} does not hold {kind} (found: {found or 'something else'}): {remedy}")
    if stamp.get("schema") != SCHEMA:
        raise ArtifactError(f"{shown(path)} has schema {stamp.get('schema')}, not {SCHEMA}: {remedy}")
    if not provenance.sealed(stamp):
        raise ArtifactError(f"{shown(path)} was changed after it was written: {remedy}")
    if fault := schemas.fault_of(schema, stamp):
        raise ArtifactError(f"{shown(path)} does not follow its schema ({fault}): {remedy}")


def read_csv(
    path: Path, kind: str, columns: tuple[str, ...], remedy: str, schema: type[schemas.Schema] = schemas.Stamp
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A CSV of strings that equals what its sidecar says, with at least `columns`."""
    if not path.is_file():
        raise ArtifactError(f"{shown(path)} is missing: {remedy}")
    if not sidecar(path).is_file():
        raise ArtifactError(f"{shown(path)} has no {sidecar(path).name} beside it, so no script wrote it: {remedy}")
    stamp = read_json(sidecar(path), kind, remedy, schema)
    if provenance.sha256_file(path) != stamp.get("sha256"):
        raise ArtifactError(f"{shown(path)} was changed or truncated after it was written: {remedy}")
    return read_table(path, columns, remedy), stamp


def read_table(path: Path, columns: tuple[str, ...], remedy: str) -> pd.DataFrame:
    """A CSV of strings, with at least `columns`, whoever wrote it.

    Raises:
        ArtifactError: one line that ends in `remedy`.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:  # binary, empty, or rows of different lengths
        raise ArtifactError(f"{shown(path)} is not a CSV ({error}): {remedy}") from None
    if missing := [column for column in columns if column not in frame.columns]:
        raise ArtifactError(f"{shown(path)} has no column {', '.join(missing)}: {remedy}")
    return frame
