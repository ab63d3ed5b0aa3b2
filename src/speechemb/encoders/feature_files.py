"""Features that somebody else computed, as files: a folder of `.npy`, an npz, or a table. One array per name.

Nothing is trusted: no pickle, no array larger than its file says, one line where something is wrong.
"""

import csv
import io
import warnings
import zipfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from speechemb.artifacts import npz
from speechemb.artifacts.metadata import METADATA_COLUMNS
from speechemb.audio import files
from speechemb.encoders import FEATURES
from speechemb.errors import InputError, first
from speechemb.paths import shown

TABLES = (".csv", ".tsv", ".txt", ".parquet")
KEYS = ("clip_id", "path", "file", "filename", "name", "id")  # the first of these columns names the clip
# Columns that say what a clip is, not how it sounds: a label among the features would be read off by any classifier.
# The last line is written by openSMILE and pandas.
NOT_FEATURES = {
    *(*KEYS, *METADATA_COLUMNS, "label", "labels", "class", "target", "actor", "split", "subset", "fold", "test_fold"),
    *("start", "end", "frametime", "index", "level_0", ""),
}


class Store(Protocol):
    """The arrays of a folder or file; `names[i]` says which clip array i is for."""

    names: list[str]

    def read(self, i: int) -> np.ndarray:
        """Array i as it is stored. Raises an InputError where it cannot be read."""
        ...

    def label(self, i: int) -> str:
        """What a message calls array i."""
        ...

    def place(self, index: tuple[int, ...]) -> str:
        """What a message calls a number at this index of an array."""
        ...


class Folder:
    """A folder of `.npy` files, also in folders of its own; a name is the path in the folder, without `.npy`."""

    def __init__(self, folder: Path) -> None:
        self._files, others = files.search(folder, suffixes=(".npy",))
        if not self._files:
            found = f" ({files.passed_over(others)})" if others else ""
            raise InputError(f"{shown(folder)} holds no .npy file{found}: save one array per clip with numpy.save")
        self.names = [path.relative_to(folder).as_posix()[: -len(".npy")] for path in self._files]

    def read(self, i: int) -> np.ndarray:
        with files.opened(self._files[i]) as stream:
            return _parsed(stream.read(), self.label(i))

    def label(self, i: int) -> str:
        return files.printable(shown(self._files[i]))

    def place(self, index: tuple[int, ...]) -> str:
        return _index(index)


