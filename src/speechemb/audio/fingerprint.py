"""The same recording at another level, sample rate or in another format: found by its spectrum over time."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

# Correlation of two fingerprints from which they are of one recording. Of 157,638 pairs of RAVDESS clips of one length
# the highest is 0.973, but for a recording that is there twice; of a clip and its copy in MP3, Ogg, mu-law or at -20 dB
# the lowest is 0.9969.
SAME = 0.995
APART_S = 0.1  # seconds by which the durations of one recording may differ
_FRAME_S, _LONGEST_S, _SHORTEST = 0.05, 60, 10  # seconds, seconds, frames
_PARTS = 64  # of the time, whatever the duration
_COARSE = 16, 8  # times and bands of a sketch
SKETCH = _COARSE[0] * _COARSE[1]
_BLOCK = 1024  # clips compared at a time
_FLOOR = 1e-2  # of the mean power: what a codec leaves of near-silence differs
_EDGES = 700 * (10 ** (np.linspace(150, 2100, 17) / 2595) - 1)  # Hz: 16 bands, equal in mel, of 100 to 3,810 Hz


class Fingerprint:
    """Of the first minute of a waveform; `add` its blocks in order."""

    def __init__(self, rate: int) -> None:
        self._size = round(_FRAME_S * rate)
        self._left = round(_LONGEST_S / _FRAME_S)
        self._bands = _bands(rate)
        self._rest, self._powers = np.zeros(0, np.float32), []

    def add(self, block: np.ndarray) -> None:
        """Take the next block `(n,)` float32."""
        if not self._left:
            return
        samples = np.concatenate([self._rest, block])
        n = min(len(samples) // self._size, self._left)
        if not self._powers and n < _SHORTEST:  # perhaps a short clip, which has no fingerprint
            self._rest = samples
            return
        frames, self._rest = samples[: n * self._size].reshape(n, self._size), samples[n * self._size :]
        spectrum = np.fft.rfft(frames)
        self._powers.append((spectrum.real**2 + spectrum.imag**2).astype(np.float32) @ self._bands)
        self._left -= n

    def vector(self) -> np.ndarray | None:
        """Unit vector (1024,) float32, whose product with another is their correlation; None for a short clip."""
        powers = np.concatenate(self._powers or [np.zeros((0, len(_EDGES) - 1))])
        if len(powers) < _SHORTEST or not np.isfinite(powers).all() or not powers.any():
            return None
        levels = np.log(powers / powers.mean() + _FLOOR)
        places = (np.arange(_PARTS) + 0.5) * len(levels) / _PARTS - 0.5
        at = np.clip(places, 0, len(levels) - 1)
        low = np.floor(at).astype(int)
        high, weight = np.minimum(low + 1, len(levels) - 1), (at - low)[:, None]
        resampled = levels[low] * (1 - weight) + levels[high] * weight
        centred = resampled - resampled.mean(axis=0)  # without what all speech has in common
        norm = float(np.linalg.norm(centred))
        return (centred / norm).ravel().astype(np.float32) if norm > 0 else None


@lru_cache(maxsize=8)
def _bands(rate: int) -> np.ndarray:
    """(bins, bands) float32: which bins of a frame's spectrum belong to which band."""
    bins = np.fft.rfftfreq(round(_FRAME_S * rate), 1 / rate)[:, None]
    return ((bins >= _EDGES[:-1]) & (bins < _EDGES[1:])).astype(np.float32)


def sketch(vector: np.ndarray) -> np.ndarray:
    """(128,) float16: a fingerprint's coordinates along 128 orthonormal directions, means of 4 times and 2 bands.

    Two sketches are no farther apart than their fingerprints, so they tell which pairs need to be compared in full: one
    of a million pairs of RAVDESS, the right one.
    """
    means = vector.reshape(_COARSE[0], _PARTS // _COARSE[0], _COARSE[1], -1).mean(axis=(1, 3))
    return (means.ravel() * (len(vector) / SKETCH) ** 0.5).astype(np.float16)


def pairs(sketches: np.ndarray, seconds: np.ndarray, vector: Callable[[int], np.ndarray]) -> list[tuple[int, int]]:
    """Index pairs of clips that are the same recording.

    `sketches` (n, 128): of their fingerprints, NaN for a clip without one. `seconds` (n,): their durations. `vector`:
    gives the fingerprint of the clip with an index; it is called where two sketches are alike.
    """
    known = np.flatnonzero(np.isfinite(sketches[:, 0]))
    order = known[np.argsort(seconds[known], kind="stable")]
    lengths = seconds[order]
    ends = np.searchsorted(lengths, lengths + APART_S, side="right")
    found = []
    for start in range(0, len(order), _BLOCK):
        stop = min(start + _BLOCK, len(order))
        some, half = _halved(sketches[order[start:stop]])
        some = np.column_stack([some, half, np.ones_like(half)])
        for other in range(start, int(ends[stop - 1]), _BLOCK):
            others, half = _halved(sketches[order[other : other + _BLOCK]])
            others = np.column_stack([others, np.ones_like(half), half])
            # minus half of the squared distance, at least that of one recording; 5e-4 is for rounding
            near = some @ others.T >= -(1 - SAME) - 5e-4
            if not near.any():  # much faster than to look for where
                continue
            for i, j in zip(*np.nonzero(near), strict=True):
                if start + i < other + j < ends[start + i]:
                    found.append((int(order[start + i]), int(order[other + j])))
    return sorted((min(pair), max(pair)) for pair in found if vector(pair[0]) @ vector(pair[1]) > SAME)


def _halved(sketches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sketches in float32, and minus half of their squared lengths."""
    wide = sketches.astype(np.float32)
    return wide, -np.square(wide).sum(axis=1) / 2
