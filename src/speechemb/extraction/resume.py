"""An unfinished extraction on disk, so that a run that was killed can resume.

`<out>.partial/` holds `rows.npy`, with one row per clip in the order of the metadata; `done.txt`, with the number of
each finished batch and the hash of its rows; `precision.txt`; and `plan.json`, with the settings, the code and the
library versions. A folder without a plan is not a run: the plan is written last.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from speechemb.artifacts import npz, provenance
from speechemb.artifacts.atomic import atomic, discard
from speechemb.encoders import PRECISIONS
from speechemb.errors import InputError
from speechemb.paths import shown


def folder_of(out: Path) -> Path:
    """`X.npz` -> `X.npz.partial`."""
    return out.with_name(out.name + ".partial")


def recorded_precision(out: Path) -> str | None:
    """The precision of an unfinished run of `out`, which has to resume in the same; None if there is no such run."""
    folder = folder_of(out)
    text = _text(folder / "precision.txt")
    return text if text in PRECISIONS and (folder / "plan.json").is_file() else None


class Rows:
    """A float32 array in a `.npy` file, of which only the rows in use are in memory.

    The file is mapped for one access at a time: the pages of a lasting map would count as the process's memory.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self.path, self.shape, self.ndim, self.dtype = path, shape, len(shape), np.dtype(np.float32)

    def create(self) -> None:
        """Make the file, full of zeros, with all its disk space: a map of a full disk would kill the process later.

        Raises:
            OSError: the disk has no room for it.
        """
        np.lib.format.open_memmap(self.path, mode="w+", dtype=self.dtype, shape=self.shape)
        if hasattr(os, "posix_fallocate"):
            with open(self.path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, self.path.stat().st_size)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return np.array(np.load(self.path, mmap_mode="r", allow_pickle=False)[rows])

    def __setitem__(self, rows: np.ndarray, values: np.ndarray) -> None:
        # Not through a map: what is written to a file is on a disk of the network when the file is closed.
        row_bytes = self.dtype.itemsize * self.shape[1] * self.shape[2]
        with open(self.path, "r+b") as file:
            start = os.fstat(file.fileno()).st_size - len(self) * row_bytes
            for row, value in zip(rows.tolist(), values, strict=True):
                file.seek(start + row * row_bytes)
                file.write(np.asarray(value, self.dtype).tobytes())


class Partial:
    """The folder `<out>.partial`. Nothing is read or written before a method is called."""

    def __init__(self, out: Path, shape: tuple[int, int, int], settings: dict[str, Any]) -> None:
        self.folder = folder_of(out)
        self.done_file = self.folder / "done.txt"
        self.precision_file = self.folder / "precision.txt"
        self.rows = Rows(self.folder / "rows.npy", shape)
        settings = {**settings, "versions": provenance.versions(), "code": provenance.code_sha256()}
        self.settings = json.loads(provenance.canonical_json(settings))

    def begin(self, overwrite: bool) -> None:
        """Resume the run that the folder holds, or begin a new one.

        Raises:
            InputError: it holds finished batches of a run with other settings, and `overwrite` is not given.
        """
        if self._plan() is not None and self._recorded() and not overwrite:
            self.check("finish that run with its own flags")
            if self._has_rows():
                return
        self.remove()
        self._begin()

    def _plan(self) -> dict[str, Any] | None:
        """The settings of the run that the folder holds; None where it holds none, or a damaged one."""
        try:
            plan = json.loads(_text(self.folder / "plan.json"))
        except (ValueError, RecursionError):
            return None
        return plan if isinstance(plan, dict) else None

    def _begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rows.create()
        with atomic(self.folder / "plan.json") as temporary:  # last: a folder without it is not a run
            temporary.write_text(provenance.canonical_json(self.settings), encoding="utf-8")

    def check(self, remedy: str) -> None:
        """Raise an InputError where the folder holds a run with other settings."""
        plan = self._plan()
        different = [key for key in self.settings if plan is not None and plan.get(key) != self.settings[key]]
        if different:
            raise InputError(
                f"{shown(self.folder)} holds an unfinished run with another {', '.join(different)}: {remedy}, write to "
                "another --out, or discard it with --overwrite"
            )

    def claims_all(self, n_batches: int) -> bool:
        """Whether a run with these settings has recorded all its batches; only `done` looks at their rows."""
        return self._plan() == self.settings and self._recorded().keys() >= set(range(n_batches))

    def _has_rows(self) -> bool:
        """Whether the file of rows is there, and whole."""
        if not self.rows.path.is_file():  # a named pipe would never end
            return False
        try:
            rows = np.load(self.rows.path, mmap_mode="r", allow_pickle=False)
        except npz.FOREIGN:
            return False
        return rows.dtype == self.rows.dtype and rows.shape == self.rows.shape

    def _recorded(self) -> dict[int, str]:
        """Number of each finished batch and hash of its rows; a line that a kill cut short does not count."""
        pairs = [line.split() for line in _text(self.done_file).split("\n")[:-1]]
        return {int(pair[0]): pair[1] for pair in pairs if len(pair) == 2 and re.fullmatch("[0-9]{1,9}", pair[0])}

    def done(self, batches: list[np.ndarray]) -> set[int]:
        """Numbers of the batches (their clips' indices) whose rows are on the disk as they were computed."""
        recorded = self._recorded()
        return {number for number, indices in enumerate(batches) if recorded.get(number) == _hash(self.rows[indices])}

    def store(self, number: int, indices: np.ndarray, rows: np.ndarray, precision: str) -> None:
        """Write a batch's rows to the disk, and only then its number and their hash."""
        self.rows[indices] = rows
        if not self.precision_file.is_file():
            with atomic(self.precision_file) as temporary:
                temporary.write_text(precision)
        with open(self.done_file, "a") as file:
            file.write(f"{number} {_hash(rows)}\n")

    def remove(self) -> None:
        """Delete the folder."""
        discard(self.folder)


def _text(path: Path) -> str:
    """The text of a small file; empty where there is none, or something else."""
    try:
        return path.read_text(encoding="utf-8") if path.is_file() and path.stat().st_size < 2**26 else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _hash(rows: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows, dtype=np.float32).tobytes()).hexdigest()