class Archive:
    """An npz with one array per clip, under the clip's name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._archive = zipfile.ZipFile(path)
            self._size = path.stat().st_size
            self._members = [name for name in self._archive.namelist() if name.endswith(".npy")]
        except npz.FOREIGN as error:
            raise InputError(f"{shown(path)} cannot be read as npz ({error}): save it with numpy.savez") from None
        if not self._members:
            raise InputError(f"{shown(path)} holds no array: save one per clip with numpy.savez, named after the clip")
        self.names = [name[: -len(".npy")] for name in self._members]

    def read(self, i: int) -> np.ndarray:
        try:
            with self._archive.open(self._members[i]) as member:
                content = member.read(self._size + 1000)  # sizes are not trusted
        except npz.FOREIGN as error:
            raise InputError(f"{self.label(i)} cannot be read ({error}): save the npz anew") from None
        return _parsed(content, self.label(i))

    def label(self, i: int) -> str:
        return f"{shown(self._path)}: {files.printable(self.names[i])}"

    def place(self, index: tuple[int, ...]) -> str:
        return _index(index)


class Table:
    """A CSV or parquet with a row per clip: a column of KEYS, and a column per feature."""

    def __init__(self, path: Path) -> None:
        self._path = path
        frame = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
        lower = {str(column).lower(): column for column in frame.columns}
        key = next((lower[name] for name in KEYS if name in lower), None)
        if key is None or frame.empty:
            lacks = "no row" if key is not None else f"no column {', '.join(KEYS[:-1])} or {KEYS[-1]}"
            raise InputError(f"{shown(path)} has {lacks}: give one row per clip, with its clip id or path")
        self.names = [str(name).strip().strip("'") for name in frame[key].fillna("")]
        twice = sorted({name for name, n in zip(*np.unique(self.names, return_counts=True), strict=True) if n > 1})
        if twice or "" in self.names:
            what = f"names {first(twice)} twice" if "" not in self.names else "is empty in a row"
            raise InputError(f"{shown(path)}: column {key} {what}: give one row per clip, not one per frame or segment")
        self._columns, self._values = self._features(frame)

    def _features(self, frame: Any) -> tuple[list[str], np.ndarray]:
        """Names and values (n, d) float32 of the columns that are features."""
        import pandas as pd

        is_other = [str(c).lower() in NOT_FEATURES or str(c).startswith("Unnamed: ") for c in frame.columns]
        self.not_features = [str(c) for c, other in zip(frame.columns, is_other, strict=True) if other][1:]
        features = frame.loc[:, [not other for other in is_other]]
        for column in features.columns:
            if not pd.api.types.is_numeric_dtype(features[column]):
                bad = np.isnan(np.asarray(pd.to_numeric(features[column], errors="coerce"), dtype=float))
                names = first(np.array(self.names)[bad].tolist())
                raise InputError(f"{shown(self._path)}: column {column} is no number for {names}: fill in or drop it")
        if not len(features.columns):
            raise InputError(f"{shown(self._path)} has no column of features beside {', '.join(frame.columns)}")
        with np.errstate(over="ignore"):
            return list(map(str, features.columns)), features.to_numpy(np.float32, na_value=np.nan)

    def read(self, i: int) -> np.ndarray:
        return self._values[i]

    def label(self, i: int) -> str:
        return f"{shown(self._path)}: {self.names[i]}"

    def place(self, index: tuple[int, ...]) -> str:
        return f"column {self._columns[index[0]]}"


def opened(path: Path, given: str) -> Store:
    """The features that lie at `path`; `given` is what messages call it.

    Raises:
        InputError: there is nothing, or it is of no such kind.
    """
    if path.is_dir():
        return Folder(path)
    if not path.is_file():
        raise InputError(f"{given}: {shown(path)} does not exist: give a folder of .npy files, an npz, or a table")
    if path.suffix.lower() == ".npz":
        return Archive(path)
    if path.suffix.lower() in TABLES:
        return Table(path)
    raise InputError(f"{given}: is no folder of .npy files, .npz, {', '.join(TABLES[:-1])} or {TABLES[-1]}")


def _parsed(content: bytes, label: str) -> np.ndarray:
    try:
        return npz.array_of(content)
    except npz.FOREIGN as error:
        remedy = "save it with numpy.save and allow_pickle=False"
        raise InputError(f"{label} cannot be read as .npy ({error}): {remedy}") from None


def _index(index: tuple[int, ...]) -> str:
    return f"index {', '.join(map(str, index))}"


def _csv(path: Path) -> Any:
    """A CSV in UTF-8, separated by commas, semicolons or tabs; the columns that name clips are strings."""
    import pandas as pd

    text = files.table_text(path, f"{FEATURES}{shown(path)}", "give another file")
    header = text.partition("\n")[0].rstrip("\r")
    separator = max(",\t;", key=header.count)
    columns = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
    lower = [name.lower() for name in columns]
    if twice := sorted({name for name in lower if name and lower.count(name) > 1}):
        raise InputError(f"{shown(path)}: two columns are called {first(twice)}: rename or drop one")
    strings = {i: str for i, name in enumerate(lower) if name in KEYS}
    options: Any = {"sep": separator, "index_col": False, "dtype": strings, "float_precision": "round_trip"}
    try:
        with warnings.catch_warnings():  # pandas only warns of a row with more fields than the header, and cuts it
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(io.StringIO(text), header=0, low_memory=False, **options)
    except (ValueError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise InputError(f"{shown(path)} cannot be read as CSV ({error}): save it anew") from None
    return frame.set_axis(columns, axis=1)


def _parquet(path: Path) -> Any:
    import pandas as pd

    try:
        with files.opened(path) as stream:
            frame = pd.read_parquet(stream)
    except ImportError:
        raise InputError(f"{shown(path)}: parquet needs pyarrow: run `pip install pyarrow`, or give a CSV") from None
    except (ValueError, OSError, TypeError, KeyError, NotImplementedError) as error:
        raise InputError(f"{shown(path)} cannot be read as parquet ({error}): save it anew, or give a CSV") from None
    return frame.reset_index() if any(frame.index.names) else frame
