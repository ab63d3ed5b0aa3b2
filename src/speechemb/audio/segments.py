"""Parts of recordings, named as media fragments: `dialogue.wav#t=1.5,4.2` is the sound from 1.5 s to 4.2 s.

The form is that of the W3C (Media Fragments URI 1.0, temporal dimension): seconds, the end open where it is missing. It
goes through every column `path`, so that a part is decoded alone wherever its path is opened.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# How far an end may lie behind the recording's: times in tables are rounded. What is there is taken.
ROUNDING_S = 0.05

_FRAGMENT = re.compile(r"#t=(\d{1,9}(?:\.\d{1,9})?)(?:,(\d{1,9}(?:\.\d{1,9})?))?")
_CLOCK = re.compile(r"(?:(\d+) days? )?\+?(?:(\d+):)?(\d+):(\d+(?:[.,]\d+)?)")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?(?:[eE]-?\d+)?")
_hashes: dict[tuple[int, ...], str] = {}
_NONE = {"", "nat", "nan", "none", "null", "<na>", "na"}


@dataclass(frozen=True)
class Segment:
    """From `start` to `end` in seconds; `end` is None for the end of the recording."""

    start: float
    end: float | None

    @property
    def name(self) -> str:
        """For clip ids: `1.5-4.2`, `1.5-end`."""
        return f"{plain(self.start)}-{'end' if self.end is None else plain(self.end)}"


def plain(seconds: float) -> str:
    """`1.5`, `12`: to the microsecond, without zeros at the end."""
    text = f"{seconds:.6f}".rstrip("0").rstrip(".")
    return text or "0"


def part_of(path: str | Path) -> Segment | None:
    """The part of a recording that a path names; None for a whole file."""
    if not (found := _fragment(path)):
        return None
    return Segment(float(found[1]), None if found[2] is None else float(found[2]))


def file_of(path: str | Path) -> Path:
    """The file that holds what a path names: the path without its fragment."""
    found = _fragment(path)
    return Path(os.fspath(path)[: found.start()]) if found else Path(path)


def with_segment(path: Path, segment: Segment | None) -> Path:
    """The path of a part of a file; without a segment, of the whole."""
    if segment is None:
        return path
    end = "" if segment.end is None else f",{plain(segment.end)}"
    return path.with_name(f"{path.name}#t={plain(segment.start)}{end}")


def _fragment(path: str | Path) -> re.Match | None:
    text = os.fspath(path)
    place = text.rfind("#t=")
    return _FRAGMENT.fullmatch(text, place) if place >= 0 else None


def seconds_of(text: str) -> float | None:
    """Seconds of `1.5`, `00:00:01.5`, `00:00:01,500` or `0 days 00:00:01.500000`; None where there is no time.

    Raises:
        ValueError: it is no time, or a negative one.
    """
    if text.strip().lower() in _NONE:
        return None
    if _NUMBER.fullmatch(text):
        return float(text.replace(",", "."))
    if not (clock := _CLOCK.fullmatch(text)):
        raise ValueError(text)
    days, hours, minutes, seconds = clock.groups(default="0")
    return 60.0 * (60 * (24 * int(days) + int(hours)) + int(minutes)) + float(seconds.replace(",", "."))


def sha256_of(file: BinaryIO, compute: Callable[[BinaryIO], str]) -> str:
    """Hex SHA-256 of an open file, computed once in a process however many of the file's parts are opened."""
    state = os.fstat(file.fileno())
    key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    if key not in _hashes:
        _hashes[key] = compute(file)
    return _hashes[key]
