"""Recordings of any length at 16 kHz: short ones as an array, long ones in windows that are decoded one by one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from speechemb.audio.decoding import SAMPLE_RATE, resampled, stream
from speechemb.audio.files import AudioError, opened
from speechemb.audio.measures import MIN_SECONDS, Measures
from speechemb.audio.segments import part_of

LONG_S = 120  # seconds; a longer recording is not held in memory
_USUAL_S = 5.0  # where a header does not say


class Recording:
    """A long recording, mono at 16 kHz. Every pass over it decodes the file again.

    `len()` is its number of samples; `fault` is why it is unusable, or None. numpy.asarray gives the whole waveform,
    with the memory that it takes.
    """

    def __init__(self, path: str | Path, expected_sha256: str | None, measures: Measures) -> None:
        self.path, self._sha256 = path, expected_sha256
        self._samples, self._mean, self._variance = measures.samples, measures.mean, measures.variance
        self.fault = measures.fault()

    def __len__(self) -> int:
        return self._samples

    def mean_and_variance(self) -> tuple[float, float]:
        """Over all samples, computed in float64."""
        return self._mean, self._variance

    def pieces(self, lengths: list[int]) -> Iterator[np.ndarray]:
        """Consecutive pieces of these numbers of samples, float32; the lengths sum up to all samples."""
        wanted, rest = iter(lengths), np.zeros(0, np.float32)
        size = next(wanted)
        with stream(self.path, self._sha256) as (rate, blocks):
            for block in resampled(blocks, rate):
                rest = np.concatenate([rest, block])
                while len(rest) >= size:
                    yield rest[:size]
                    rest = rest[size:]
                    if (size := next(wanted, 0)) == 0:
                        return

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return next(self.pieces([len(self)])).astype(dtype or np.float32, copy=False)


def load(path: str | Path, expected_sha256: str | None = None) -> np.ndarray | Recording:
    """The waveform (n,) float32 mono at 16 kHz, or a `Recording` where it is longer than LONG_S.

    Raises `AudioError` as `decoding.load` does.
    """
    measures, kept = Measures(SAMPLE_RATE), [np.zeros(0, np.float32)]
    with stream(path, expected_sha256) as (rate, blocks):
        for block in resampled(blocks, rate):
            measures.add(block)
            kept = [*kept, block] if measures.samples <= LONG_S * SAMPLE_RATE else []
    return np.concatenate(kept) if kept else Recording(path, expected_sha256, measures)


def windows_of(waveform: np.ndarray | Recording, seconds: int) -> Iterator[np.ndarray]:
    """The windows (m,) float32 of a recording, of at most `seconds` each and equal to within a sample."""
    count = max(1, -(-len(waveform) // (seconds * SAMPLE_RATE)))
    if isinstance(waveform, np.ndarray):
        return iter(np.array_split(waveform, count))
    return waveform.pieces([len(waveform) // count + (i < len(waveform) % count) for i in range(count)])


def segments_of(waveform: np.ndarray | Recording, size: int, step: int) -> Iterator[tuple[int, np.ndarray]]:
    """First sample and samples (m,) float32 of segments of `size` samples that begin `step` samples apart.

    `step` is at most `size`. The last segment reaches the end and is as long as what is left; it is none where that is
    shorter than MIN_SECONDS. Of a `Recording`, one segment at a time is in memory.
    """
    n = len(waveform)
    starts = range(0, max(1, n - size + step), step)
    starts = [start for start in starts if start == 0 or n - start >= MIN_SECONDS * SAMPLE_RATE]
    ends = [min(start + size, n) for start in starts]
    if isinstance(waveform, np.ndarray):
        yield from ((start, waveform[start:end]) for start, end in zip(starts, ends, strict=True))
        return
    held = np.zeros(0, np.float32)
    new = waveform.pieces(np.diff([0, *ends]).tolist())
    for start, end, piece in zip(starts, ends, new, strict=True):
        held = np.concatenate([held, piece])[start - end :]
        yield start, held


def announced_seconds(path: str | Path) -> float:
    """The length that a file's header announces, to plan with, not to rely on; a usual one where there is none."""
    part = part_of(path)
    if part and part.end is not None:
        return max(MIN_SECONDS, part.end - part.start)
    try:
        with opened(path) as file, soundfile.SoundFile(file.fileno(), closefd=False) as sound:
            return max(MIN_SECONDS, sound.frames / sound.samplerate) if sound.frames else _USUAL_S
    except (AudioError, OSError, soundfile.SoundFileError, TypeError, ZeroDivisionError):
        return _USUAL_S
