"""Decoding, resampling and the checks of a clip."""

import hashlib

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from speechemb.audio import decoding, fingerprint
from speechemb.errors import InputError


def tone(rate: int, hz: float = 440.0, seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def strongest_hz(waveform: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return spectrum.argmax() * rate / len(waveform)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_any_sample_rate_becomes_16_khz_and_keeps_pitch_and_level(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", tone(rate), rate, subtype="FLOAT")
    loaded = decoding.load(tmp_path / "a.wav")
    assert loaded.dtype == np.float32 and loaded.shape == (16_000,)
    assert strongest_hz(loaded, 16_000) == pytest.approx(440, abs=1)
    assert loaded[1000:-1000].std() == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)
    assert decoding.read(tmp_path / "a.wav")[1] == rate


def test_resampling_removes_what_16_khz_cannot_hold(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(48_000, hz=12_000), 48_000, subtype="FLOAT")
    assert np.abs(decoding.load(tmp_path / "a.wav")[500:-500]).max() < 1e-4


def test_resampling_of_speech_agrees_with_scipy(shared):
    path = sorted((shared / "data" / "ravdess_original").glob("*.wav"))[0]
    waveform, rate = decoding.read(path)
    ours, theirs = decoding.load(path), resample_poly(waveform.astype(np.float64), 1, rate // 16_000)
    assert rate == 48_000 and abs(len(ours) - len(theirs)) <= 1
    n = min(len(ours), len(theirs))
    # Their filters differ near 8 kHz, where one of them has to give way; below 6 kHz nothing may differ.
    ours, theirs = (np.fft.rfft(x[:n])[: n * 6_000 // 16_000] for x in (ours, theirs))
    assert np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) < 2e-3


def test_stereo_is_averaged(tmp_path):
    left, right = tone(16_000), tone(16_000, hz=880)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(decoding.load(tmp_path / "a.wav"), (left + right) / 2, atol=1e-6)


def test_real_stereo_clips_are_read_as_mono(shared):
    paths = sorted((shared / "data" / "ravdess_original").glob("*.wav"))
    channels = [soundfile.info(path).channels for path in paths]
    assert channels.count(2) == 5
    assert all(decoding.read(path)[0].ndim == 1 for path in paths)


@pytest.mark.parametrize("kind", ["AIFF", "FLAC", "OGG", "WAV"])
def test_content_counts_not_the_name(tmp_path, kind):
    soundfile.write(tmp_path / "clip.wav", tone(16_000), 16_000, format=kind)
    assert strongest_hz(decoding.load(tmp_path / "clip.wav"), 16_000) == pytest.approx(440, abs=1)


@pytest.mark.parametrize(
    ("waveform", "reason"),
    [
        (np.zeros(0), "empty"),
        (np.r_[tone(16_000), np.nan], "not finite"),
        (np.r_[tone(16_000), np.inf], "not finite"),
        (tone(16_000)[:1599], "shorter than 0.1 s"),
        (tone(16_000)[:1600], None),
        (np.zeros(41_000), "silent"),
        (np.full(41_000, 0.2), "silent"),  # a constant offset is no sound
        (0.9e-4 * np.sqrt(2) * tone(16_000) / 0.5, "silent"),
        (1.1e-4 * np.sqrt(2) * tone(16_000) / 0.5, None),
    ],
)
def test_check_names_the_reason(waveform, reason):
    assert decoding.check(waveform.astype(np.float32), 16_000) == reason


def test_no_real_clip_counts_as_unusable(shared):
    for path in sorted((shared / "data" / "ravdess" / "Actor_01").glob("*.flac")):
        assert decoding.check(*decoding.read(path)) is None


def damaged(kind: str, keep: float):
    def make(path):
        soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 32_000), 16_000, format=kind)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])

    return make


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (damaged("FLAC", 0.5), "truncated or damaged"),
        (damaged("WAV", 0.5), "truncated"),
        (damaged("AIFF", 0.5), "truncated"),
        (damaged("WAV", 0.0), "empty"),
        (lambda path: path.write_bytes(b"<html>not found</html>" * 50), "cannot be decoded"),
        (
            lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid x\n"),
            "git lfs pull",
        ),
        (lambda path: soundfile.write(path, np.ones(200), 10), "sample rate below"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: None, "missing"),
    ],
)
def test_unreadable_files_raise_one_line_with_the_name(tmp_path, make, reason):
    make(tmp_path / "bad.wav")
    with pytest.raises(InputError, match=reason) as raised:
        decoding.load(tmp_path / "bad.wav")
    assert "bad.wav" in str(raised.value) and "\n" not in str(raised.value)


def test_a_header_that_promises_too_much_does_not_take_the_memory(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(16_000), 16_000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] |= 0x0F  # STREAMINFO's number of samples, 36 bits: 64 billion samples, 256 GB of float32
    data[22:26] = b"\xff" * 4
    (tmp_path / "a.flac").write_bytes(data)
    with pytest.raises(InputError, match="truncated|decoded"):
        decoding.load(tmp_path / "a.flac")


def test_wav_written_into_a_pipe_is_not_truncated(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16_000), 16_000)
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data[:4] + b"\xff" * 4 + data[8:40] + b"\xff" * 4 + data[44:])
    assert decoding.load(tmp_path / "a.wav").shape == (16_000,)


def test_load_refuses_a_file_that_changed(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(16_000), 16_000)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert decoding.load(path, sha256).shape == (16_000,)
    soundfile.write(path, tone(16_000, hz=441), 16_000)
    with pytest.raises(InputError, match="changed since step 1; rerun python src/1_data_preprocessing.py"):
        decoding.load(path, sha256)


def test_audio_files_are_sorted_and_skip_what_macos_leaves(tmp_path):
    for name in ("b.WAV", "a.flac", "inside/c.mp3", "._b.wav", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in decoding.audio_files(tmp_path)]
    assert found == ["a.flac", "b.WAV", "inside/c.mp3"]
    assert [path.name for path in decoding.audio_files(tmp_path, recursive=False)] == ["a.flac", "b.WAV"]


def test_a_fingerprint_takes_blocks_shorter_than_a_frame():
    wave = np.random.default_rng(0).normal(size=16000).astype(np.float32)
    whole, parts, short = (fingerprint.Fingerprint(16000) for _ in range(3))
    whole.add(wave)
    for start in range(0, 16000, 50):
        parts.add(wave[start : start + 50])
    short.add(wave[:62])
    np.testing.assert_allclose(parts.vector(), whole.vector(), atol=1e-6)
    assert short.vector() is None
