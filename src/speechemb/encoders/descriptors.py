"""Low-level descriptors of speech, frame by frame, with the definitions and the rounding of librosa 0.11.

librosa compiles functions with Numba when it is imported: half a minute once, and some seconds in every later process.
What the acoustic baseline needs of it is short. Frames are centred, and the signal lies between zeros.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from speechemb.audio.decoding import SAMPLE_RATE

_LINEAR_HZ, _LINEAR_STEP, _LOG_STEP = 1000.0, 200.0 / 3, np.log(6.4) / 27.0  # of the Slaney mel scale


def framed(signal: np.ndarray, length: int, hop: int) -> np.ndarray:
    """View (length, frames) of a signal (n,)."""
    return sliding_window_view(signal, length)[::hop].T


def magnitudes(waveform: np.ndarray, n_fft: int, hop: int, window: int) -> np.ndarray:
    """Magnitude spectrum (n_fft / 2 + 1, frames) float32 through a Hann window of so many samples."""
    from scipy import fft
    from scipy.signal import get_window

    before = (n_fft - window) // 2
    taper = np.pad(get_window("hann", window), (before, n_fft - window - before))
    frames = framed(np.pad(waveform, n_fft // 2), n_fft, hop)
    spectrum: Any = fft.rfft(taper[:, None] * frames, axis=0)
    return np.abs(spectrum.astype(np.complex64, order="F"))  # frame after frame, which decides how sums are rounded


def mel_filters(n_fft: int, bands: int, dtype: type = np.float32) -> np.ndarray:
    """Triangular filters (bands, n_fft / 2 + 1) from 0 to 8 kHz on the mel scale of Slaney's Auditory Toolbox (1998),
    each with the area of one band."""
    top = _LINEAR_HZ / _LINEAR_STEP + np.log(SAMPLE_RATE / 2 / _LINEAR_HZ) / _LOG_STEP
    mels = np.linspace(0.0, top, bands + 2)
    edges = mels * _LINEAR_STEP
    above = mels >= _LINEAR_HZ / _LINEAR_STEP
    edges[above] = _LINEAR_HZ * np.exp(_LOG_STEP * (mels[above] - _LINEAR_HZ / _LINEAR_STEP))
    ramps = np.subtract.outer(edges, np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE))
    widths = np.diff(edges)[:, None]
    filters = np.maximum(0, np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:])).astype(dtype)
    filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return filters


def mel_power(spectrum: np.ndarray, bands: int) -> np.ndarray:
    """Power (bands, frames) of a magnitude spectrum in the bands of `mel_filters`."""
    filters = mel_filters(2 * (len(spectrum) - 1), bands)
    return np.einsum("...ft,mf->...mt", spectrum**2, filters, optimize=True)


def cepstrum(log_mel: np.ndarray, coefficients: int) -> np.ndarray:
    """MFCC (coefficients, frames)."""
    from scipy import fft

    found: Any = fft.dct(log_mel, axis=0, norm="ortho")
    return found[:coefficients]


def differences(values: np.ndarray, order: int) -> np.ndarray:
    """Local estimate of the first or second derivative over nine frames (Savitzky and Golay, 1964)."""
    from scipy.signal import savgol_filter

    found: Any = savgol_filter(values, 9, polyorder=order, deriv=order, axis=-1)
    return found


def flatness(spectrum: np.ndarray) -> np.ndarray:
    """Geometric over arithmetic mean of the power, (1, frames)."""
    power = np.maximum(1e-10, spectrum**2)
    return np.exp(np.log(power).mean(axis=0, keepdims=True)) / power.mean(axis=0, keepdims=True)


def centroid_and_bandwidth(spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the frequency in Hz, weighted by magnitude; both (1, frames)."""
    frequencies = _frequencies(spectrum)
    total = np.abs(spectrum).astype(float).sum(axis=0, keepdims=True)
    total[total < np.finfo(spectrum.dtype).tiny] = 1.0
    share = (spectrum / total).astype(spectrum.dtype)
    centroid = (frequencies[:, None] * share).sum(axis=0, keepdims=True)
    deviation = np.abs(np.subtract.outer(centroid[0], frequencies).T)
    return centroid, (share * deviation**2).sum(axis=0, keepdims=True) ** 0.5


