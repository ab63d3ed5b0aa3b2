"""Whisper's log-mel spectrogram as WhisperFeatureExtractor computes it, of many clips at once.

A clip is padded with silence to 30 s before the spectrogram is taken, and values more than 8 (80 dB) below the loudest
of the window are raised to that limit. Silence gives a constant, so only frames that touch the clip are computed.
"""

import numpy as np
import torch
import torch.nn.functional as F

from speechemb.audio.decoding import SAMPLE_RATE
from speechemb.encoders.descriptors import mel_filters
from speechemb.encoders.kernels import send

WINDOW_S = 30
HOP, N_FFT = 160, 400
FRAMES = WINDOW_S * SAMPLE_RATE // HOP  # of a window
_BETWEEN = 2  # frames that touch two neighbouring clips of the concatenated signal; they are dropped
_LEAST = 1e-10  # the power that silence counts as
_RANGE = 8.0  # log10 of the power between the loudest and the quietest value


def touched(samples: int) -> int:
    """How many frames of a clip's window see the clip; all others are of silence."""
    return min(FRAMES, (samples + N_FFT // 2) // HOP + 1)


class LogMel:
    """The log-mel spectrogram with `bins` bands, computed on `device`."""

    def __init__(self, bins: int, device: torch.device) -> None:
        filters = torch.from_numpy(mel_filters(N_FFT, bins, np.float64).T)
        self.filters = filters.to(torch.float32).to(device)  # (N_FFT // 2 + 1, bins)
        self.taper = torch.hann_window(N_FFT, device=device)

    def __call__(self, waves: list[torch.Tensor], frames: list[int]) -> list[torch.Tensor]:
        """The first `frames` of each clip's window of FRAMES frames: (frames, bins) float32.

        `waves`: float32 on the CPU, at most 30 s at 16 kHz.
        """
        signals = [_padded(wave) for wave in waves]
        rows = [len(signal) // HOP for signal in signals]
        signal = torch.cat([*signals, torch.zeros(N_FFT - HOP)])
        spectra = torch.fft.rfft(send(signal, self.taper.device, torch.float32).unfold(0, N_FFT, HOP) * self.taper)
        power = torch.view_as_real(spectra).square_().sum(dim=-1)
        log = (power @ self.filters).clamp_(min=_LEAST).log10_()
        return [_scaled(part[:-_BETWEEN], n) for part, n in zip(log.split(rows), frames, strict=True)]


def _padded(wave: torch.Tensor) -> torch.Tensor:
    """The samples under the frames that touch the clip and under the _BETWEEN frames after them."""
    half = N_FFT // 2
    samples = (touched(len(wave)) + _BETWEEN) * HOP
    # the window's ends are mirrored; a shorter clip is followed by silence, which needs no mirror
    wave = F.pad(wave, (0, min(WINDOW_S * SAMPLE_RATE - len(wave), 2 * N_FFT)))
    return F.pad(wave[None], (half, half), mode="reflect")[0, :samples]


def _scaled(log: torch.Tensor, frames: int) -> torch.Tensor:
    """The first `frames` of a window from the log power of the frames that touch its clip."""
    limit = log.max() - _RANGE
    log = F.pad(log, (0, 0, 0, frames - len(log)), value=-10.0)  # a negative padding cuts
    return torch.maximum(log, limit).add_(4.0).div_(4.0)
