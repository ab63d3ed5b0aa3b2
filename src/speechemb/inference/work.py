"""What there is to predict, in batches: whole recordings of similar length, or segments of one recording after another.

Batches depend on the recordings and the settings only, and every chunk of some batches ends at a place from which the
work can continue, so that a resumed run gives the same rows as an uninterrupted one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechemb.audio import decoding, recording
from speechemb.audio.recording import Recording
from speechemb.encoders.batching import plan_batches
from speechemb.encoders.windows import Waveform

CHUNK = 20  # batches after which rows are written: sorting by length needs some

Place = tuple[int, int]  # number of the recording, number of its segment


@dataclass
class Piece:
    """A recording, or a segment of one (`start` to `end`, seconds), to be predicted; `fault`: why it cannot be."""

    path: Path
    waveform: Waveform | None = None
    start: float | None = None
    end: float | None = None
    fault: str = ""

    def read(self) -> None:
        """Read the recording, unless it has been."""
        if self.waveform is None and not self.fault:
            self.waveform, self.fault = read(self.path)


@dataclass
class Batch:
    """Pieces to be embedded together, the number of each in its chunk, and where the work continues after a chunk."""

    pieces: list[Piece]
    order: list[int]
    seconds: float
    then: Place | None = None  # None: the chunk has further batches


def read(path: Path) -> tuple[Waveform | None, str]:
    """The waveform at 16 kHz; or None, and why the file cannot be used."""
    try:
        found = recording.load(path)
    except decoding.AudioError as error:
        return None, error.reason
    fault = found.fault if isinstance(found, Recording) else decoding.check(found, decoding.SAMPLE_RATE)
    return (None, fault) if fault else (found, "")


class Work:
    """Recordings, to be predicted whole, or in segments of `size_s` seconds that begin every `hop_s` seconds."""

    def __init__(self, files: list[Path], size_s: float | None = None, hop_s: float | None = None) -> None:
        self.files, self.size_s, self.hop_s = files, size_s, hop_s or (size_s or 0.0) / 2
        self.seconds = np.array([recording.announced_seconds(path) for path in files])

    def batches(self, batch_seconds: float, place: Place = (0, 0)) -> Iterator[Batch]:
        """The batches from `place` on."""
        if self.size_s is None:
            return whole(self.files, self.seconds, batch_seconds, place)
        return segments(self.files, self.size_s, self.hop_s, batch_seconds, place)

    def done(self, place: Place) -> float:
        """Seconds of audio before a place."""
        return float(self.seconds[: place[0]].sum()) + place[1] * self.hop_s


def whole(files: list[Path], seconds: np.ndarray, batch_seconds: float, place: Place = (0, 0)) -> Iterator[Batch]:
    """Batches of recordings of similar length, from the recording `place` on.

    `seconds` (n_files,) float64: what the headers announce. The recordings are read by whoever computes a batch.
    """
    start = place[0]
    while start < len(files):
        so_far = np.cumsum(seconds[start:])
        end = start + max(1, int(np.searchsorted(so_far, CHUNK * batch_seconds)))
        batches = plan_batches(seconds[start:end], batch_seconds)
        for number, order in enumerate(batches, start=1):
            pieces = [Piece(files[start + i]) for i in order]
            then = (end, 0) if number == len(batches) else None
            yield Batch(pieces, order.tolist(), float(seconds[start:end][order].sum()), then)
        start = end


def segments(
    files: list[Path], size_s: float, hop_s: float, batch_seconds: float, place: Place = (0, 0)
) -> Iterator[Batch]:
    """Batches of consecutive segments of `size_s`, a new one every `hop_s`, from `place` on; see `segments_of`.

    A recording that cannot be used is a piece without a start; a segment without sound has the fault `silent`.
    """
    per_batch, batches = max(1, int(batch_seconds / size_s)), 0
    pieces: list[Piece] = []
    order = 0
    for piece, then in _pieces(files, round(size_s * decoding.SAMPLE_RATE), round(hop_s * decoding.SAMPLE_RATE), place):
        pieces.append(piece)
        ended = then[0] == len(files)
        if len(pieces) == per_batch or ended:
            batches += 1
            closed = ended or batches % CHUNK == 0
            numbers = list(range(order, order + len(pieces)))
            yield Batch(pieces, numbers, len(pieces) * hop_s, then if closed else None)
            order, pieces = (0 if closed else order + len(pieces)), []


def _pieces(files: list[Path], size: int, step: int, place: Place) -> Iterator[tuple[Piece, Place]]:
    """The segments from `place` on, each with the place after it."""
    for number in range(place[0], len(files)):
        waveform, fault = read(files[number])
        first = place[1] if number == place[0] else 0
        found = [(0, None)] if waveform is None else recording.segments_of(waveform, size, step)
        before: Piece | None = None
        for i, (start, samples) in enumerate(found):
            if before and i > first:
                yield before, (number, i)
            before = Piece(files[number], fault=fault) if samples is None else _segment(files[number], start, samples)
        if before:
            yield before, (number + 1, 0)


def _segment(path: Path, start: int, samples: np.ndarray) -> Piece:
    """A segment that begins at sample `start`."""
    rate = decoding.SAMPLE_RATE
    fault = decoding.check(samples, rate) or ""
    return Piece(path, samples, round(start / rate, 4), round((start + len(samples)) / rate, 4), fault)
