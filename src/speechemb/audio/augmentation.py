"""Augmented copies of a clip, for training: speed, pitch, noise and loudness are drawn anew for every copy.

| change | range | method |
|---|---|---|
| speed | 0.9 to 1.1 | resampling, as Kaldi's speed perturbation: the pitch changes with it (Ko et al. 2015, "Audio Augmentation for Speech Recognition", INTERSPEECH) |
| pitch | -2 to +2 semitones | phase vocoder and resampling (`librosa.effects.pitch_shift`): the length stays the same |
| noise | 10 to 30 dB SNR | white Gaussian noise, measured against the clip's own power |
| gain | -6 to +6 dB | less where the clip would exceed full scale |

What is drawn for a copy depends only on the clip's id and the copy's number, not on the order of the clips or the
batches. A copy is called `<clip id>#aug<k>`, k from 1. Copies are never tested on and never shown on a map.
"""  # noqa: E501 (a table)

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from speechemb.audio.decoding import MIN_SECONDS, SAMPLE_RATE
from speechemb.compiled import share_cache

SPEED = (0.9, 1.1)
SEMITONES = (-2.0, 2.0)
SNR_DB = (10.0, 30.0)
GAIN_DB = (-6.0, 6.0)
MARK = "#aug"
_FFT = 1024  # 64 ms: two periods of a deep voice


@dataclass(frozen=True)
class Change:
    """What is done to one copy: a factor, semitones, dB and dB; `noise` is the seed of the noise."""

    speed: float
    semitones: float
    snr_db: float
    gain_db: float
    noise: int


def settings(copies: int) -> dict[str, Any]:
    """The part of the npz's fingerprint that covers augmentation."""
    if not copies:
        return {"copies": 0}
    ranges = {"speed": list(SPEED), "semitones": list(SEMITONES), "snr_db": list(SNR_DB), "gain_db": list(GAIN_DB)}
    return {"copies": copies, **ranges, "revision": "1"}  # raised when the definitions here change


def with_copies(clips: pd.DataFrame, copies: int) -> pd.DataFrame:
    """The clips, then the first copy of each, then the second, and so on.

    `augmented_from` is the original's id, or empty for an original. A copy has the `duration_s` of its own waveform;
    its other columns are the original's.
    """
    tables = [clips.assign(augmented_from="")]
    for number in range(1, copies + 1):
        names = [copy_id(name, number) for name in clips["clip_id"]]
        speeds = [
            within_limits(drawn(seed_of(name)), round(seconds * SAMPLE_RATE)).speed
            for name, seconds in zip(names, clips["duration_s"], strict=True)
        ]
        seconds = clips["duration_s"] / speeds
        tables.append(clips.assign(clip_id=names, duration_s=seconds, augmented_from=clips["clip_id"]))
    return pd.concat(tables, ignore_index=True)


def copy_id(clip_id: str, number: int) -> str:
    """The id of a clip's copy, numbered from 1: `ravdess/03-01-...#aug1`."""
    return f"{clip_id}{MARK}{number}"


def seed_of(name: str) -> int:
    """The seed of a copy, from its id alone: the same in every run and on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def drawn(seed: int) -> Change:
    """The change that a seed stands for."""
    rng = np.random.default_rng(seed)
    speed, semitones, snr_db, gain_db = (float(rng.uniform(*span)) for span in (SPEED, SEMITONES, SNR_DB, GAIN_DB))
    return Change(speed, semitones, snr_db, gain_db, int(rng.integers(2**63)))


def within_limits(change: Change, n: int) -> Change:
    """The same change for a clip of n samples, slowed down where the copy would be shorter than MIN_SECONDS."""
    fastest = max(1.0, n / (MIN_SECONDS * SAMPLE_RATE))
    return replace(change, speed=min(change.speed, fastest))


def augmented(waveform: np.ndarray, seed: int) -> np.ndarray:
    """An augmented copy (m,) float32 of a 16 kHz waveform (n,) float32; the same seed gives the same copy.

    m is n / speed, and at least 0.1 s unless the clip itself is shorter. All samples lie between -1 and 1.
    """
    change = within_limits(drawn(seed), len(waveform))
    changed = pitched(sped(waveform, change.speed), change.semitones)
    changed = noisy(changed, change.snr_db, change.noise)
    return louder(changed, change.gain_db).astype(np.float32)


def sped(waveform: np.ndarray, factor: float) -> np.ndarray:
    """`factor` times as fast, by resampling: length / factor, f0 and formants * factor."""
    import soxr

    return soxr.resample(waveform, SAMPLE_RATE * factor, SAMPLE_RATE, quality="HQ")


def pitched(waveform: np.ndarray, semitones: float) -> np.ndarray:
    """f0 and formants * 2^(semitones / 12), at the same length."""
    share_cache()
    import librosa

    return librosa.effects.pitch_shift(
        waveform, sr=SAMPLE_RATE, n_steps=semitones, n_fft=_FFT, res_type="soxr_hq", scale=False
    )


def noisy(waveform: np.ndarray, snr_db: float, seed: int) -> np.ndarray:
    """With white noise at exactly this signal-to-noise ratio over the whole clip (powers without DC)."""
    noise = np.random.default_rng(seed).standard_normal(len(waveform))
    wanted = waveform.std(dtype=np.float64) * 10 ** (-snr_db / 20)
    return waveform + noise * (wanted / noise.std())


def louder(waveform: np.ndarray, gain_db: float) -> np.ndarray:
    """Louder by `gain_db`, or by as much as full scale allows."""
    amplified = waveform * 10 ** (gain_db / 20)
    return amplified / max(1.0, float(np.abs(amplified).max()))
