"""The baseline that embeddings have to beat: acoustic functionals, without a network or learning.

Frames of 25 ms every 10 ms: 20 MFCC with first and second differences, 40 log-mel bands, log f0 (YIN) over the voiced
frames, log energy, and six measures of spectral shape; of each the mean, the standard deviation and five percentiles
over the clip. The set is similar to ComParE and eGeMAPS (Schuller et al. 2013, Eyben et al. 2016), but not one of
them. Two more numbers: the voiced fraction and the duration in seconds.

A recording longer than WINDOW_S is cut into equal windows of at most that length. Its functionals are the means of the
windows' functionals, except the duration, which is its own. So its percentiles and standard deviations are those within
windows, and memory does not grow with the length.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from speechemb.audio.decoding import SAMPLE_RATE
from speechemb.audio.recording import Recording, windows_of
from speechemb.encoders import descriptors
from speechemb.encoders.windows import Waveform
from speechemb.processes import in_processes

PERCENTILES = (5, 25, 50, 75, 95)
WINDOW_S = 60
_WINDOW, _HOP, _FFT = 400, 160, 512
_PITCH_WINDOW = 1024  # 64 ms: at least two periods of the lowest f0
_PITCH_FRAMES = 1000  # at a time
_F0_RANGE = (60.0, 500.0)  # Hz: adult speech, including emotional speech
_VOICED_ABOVE = 0.5  # normalised autocorrelation at the lag found


class Acoustic:
    """An `encoders.Encoder` with a single layer, numbered 0."""

    own_pooling = ["functionals"]
    n_layers = 0
    precision = "fp32"
    workers, batch_seconds, settled = 2, 60, True
    reads_audio = True

    def __init__(self) -> None:
        probe = np.random.default_rng(0).normal(size=SAMPLE_RATE).astype(np.float32)
        self.dim = len(functionals(probe))
        self.identity: dict[str, Any] = {
            "name": "librosa functionals",
            "revision": "2",  # increased when the functionals change
            "dim": self.dim,
            "n_layers": 0,
            "window_s": WINDOW_S,
        }

    def start_worker(self) -> None:
        """Nothing to do: `embed` brings processes of its own."""

    def embed(self, waveforms: Sequence[Waveform], layers: list[int], methods: list[str]) -> np.ndarray:
        """Functionals (B, 1, dim) float32 of 16 kHz mono recordings, computed on all cores."""
        numbered = ((i, part) for i, wave in enumerate(waveforms) for part in windows_of(wave, WINDOW_S))
        at_once = 1 if any(isinstance(wave, Recording) for wave in waveforms) else 4
        parts = in_processes(_numbered, numbered, at_once)
        rows = np.zeros((len(waveforms), 1, self.dim), np.float32)
        for i, wave in enumerate(waveforms):
            found = [row for number, row in parts if number == i]
            rows[i, 0] = found[0] if len(found) == 1 else np.mean(found, axis=0, dtype=np.float64)
            rows[i, 0, -1] = len(wave) / SAMPLE_RATE
        return rows


def _numbered(number: int, waveform: np.ndarray) -> tuple[int, np.ndarray]:
    return number, functionals(waveform)


def functionals(waveform: np.ndarray) -> np.ndarray:
    """Vector (dim,) float32 for one waveform (n,) float32 at 16 kHz."""
    frames = _frames(waveform)
    log_f0, voiced = _pitch(waveform)
    pitch = log_f0[voiced] if voiced.any() else np.zeros(1, np.float32)
    parts = [_statistics(frames), _statistics(pitch[None])]
    parts.append(np.array([voiced.mean(), len(waveform) / SAMPLE_RATE]))
    return np.concatenate(parts).astype(np.float32)


def _statistics(frames: np.ndarray) -> np.ndarray:
    """Mean, std and percentiles over time of (features, frames), flattened."""
    percentiles = np.percentile(frames, PERCENTILES, axis=1)
    return np.concatenate([frames.mean(axis=1), frames.std(axis=1), percentiles.ravel()])


def _frames(waveform: np.ndarray) -> np.ndarray:
    """Features of every frame, (features, frames)."""
    spectrum = descriptors.magnitudes(waveform, _FFT, _HOP, _WINDOW)
    log_mel = np.log(descriptors.mel_power(spectrum, 40) + 1e-8)
    mfcc = descriptors.cepstrum(log_mel, 20)
    differences = [descriptors.differences(mfcc, order) for order in (1, 2)]
    shape = [
        *descriptors.centroid_and_bandwidth(spectrum),
        *(descriptors.rolloff(spectrum, share) for share in (0.85, 0.25)),
        np.log(descriptors.flatness(spectrum) + 1e-8),
        descriptors.zero_crossing_rate(waveform, _FFT, _HOP),
    ]
    energy = np.log(descriptors.energy(spectrum) + 1e-6)
    return np.concatenate([mfcc, *differences, log_mel, energy, *shape])


def _pitch(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Natural log of f0 in Hz, and whether the frame is voiced; both (frames,)."""
    padded = np.pad(waveform, _PITCH_WINDOW // 2)
    n = 1 + len(waveform) // _HOP
    # Part by part: the frames overlap so much that together they take 7 times the memory of the rest.
    parts = [
        _pitch_of(padded[start * _HOP : (min(start + _PITCH_FRAMES, n) - 1) * _HOP + _PITCH_WINDOW])
        for start in range(0, n, _PITCH_FRAMES)
    ]
    log_f0, voiced = (np.concatenate(values) for values in zip(*parts, strict=True))
    return log_f0, voiced


def _pitch_of(padded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same for the frames that begin at every hop of a waveform."""
    frames = descriptors.framed(padded, _PITCH_WINDOW, _HOP)
    f0 = descriptors.yin(frames, *_F0_RANGE)
    # Autocorrelation at lag L compares a frame's first W-L samples with its last W-L, both of unit length.
    lags = np.round(SAMPLE_RATE / f0).astype(int)
    index = np.arange(_PITCH_WINDOW)[:, None]
    shifted = np.take_along_axis(frames, np.minimum(index + lags, _PITCH_WINDOW - 1), axis=0)
    inside = index < _PITCH_WINDOW - lags
    early, late = frames * inside, shifted * inside
    norm = np.sqrt((early**2).sum(axis=0) * (late**2).sum(axis=0))
    return np.log(f0), (early * late).sum(axis=0) / (norm + 1e-8) > _VOICED_ABOVE
