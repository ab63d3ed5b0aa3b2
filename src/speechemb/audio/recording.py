"""Recordings of any length at 16 kHz: short ones as an array, long ones in windows that are decoded one by one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from speechemb.audio.decoding import SAMPLE_RATE, resampled, stream
from speechemb.audio.measures import Measures

LONG_S = 120  # seconds; a longer recording is not held in memory


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
