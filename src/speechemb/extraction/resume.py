"""An unfinished extraction on disk, so that a run that was killed can resume.

`<out>.partial/` holds `rows.npy`, with one row per clip in the order of the metadata; `done.txt`, with the numbers of
the finished batches; `precision.txt`; and `plan.json`, with the settings.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from speechemb.artifacts import provenance
from speechemb.artifacts.storage import atomic
from speechemb.errors import InputError
from speechemb.paths import shown


def folder_of(out: Path) -> Path:
    """`X.npz` -> `X.npz.partial`."""
    return out.with_name(out.name + ".partial")


def recorded_precision(out: Path) -> str | None:
    """The precision of an unfinished run of `out`, which has to resume in the same; None if there is no such run."""
    file = folder_of(out) / "precision.txt"
    return file.read_text() if file.is_file() else None


class Rows:
    """A float32 array in a `.npy` file, of which only the rows in use are in memory.

    The file is mapped for one access at a time: the pages of a lasting map would count as the process's memory.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self.path, self.shape, self.ndim, self.dtype = path, shape, len(shape), np.dtype(np.float32)

    def create(self) -> None:
        """Make the file, full of zeros that take no disk space yet."""
        np.lib.format.open_memmap(self.path, mode="w+", dtype=self.dtype, shape=self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.array(np.load(self.path, mmap_mode="r", allow_pickle=False)[rows])

    def __setitem__(self, rows: np.ndarray, values: np.ndarray) -> None:
        mapped = np.load(self.path, mmap_mode="r+", allow_pickle=False)
        mapped[rows] = values
        mapped.flush()


class Partial:
    """The folder `<out>.partial`."""

    def __init__(self, out: Path, shape: tuple[int, int, int], settings: dict[str, Any], overwrite: bool):
        self.folder = folder_of(out)
        plan = self.folder / "plan.json"
        self.done_file = self.folder / "done.txt"
        if self.folder.exists() and (overwrite or not self.done()):
            shutil.rmtree(self.folder)
        self.rows = Rows(self.folder / "rows.npy", shape)
        if plan.is_file():
            self._check(json.loads(plan.read_text()), settings)
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.rows.create()
            with atomic(plan) as temporary:  # last: a folder without it is not a run
                temporary.write_text(provenance.canonical_json(settings))

    def _check(self, found: dict[str, Any], settings: dict[str, Any]) -> None:
        different = [key for key in settings if found.get(key) != settings[key]]
        if different:
            raise InputError(
                f"{shown(self.folder)} holds an unfinished run with another {', '.join(different)}: finish that run "
                "with its own flags, write to another --out, or discard it with --overwrite"
            )

    def done(self) -> set[int]:
        """Numbers of the finished batches; an incomplete last line does not count."""
        text = self.done_file.read_text() if self.done_file.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            self.done_file.write_text(whole)
        return {int(line) for line in whole.split()}

    def store(self, number: int, indices: np.ndarray, rows: np.ndarray, precision: str) -> None:
        """Write a batch's rows to disk, and only then its number."""
        self.rows[indices] = rows
        (self.folder / "precision.txt").write_text(precision)
        with open(self.done_file, "a") as file:
            file.write(f"{number}\n")

    def remove(self) -> None:
        """Delete the folder, after the npz is written."""
        shutil.rmtree(self.folder)
