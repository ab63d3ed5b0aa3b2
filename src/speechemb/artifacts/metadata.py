"""`data/processed/<corpus>.csv`, written by step 1: its columns, reader and writer."""

from pathlib import Path
from typing import Any

import pandas as pd

from speechemb.artifacts import provenance
from speechemb.artifacts.storage import SCHEMA, ArtifactError, atomic, read_csv, write_csv
from speechemb.errors import first
from speechemb.paths import STEP1, shown

# One row per clip. Empty = unknown; the columns of METADATA_REQUIRED are never empty.
METADATA_COLUMNS = (
    "clip_id",  # unique, <corpus>/<file stem>
    "path",  # with /, relative to the project's root where it lies inside it
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


def write_metadata(path: Path, frame: pd.DataFrame, excluded: pd.DataFrame, **content: Any) -> None:
    """Write `<corpus>.csv` and `<corpus>_excluded.csv`; `content` is what the fingerprint covers."""
    frame, excluded = frame[list(METADATA_COLUMNS)], excluded[list(EXCLUDED_COLUMNS)]
    with atomic(path.with_name(f"{path.stem}_excluded.csv")) as temporary:
        excluded.to_csv(temporary, index=False, lineterminator="\n")
    counts = excluded["reason"].value_counts().sort_index().to_dict()
    stamp = provenance.stamp("metadata", SCHEMA, **content)
    write_csv(path, frame, {**stamp, "clips": len(frame), "excluded": counts})


def read_metadata(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The clips of a corpus (`duration_s` float, `sample_rate` int, the rest str) and their provenance.

    Raises:
        ArtifactError: the file is missing, changed, foreign or empty, or a column has a value it must not have.
    """
    remedy = f"rerun {STEP1} (a table of your own comes in with --corpora table:FILE.csv)"
    frame, stamp = read_csv(path, "metadata", METADATA_COLUMNS, remedy)
    if frame.empty:
        raise ArtifactError(f"{shown(path)} lists no clips: {remedy}")
    for column in METADATA_REQUIRED:
        if (empty := frame[column] == "").any():
            raise ArtifactError(f"{shown(path)}: column {column} is empty for {first(frame.clip_id[empty])}: {remedy}")
    if (double := frame.clip_id.duplicated()).any():
        raise ArtifactError(f"{shown(path)}: clip_id occurs twice: {first(frame.clip_id[double])}: {remedy}")
    for column, kind in (("duration_s", float), ("sample_rate", int)):
        try:
            frame[column] = frame[column].astype(kind)
        except ValueError as error:
            raise ArtifactError(
                f"{shown(path)}: column {column} holds a value that is not a number ({error}): {remedy}"
            ) from None
    return frame, stamp
