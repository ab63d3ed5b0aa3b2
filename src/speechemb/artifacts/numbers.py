"""Numbers that a corpus gives for its clips, such as arousal and valence: their names, in tables and in the npz.

In the CSV of step 1 a number has a column of its own name, and the sidecar lists these columns under `numbers`; in a
table in memory the column's name begins with PREFIX, so that no other column is taken for one. In the npz they are
`numbers` float64 (n_clips, n_numbers) and `number_names` str (n_numbers,); NaN means unknown. Both are absent where
there are none.
"""

from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field, StringConstraints

from speechemb.artifacts import schemas

PREFIX = "number "
ARRAYS = ("numbers", "number_names")
MOST = 32  # of one corpus: a table of features is not taken for one of targets
NumberName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
NumberNames = Annotated[list[NumberName], AfterValidator(schemas.different), Field(max_length=MOST)]


def columns_in(frame: pd.DataFrame) -> list[str]:
    """The columns of a table that hold such numbers."""
    return [column for column in frame.columns if column.startswith(PREFIX)]


def parsed(values: pd.Series) -> np.ndarray:
    """(n,) float64, NaN where a field is empty.

    Raises:
        ValueError: a field is no finite number.
    """
    found = np.full(len(values), np.nan)
    known = (values != "").to_numpy()
    found[known] = [float(value) for value in values[known]]
    if not np.isfinite(found[known]).all():
        raise ValueError("not finite")
    return found


def arrays_of(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """The npz's arrays of a table of clips; none where it has no numbers."""
    columns = columns_in(frame)
    if not columns:
        return {}
    names = np.array([column.removeprefix(PREFIX) for column in columns], dtype=np.str_)
    return {"numbers": frame[columns].to_numpy(dtype=np.float64), "number_names": names}


def by_name(arrays: dict[str, np.ndarray], n_clips: int) -> dict[str, np.ndarray]:
    """Name -> (n_clips,) float64 of an npz's arrays.

    Raises:
        ValueError: they hold something else.
    """
    values, names = (arrays[name] for name in ARRAYS)
    if names.dtype.kind != "U" or names.ndim != 1 or values.dtype != np.float64:
        raise ValueError("no numbers with their names")
    if values.shape != (n_clips, len(names)) or np.isinf(values).any():
        raise ValueError(f"{values.shape} numbers for {n_clips} clips and {len(names)} names")
    if fault := schemas.fault_of(NumberNames, names.tolist()):
        raise ValueError(fault)
    return dict(zip(names.tolist(), values.T, strict=True))


def joined(parts: list[dict[str, np.ndarray]], sizes: list[int]) -> dict[str, np.ndarray]:
    """The numbers of several files of so many clips, one after another; NaN where a file lacks a name."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: np.concatenate([part.get(name, np.full(size, np.nan)) for part, size in zip(parts, sizes, strict=True)])
        for name in names
    }