def rolloff(spectrum: np.ndarray, share: float) -> np.ndarray:
    """Frequency in Hz below which this share of the magnitude lies, (1, frames)."""
    total = np.cumsum(spectrum, axis=0)
    first = (total >= np.float32(share) * total[-1]).argmax(axis=0)
    return _frequencies(spectrum)[first][None]


def zero_crossing_rate(waveform: np.ndarray, length: int, hop: int) -> np.ndarray:
    """Share of the samples of a frame whose sign is not that of the sample before, (1, frames)."""
    padded = np.pad(waveform, length // 2, mode="edge")
    negative = np.signbit(np.where(np.abs(padded) <= 1e-10, 0, padded))
    crossing = np.diff(negative, prepend=negative[:1])
    frames = framed(crossing, length, hop).copy()
    frames[0] = False
    return frames.mean(axis=0, keepdims=True)


def energy(spectrum: np.ndarray) -> np.ndarray:
    """Root mean square of the windowed frame, (1, frames)."""
    power = np.square(spectrum)
    power[[0, -1]] *= 0.5
    return np.sqrt(2 * power.sum(axis=0, keepdims=True) / (2 * (len(spectrum) - 1)) ** 2)


def _frequencies(spectrum: np.ndarray) -> np.ndarray:
    return np.fft.rfftfreq(2 * (len(spectrum) - 1), 1 / SAMPLE_RATE)


def yin(frames: np.ndarray, low: float, high: float, trough: float = 0.1) -> np.ndarray:
    """f0 in Hz of frames (samples, frames), by YIN (de Cheveigné and Kawahara, 2002), between `low` and `high` Hz.

    The lag is the first local minimum of the difference function that is below `trough`, or else its least value.
    """
    shortest, longest = int(np.floor(SAMPLE_RATE / high)), int(np.ceil(SAMPLE_RATE / low))
    difference = _difference(frames, shortest, longest)
    before, here, after = difference[:-2], difference[1:-1], difference[2:]
    is_trough = np.empty(difference.shape, bool)
    is_trough[1:-1] = (here < before) & (here <= after)
    is_trough[0], is_trough[-1] = difference[0] < difference[1], difference[-1] < difference[-2]
    is_trough &= difference < trough
    lag = np.where(is_trough.any(axis=0), is_trough.argmax(axis=0), difference.argmin(axis=0))
    # the minimum of the parabola through the lag and its neighbours
    shifts = np.zeros_like(difference)
    curvature, slope = after + before - 2 * here, (after - before) / 2
    inside = np.abs(slope) < np.abs(curvature)
    np.divide(-slope, curvature, out=shifts[1:-1], where=inside)
    return SAMPLE_RATE / (shortest + lag + np.take_along_axis(shifts, lag[None], axis=0)[0])


def _difference(frames: np.ndarray, shortest: int, longest: int) -> np.ndarray:
    """The cumulative mean normalised difference at the lags from `shortest` to `longest`, (lags, frames)."""
    from scipy import fft

    size = fft.next_fast_len(2 * len(frames) - 1, real=True)
    spectrum: Any = fft.rfft(frames, n=size, axis=0)
    correlation: Any = fft.irfft(spectrum.real**2 + spectrum.imag**2, n=size, axis=0)[: longest + 1]
    squares = np.cumsum(np.square(frames), axis=0)
    squares[0] = 0  # so it is in librosa; it is one sample of a thousand
    difference = 2 * (correlation[0] - correlation[1:]) - squares[:longest]
    mean = np.cumsum(difference, axis=0) / np.arange(1, longest + 1)[:, None]
    numerator, denominator = difference[shortest - 1 :], mean[shortest - 1 :]
    return numerator / (denominator + np.finfo(denominator.dtype).tiny)
