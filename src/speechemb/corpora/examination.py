"""The check of every clip's file: its hash, and what its audio is like. On all cores, in order, whatever their number.

What is kept of a clip is a few hundred bytes, whatever its length: numbers in arrays, and a sketch of its fingerprint.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from speechemb import terminal
from speechemb.audio import decoding, fingerprint
from speechemb.audio.files import LFS_HEAD, AudioError, opened
from speechemb.audio.measures import MAX_PEAK, Measures
from speechemb.processes import streamed

# Below it, threads: soundfile, numpy and hashlib release the interpreter's lock for most of the time, and processes
# take a second to start.
PROCESSES_FROM = 4000  # clips
_AT_ONCE = 32  # clips given to a process
Item = TypeVar("Item")


class Examined(NamedTuple):
    """A clip's file. `fault` is why its audio is unusable, empty if it is usable or was not looked at."""

    sha256: str = ""  # hex; empty where the file is empty or cannot be read
    pointer: bool = False  # of Git LFS
    seconds: float = 0.0
    rate: int = 0  # Hz
    level_db: float = 0.0
    clipped: float = 0.0  # share of samples at full scale
    sketch: np.ndarray | None = None  # of the fingerprint
    fault: str = ""


class Findings:
    """What was found of clips, by their place in the list: arrays (n,) with the names of `Examined`'s fields."""

    def __init__(self, n: int) -> None:
        self.digest = np.zeros((n, 32), np.uint8)
        self.seconds, self.level_db, self.clipped = np.zeros(n), np.zeros(n), np.zeros(n)
        self.rate = np.zeros(n, np.int64)
        self.sketch = np.full((n, fingerprint.SKETCH), np.nan, np.float16)
        self.faults: dict[int, str] = {}
        self.pointers: list[int] = []

    def add(self, place: int, one: Examined) -> None:
        """Take what was found of a clip; what another look has found stays where this one did not look."""
        if one.sha256:
            self.digest[place] = np.frombuffer(bytes.fromhex(one.sha256), np.uint8)
        if one.pointer:
            self.pointers.append(place)
        if one.fault:
            self.faults[place] = one.fault
        if one.rate:
            self.seconds[place], self.rate[place], self.level_db[place] = one.seconds, one.rate, one.level_db
            self.clipped[place] = one.clipped
        if one.sketch is not None:
            self.sketch[place] = one.sketch

    def sha256(self, place: int) -> str:
        """Hex SHA-256 of a clip's file; empty where it is empty or could not be read."""
        return self.digest[place].tobytes().hex() if self.digest[place].any() else ""


def examine_all(found: Findings, places: Sequence[int], paths: Iterable[Path], listen: Sequence[bool]) -> None:
    """Examine the files of clips, and add what is found; `listen`: whether to decode each of them."""
    tasks = zip(map(os.fspath, paths), listen, strict=True)
    answers = _answers(tasks, len(places))
    for place, one in zip(places, terminal.bar(answers, "clips", len(places), "checking"), strict=True):
        found.add(place, one)


def _answers(tasks: Iterable[tuple[str, bool]], n: int) -> Iterator[Examined]:
    if n >= PROCESSES_FROM and (os.cpu_count() or 1) > 1:
        yield from chain.from_iterable(streamed(_examined, ((part,) for part in _parts(tasks)), at_once=1))
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda task: examine(*task), tasks)


def _parts(items: Iterable[Item]) -> Iterator[list[Item]]:
    items = iter(items)
    while part := list(islice(items, _AT_ONCE)):
        yield part


def _examined(tasks: list[tuple[str, bool]]) -> list[Examined]:
    return [examine(*task) for task in tasks]


def examine(path: str | Path, listen: bool = True) -> Examined:
    """Hash a file and, with `listen`, decode it block by block, so that an hour takes no more memory than a second."""
    try:
        with opened(path) as file:
            pointer = file.read(len(LFS_HEAD)) == LFS_HEAD
            file.seek(0)
            empty = os.fstat(file.fileno()).st_size == 0
            one = Examined("" if empty else decoding.digest(file, path), pointer)
            return _listened(one, file, path) if listen else one
    except AudioError as error:
        return Examined(fault=error.reason if listen else "")
    except OSError:
        if listen:
            raise
        return Examined()


def _listened(one: Examined, file, path: str | Path) -> Examined:
    try:
        with decoding.decoded(file, path) as (rate, blocks):
            measures, mark = Measures(rate), fingerprint.Fingerprint(rate)
            for block in blocks:
                measures.add(block)
                if measures.finite and measures.peak <= MAX_PEAK:
                    mark.add(block)
    except AudioError as error:
        return one._replace(fault=error.reason)
    if fault := measures.fault():
        return one._replace(fault=fault)
    vector = mark.vector()
    return one._replace(
        seconds=round(measures.samples / rate, 4),
        rate=rate,
        level_db=round(measures.rms_db, 2),
        clipped=measures.clipped / measures.samples,
        sketch=None if vector is None else fingerprint.sketch(vector),
    )


def fingerprint_of(path: Path) -> np.ndarray:
    """The fingerprint of a clip that has one.

    Raises:
        AudioError: the file has changed since it was examined.
    """
    with decoding.stream(path) as (rate, blocks):
        mark = fingerprint.Fingerprint(rate)
        for block in blocks:
            mark.add(block)
    if (vector := mark.vector()) is None:
        raise AudioError(path, "changed while it was read")
    return vector
