"""An unfinished extraction on the disk, so that a killed run goes on where it was.

`<out>.partial/` holds `rows.npy`, with a row for every clip in the order of the metadata, `done.txt` with the number of
each finished batch, and `plan.json` with the settings.
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
    """The precision that an unfinished run of `out` computed in: going on in another would mix two."""
    file = folder_of(out) / "precision.txt"
    return file.read_text() if file.is_file() else None


class Rows:
    """A float32 array in a `.npy` file, of which only the rows asked for are in memory.

    The file is mapped for the length of one access: pages of a map that stays would count as the process's memory.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self.path, self.shape, self.ndim, self.dtype = path, shape, len(shape), np.dtype(np.float32)

    def create(self) -> None:
        """Make the file, full of zeros that take no room yet."""
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
            with atomic(plan) as temporary:  # last: without it the folder counts as empty
                temporary.write_text(provenance.canonical_json(settings))

    def _check(self, found: dict[str, Any], settings: dict[str, Any]) -> None:
        different = [key for key in settings if found.get(key) != settings[key]]
        if different:
            raise InputError(
                f"{shown(self.folder)} holds an unfinished run with another {', '.join(different)}: finish that one "
                "with its own flags, write to another --out, or discard it with --overwrite"
            )

    def done(self) -> set[int]:
        """Numbers of the finished batches; a line that a kill cut short does not count."""
        text = self.done_file.read_text() if self.done_file.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            self.done_file.write_text(whole)
        return {int(line) for line in whole.split()}

    def store(self, number: int, indices: np.ndarray, rows: np.ndarray, precision: str) -> None:
        """Write a batch's rows to the disk, and only then its number."""
        self.rows[indices] = rows
        (self.folder / "precision.txt").write_text(precision)
        with open(self.done_file, "a") as file:
            file.write(f"{number}\n")

    def remove(self) -> None:
        """Delete the folder, once the npz stands."""
        shutil.rmtree(self.folder)
