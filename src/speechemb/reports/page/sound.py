"""The recordings of the report: embedded as Ogg/Opus, or else linked to where they lie."""

import base64
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np

from speechemb import paths
from speechemb.audio import decoding, ogg, recording, segments
from speechemb.labels import display_corpora
from speechemb.reports.page.clips import Clips
from speechemb.speakers import known, within_corpus

_PER_SECOND = 27_000 / 8 * 4 / 3  # characters of base64 for a second of sound
LIMIT = 50_000_000  # characters of embedded sound; a page that is larger opens slowly


@dataclass(frozen=True)
class Sounds:
    """Of the clips of a page, by their number: embedded sound in base64, and links to files that exist."""

    embedded: dict[int, str] = field(default_factory=dict)
    links: dict[int, str] = field(default_factory=dict)
    speakers: int = 0  # known ones, whose recordings are embedded
    corpora: str = ""  # of those
    left_out: int = 0  # clips that were to be embedded but are too long, damaged or above the limit

    @property
    def megabytes(self) -> float:
        """What the embedded sound adds to the page."""
        return sum(map(len, self.embedded.values())) / 1e6


def files_of(clips: Clips) -> dict[int, Path]:
    """The audio files of the clips, by number; only of those that lie where step 1 found them."""
    places = ((number, paths.located(path)) for number, path in enumerate(clips.table["path"]) if path)
    return {number: place for number, place in places if segments.file_of(place).is_file()}


def estimate(files: dict[int, Path], wanted: Iterable[int]) -> tuple[int, float]:
    """How many of the wanted clips have a file, and roughly the megabytes that their sound adds to the page."""
    there = [files[number] for number in dict.fromkeys(wanted) if number in files]
    return len(there), min(LIMIT, sum(map(recording.announced_seconds, there)) * _PER_SECOND) / 1e6


def gather(clips: Clips, files: dict[int, Path], wanted: Iterable[int], folder: Path) -> Sounds:
    """The sound of the `wanted` clips, in this order and up to the limit, and links to the files of all.

    Links are relative to `folder`, that of the page.
    """
    embedded, size = {}, 0
    there = [number for number in dict.fromkeys(wanted) if number in files]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(there), 64):
            part = there[start : start + 64]
            for number, sound in zip(part, pool.map(_encoded, [files[number] for number in part]), strict=True):
                if sound and size + len(sound) <= LIMIT:
                    embedded[number] = sound
                    size += len(sound)
    links = {number: _link(file, folder) for number, file in files.items() if number not in embedded}
    columns = clips.table.iloc[sorted(embedded)]
    persons = within_corpus(columns["corpus"].to_numpy(np.str_), known(columns["speaker"].to_numpy(np.str_)))
    speakers = len(set(persons.tolist()) - {""})
    corpora = display_corpora(sorted(set(columns["corpus"])))
    return Sounds(embedded, links, speakers, corpora, len(there) - len(embedded))


def _encoded(file: Path) -> str:
    """A file's sound in base64; empty where it is a long recording or cannot be read."""
    try:
        waveform = recording.load(file)
    except (decoding.AudioError, OSError):
        return ""
    if isinstance(waveform, recording.Recording):
        return ""
    return base64.b64encode(ogg.encode(waveform, decoding.SAMPLE_RATE)).decode()


def _link(file: Path, folder: Path) -> str:
    """A link for the page; browsers play the part of a recording that it names."""
    whole = segments.file_of(file)
    part = os.fspath(file)[len(os.fspath(whole)) :]
    try:
        return quote(Path(os.path.relpath(whole, folder)).as_posix()) + part
    except ValueError:  # another drive of Windows
        return whole.as_uri() + part
