"""The acoustic baseline's descriptors against librosa, and Whisper's mel filters against transformers."""

import numpy as np
import pytest
from support.models import noise

from speechemb.audio.decoding import load
from speechemb.encoders import acoustic, descriptors

SILENCE, TONE = np.zeros(4000, np.float32), 0.3 * np.sin(2 * np.pi * 220 / 16_000 * np.arange(20_000, dtype=np.float32))


def by_librosa(wave: np.ndarray) -> np.ndarray:
    """`acoustic._frames` as librosa computes it."""
    import librosa

    spectrum = np.abs(librosa.stft(wave, n_fft=512, hop_length=160, win_length=400))
    log_mel = np.log(librosa.feature.melspectrogram(S=spectrum**2, sr=16_000, n_mels=40) + 1e-8)
    mfcc = librosa.feature.mfcc(S=log_mel, n_mfcc=20)
    return np.concatenate(
        [
            mfcc,
            *(librosa.feature.delta(mfcc, width=9, order=order) for order in (1, 2)),
            log_mel,
            np.log(librosa.feature.rms(S=spectrum, frame_length=512) + 1e-6),
            librosa.feature.spectral_centroid(S=spectrum, sr=16_000),
            librosa.feature.spectral_bandwidth(S=spectrum, sr=16_000),
            *(librosa.feature.spectral_rolloff(S=spectrum, sr=16_000, roll_percent=share) for share in (0.85, 0.25)),
            np.log(librosa.feature.spectral_flatness(S=spectrum) + 1e-8),
            librosa.feature.zero_crossing_rate(wave, frame_length=512, hop_length=160),
        ]
    )


@pytest.mark.slow
def test_frames_and_pitch_are_those_of_librosa(shared):
    librosa = pytest.importorskip("librosa")
    clips = sorted((shared / "data/ravdess/Actor_05").glob("*"))[::20]
    assert clips
    for wave in (*noise([0.1, 1.3]), SILENCE, TONE, *(load(clip) for clip in clips)):
        np.testing.assert_allclose(acoustic._frames(wave), by_librosa(wave), rtol=1e-6, atol=1e-6)
        padded = np.pad(wave, 512)
        f0 = descriptors.yin(descriptors.framed(padded, 1024, 160), 60.0, 500.0)
        settings = {"sr": 16_000, "frame_length": 1024, "hop_length": 160, "center": False}
        np.testing.assert_allclose(f0, librosa.yin(padded, fmin=60.0, fmax=500.0, **settings), rtol=1e-6)


@pytest.mark.parametrize("bands", [80, 128])
def test_mel_filters_are_those_of_transformers(bands):
    audio_utils = pytest.importorskip("transformers.audio_utils")
    theirs = audio_utils.mel_filter_bank(201, bands, 0.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
    ours = descriptors.mel_filters(400, bands, np.float64).T
    assert np.array_equal(ours.astype(np.float32), theirs.astype(np.float32))
