"""Whisper's log-mel spectrogram as WhisperFeatureExtractor computes it, without the 30 s of padding.

A clip is padded with silence to 30 s before the spectrogram is taken, and values more than 8 (80 dB) below the loudest
of the window are raised to that limit. Silence gives a constant, so only frames that touch the clip are computed.
"""

import torch
import torch.nn.functional as F

from speechemb.audio.decoding import SAMPLE_RATE

WINDOW_S = 30
HOP, N_FFT = 160, 400
FRAMES = WINDOW_S * SAMPLE_RATE // HOP  # of a window
_LEAST = 1e-10  # the power that silence counts as
_RANGE = 8.0  # log10 of the power between the loudest and the quietest value


class LogMel:
    """Waveform (n,) float32, n <= 30 s at 16 kHz -> (FRAMES, bins) float32 on the same device."""

    def __init__(self, bins: int, device: torch.device) -> None:
        from transformers.audio_utils import mel_filter_bank

        filters = mel_filter_bank(1 + N_FFT // 2, bins, 0.0, 8000.0, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
        self.filters = torch.from_numpy(filters).to(torch.float32).to(device)  # (N_FFT // 2 + 1, bins)
        self.taper = torch.hann_window(N_FFT, device=device)

    def __call__(self, wave: torch.Tensor) -> torch.Tensor:
        half = N_FFT // 2
        touched = min(FRAMES, (len(wave) + half) // HOP + 1)
        # the window's ends are mirrored; a shorter clip is followed by silence, which needs no mirror
        wave = F.pad(wave, (0, min(WINDOW_S * SAMPLE_RATE - len(wave), 2 * N_FFT)))
        wave = F.pad(wave[None], (half, half), mode="reflect")[0]
        frames = wave.unfold(0, N_FFT, HOP)[:touched]
        power = torch.fft.rfft(frames * self.taper).abs() ** 2
        log = (power @ self.filters).clamp(min=_LEAST).log10()
        limit = log.max() - _RANGE
        log = torch.maximum(F.pad(log, (0, 0, 0, FRAMES - touched), value=-10.0), limit)
        return (log + 4.0) / 4.0
