"""Recordings of any length as windows for an encoder, of which only the current one has to be in memory."""

from collections.abc import Iterator

import numpy as np

from speechemb.audio.recording import Recording, windows_of

WINDOW_S = 30  # longer recordings are cut into equal windows: the cost of attention grows with the square of the length

Waveform = np.ndarray | Recording


def windows(recording: Waveform, normalize: bool) -> Iterator[np.ndarray]:
    """The windows (n,) float32 of a recording, cut as by `np.array_split`.

    With `normalize` they have zero mean and unit variance over the whole recording, as Wav2Vec2FeatureExtractor does
    it; not window by window.
    """
    mean, variance = np.float32(0), np.float32(0)
    if isinstance(recording, np.ndarray):
        recording = np.asarray(recording, dtype=np.float32)
        if normalize:
            mean, variance = recording.mean(), recording.var()
    elif normalize:
        mean, variance = (np.float32(x) for x in recording.mean_and_variance())
    scale = np.sqrt(variance + np.float32(1e-7))
    for window in windows_of(recording, WINDOW_S):
        yield (window - mean) / scale if normalize else window
