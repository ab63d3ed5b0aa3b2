"""Recordings of any length as windows for an encoder, of which only the current one has to be in memory."""

from collections.abc import Iterator

import numpy as np

from speechemb.audio.decoding import SAMPLE_RATE
from speechemb.audio.recording import Recording

WINDOW_S = 30  # longer recordings are cut into equal windows: the cost of attention grows with the square of the length


Waveform = np.ndarray | Recording


def windows(recording: Waveform, normalize: bool) -> Iterator[np.ndarray]:
    """The windows (n,) float32 of a recording, cut as by `np.array_split`.

    With `normalize` they have zero mean and unit variance over the whole recording, as Wav2Vec2FeatureExtractor does
    it; not window by window.
    """
    lengths = lengths_of(len(recording))
    if isinstance(recording, np.ndarray):
        wave = np.asarray(recording, dtype=np.float32)
        mean, variance = (wave.mean(), wave.var()) if normalize else (0.0, 0.0)
        pieces = (wave[end - n : end] for n, end in zip(lengths, np.cumsum(lengths), strict=True))
    else:
        mean, variance = recording.mean_and_variance() if normalize else (0.0, 0.0)
        pieces = recording.pieces(lengths)
    mean, scale = np.float32(mean), np.sqrt(np.float32(variance) + np.float32(1e-7))
    for piece in pieces:
        yield (piece - mean) / scale if normalize else piece


def lengths_of(samples: int) -> list[int]:
    """The lengths of a recording's windows: as equal as possible, none above WINDOW_S."""
    count = -(-samples // (WINDOW_S * SAMPLE_RATE))
    return [samples // count + (i < samples % count) for i in range(count)]
