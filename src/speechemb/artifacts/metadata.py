"""`data/processed/<corpus>.csv`, which step 1 writes: its columns, its reader and its writer."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import provenance, schemas
from speechemb.artifacts.atomic import Together
from speechemb.artifacts.freshness import command_for
from speechemb.artifacts.numbers import PREFIX, NumberNames, columns_in, parsed
from speechemb.artifacts.storage import SCHEMA, ArtifactError, read_csv, write_csv
from speechemb.errors import first
from speechemb.paths import STEP1, shown

# One row per clip. Unknown = empty; the columns of REQUIRED are never empty.
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
SETTINGS = ("corpus", "source", "emotions", "fraction", "seed")  # what a file of the same name has to agree in


class MetadataStamp(schemas.Stamp):
    """The sidecar of a corpus's CSV."""

    corpus: schemas.CorpusName
    source: schemas.Text
    emotions: schemas.Labels | str
    fraction: float
    seed: schemas.Count
    clips: schemas.Count
    excluded: dict[str, int]
    sha256: schemas.Sha256
    numbers: NumberNames = []  # the columns after METADATA_COLUMNS: numbers, empty = unknown


def metadata_stamp(command: str, content: dict[str, Any]) -> dict[str, Any]:
    """The stamp of a corpus's CSV; `content` is what the fingerprint covers."""
    return provenance.stamp("metadata", SCHEMA, command, **content)


def write_metadata(
    path: Path, frame: pd.DataFrame, excluded: pd.DataFrame, stamp: dict[str, Any], files: Together
) -> None:
    """Write `<corpus>_excluded.csv`, `<corpus>.csv` and its sidecar, in this order."""
    beside = path.with_name(f"{path.stem}_excluded.csv")
    excluded.to_csv(
        temporary := files.temporary(beside), columns=list(EXCLUDED_COLUMNS), index=False, lineterminator="\n"
    )
    belonging = {beside.name: provenance.sha256_file(temporary)}
    counts = excluded["reason"].value_counts().sort_index().to_dict()
    of_numbers = columns_in(frame)
    names = {column: column.removeprefix(PREFIX) for column in of_numbers}
    frame = frame.loc[:, [*METADATA_COLUMNS, *of_numbers]].rename(columns=names)
    stamp = {**stamp, "numbers": list(names.values())} if names else stamp
    write_csv(path, frame, {**stamp, "clips": len(frame), "excluded": counts, "files": belonging}, files)


def read_metadata(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A corpus's clips (`duration_s` float, `sample_rate` int, the rest str) and their stamp.

    Columns of numbers are float64 and named `number <name>`, see `numbers`.

    Raises:
        ArtifactError: the file is missing, changed or foreign, or holds a value that no clip can have.
    """
    remedy = f"rerun {command_for(path, STEP1)} (a table of your own comes in with --corpora table:FILE.csv)"
    frame, stamp = read_csv(path, "metadata", METADATA_COLUMNS, remedy, MetadataStamp)
    if frame.empty:
        raise ArtifactError(f"{shown(path)} lists no clip: {remedy}")
    for column in METADATA_REQUIRED:
        _refuse(path, frame, frame[column] == "", f"column {column} is empty", remedy)
    _refuse(path, frame, frame.clip_id.duplicated(), "clip_id occurs twice", remedy)
    _refuse(path, frame, frame.corpus != stamp["corpus"], f"column corpus is not {stamp['corpus']}", remedy)
    _refuse(path, frame, ~frame.audio_sha256.str.fullmatch("[0-9a-f]{64}"), "audio_sha256 is no SHA-256", remedy)
    for column, kind in (("duration_s", float), ("sample_rate", int)):
        numbers = np.asarray(pd.to_numeric(frame[column], errors="coerce"), dtype=float)
        values = np.where(np.isfinite(numbers), numbers, 0)
        wrong = pd.Series((values <= 0) | (values != values.astype(kind)))
        _refuse(path, frame, wrong, f"column {column} is no {kind.__name__} above 0", remedy)
        frame[column] = values.astype(kind)
    return _with_numbers(path, frame, stamp.get("numbers", []), remedy), stamp


def _with_numbers(path: Path, frame: pd.DataFrame, names: list[str], remedy: str) -> pd.DataFrame:
    """The table with its columns of numbers as float64, under the names that they have in memory."""
    for name in names:
        try:
            frame[PREFIX + name] = parsed(frame.pop(name))
        except KeyError:
            raise ArtifactError(f"{shown(path)} has no column {name}: {remedy}") from None
        except ValueError as error:
            raise ArtifactError(f"{shown(path)}: column {name} holds no numbers ({error}): {remedy}") from None
    return frame


def _refuse(path: Path, frame: pd.DataFrame, wrong: pd.Series, what: str, remedy: str) -> None:
    if wrong.any():
        raise ArtifactError(f"{shown(path)}: {what} for {first(frame.clip_id[wrong].tolist())}: {remedy}")
