"""What is measured of a waveform that arrives in blocks: whether it is usable, its length and its level."""

import numpy as np

MIN_SECONDS = 0.1
# RMS without DC, re full scale. The quietest RAVDESS clip has -64 dB; one 16-bit step of noise has -90 dB.
SILENCE_DB = -80.0
MAX_PEAK = 1e3  # times full scale, 60 dB: beyond it, a file of floats does not hold a waveform between -1 and 1
_CLIPPED = 0.9999  # of full scale; the largest 16-bit sample is 0.99997


class Measures:
    """Length, level and faults of a waveform; `add` its blocks in order.

    `samples`, `clipped` (samples at full scale), `peak`, `finite`.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.samples = self.clipped = 0
        self.peak, self.finite = 0.0, True
        self.mean = self._squares = 0.0  # of what came so far, the squares without the mean

    def add(self, block: np.ndarray) -> None:
        """Take the next block `(n,)` float32."""
        before, self.samples = self.samples, self.samples + block.size
        if not block.size or not self.finite:
            return
        peak = max(float(block.max()), -float(block.min()))  # NaN where one sample is
        if not np.isfinite(peak):
            self.finite = False
            return
        self.peak = max(self.peak, peak)
        if peak >= _CLIPPED:
            self.clipped += int((np.abs(block) >= _CLIPPED).sum())
        mean = block.mean(dtype=np.float64)
        squares = block.var(dtype=np.float64, mean=mean[None]) * block.size
        # Chan's update: a sum of squares minus a square of the sum would lose quiet sound on a large offset
        step = mean - self.mean
        self._squares += float(squares + step**2 * before * block.size / self.samples)
        self.mean += float(step * block.size / self.samples)

    @property
    def variance(self) -> float:
        """Mean square without the mean."""
        return self._squares / max(1, self.samples)

    @property
    def rms_db(self) -> float:
        """Level in dB re full scale, without the mean."""
        return 10 * float(np.log10(max(self.variance, 1e-30)))

    def fault(self) -> str | None:
        """Why the clip is unusable, or None if it is usable."""
        if not self.finite:
            return "not finite"
        if not self.samples:
            return "empty"
        if self.peak > MAX_PEAK:
            return f"samples beyond {MAX_PEAK:.0f} times full scale"
        if self.samples < MIN_SECONDS * self.rate:
            return f"shorter than {MIN_SECONDS} s"
        # Energy, not file size: CREMA-D's silent clip is as long as the others.
        if self.variance < 10 ** (SILENCE_DB / 10):
            return "silent"
        return None


def check(waveform: np.ndarray, rate: int) -> str | None:
    """Why a clip (mono `(n,)`, `rate` in Hz) is unusable, or None if it is usable."""
    measures = Measures(rate)
    measures.add(waveform)
    return measures.fault()
