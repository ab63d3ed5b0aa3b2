"""Changes of recordings, each measured on signals with known answers and on real speech."""

import numpy as np
import pytest

from speechemb.audio import changes, decoding
from speechemb.audio.changes import CHANGES, changed

RATE = 16000


@pytest.fixture(scope="module")
def noise():
    return (0.1 * np.random.default_rng(5).standard_normal(2 * RATE)).astype(np.float32)


def tones(*frequencies: float) -> np.ndarray:
    time = np.arange(2 * RATE) / RATE
    return (0.1 * sum(np.sin(2 * np.pi * f * time) for f in frequencies)).astype(np.float32)


def level(waveform: np.ndarray, low: float, high: float) -> float:
    """Power between two frequencies, in dB."""
    power = np.abs(np.fft.rfft(waveform)) ** 2
    bins = np.fft.rfftfreq(len(waveform), 1 / RATE)
    return float(10 * np.log10(power[(bins > low) & (bins < high)].sum() + 1e-30))


@pytest.mark.parametrize("snr", [20, 10])
@pytest.mark.parametrize("kind", ["babble", "white", "hum"])
def test_noise_has_the_ratio_that_its_name_says(kind, snr):
    clip, others = tones(200, 400) + 0.1, [tones(110 * k)[: 5000 * k] for k in range(1, 6)]
    added = changed(f"{kind}_{snr}db", clip, "a", others).astype(float) - clip
    assert 10 * np.log10(clip.var() / added.var()) == pytest.approx(snr, abs=0.01)


def test_hum_is_of_the_mains_and_babble_of_all_others():
    silent = np.full(2 * RATE, 1e-3, np.float32)
    silent[::2] *= -1  # power far above all multiples of 50 Hz
    hum = changed("hum_10db", silent, "a")
    assert level(hum, 49, 51) - level(hum, 551, 7000) > 60
    babble = changed("babble_10db", silent, "a", [tones(f) for f in (210, 320, 430, 540, 650)])
    levels = [level(babble, f - 5, f + 5) for f in (210, 320, 430, 540, 650)]
    assert max(levels) - min(levels) < 1


def test_a_telephone_keeps_its_band_only(noise):
    heard = changed("telephone", noise, "a")
    lost = {band: level(noise, *band) - level(heard, *band) for band in ((500, 3000), (20, 150), (4000, 7900))}
    assert abs(lost[500, 3000]) < 0.5 and lost[20, 150] > 20 and lost[4000, 7900] > 40
    coded = changed("telephone_mulaw", noise, "a")
    assert 30 < 10 * np.log10(heard.var() / (coded - heard).var()) < 45  # 8 bits of mu-law give about 38 dB


@pytest.mark.parametrize("name", ["mp3_16", "opus_13", "opus_6"])
def test_codecs_change_speech_and_move_it_by_nothing(shared, name):
    clip = decoding.load(shared / "data" / "ravdess" / "Actor_02" / "03-01-05-02-01-01-02.flac")
    coded = changed(name, clip, "a")
    assert len(coded) == len(clip)
    lags = np.correlate(np.pad(coded, 1200), clip, "valid")
    assert np.argmax(lags) == 1200
    assert 3 < 10 * np.log10(clip.var() / (coded - clip).var()) < 20


@pytest.mark.parametrize(("name", "rt60"), [("echo_0.3s", 0.3), ("echo_0.8s", 0.8)])
def test_a_room_decays_by_60_db_in_its_time(name, rt60):
    click = np.zeros(RATE, np.float32)
    click[0] = 1
    response = changed(name, click, "a").astype(float)
    assert response[0] ** 2 == pytest.approx((response[1:] ** 2).sum(), rel=0.03)  # the direct sound is as strong
    assert (response**2).mean() == pytest.approx((click**2).mean(), rel=0.01)
    start, width = int(0.1 * rt60 * RATE), int(0.05 * rt60 * RATE)
    later = start + int(0.5 * rt60 * RATE)
    fall = np.mean(response[start : start + width] ** 2) / np.mean(response[later : later + width] ** 2)
    assert 10 * np.log10(fall) == pytest.approx(30, abs=3)


def test_levels_and_silence_are_as_named():
    clip = tones(300)
    assert np.allclose(changed("quieter_12db", clip, "a"), clip * 10 ** (-12 / 20), atol=1e-6)
    assert np.allclose(changed("louder_12db", clip, "a"), clip * 10 ** (12 / 20), atol=1e-6)
    cut = changed("clipped_12db", clip, "a")
    assert np.abs(cut).max() == pytest.approx(np.abs(clip).max() * 10 ** (-12 / 20), rel=1e-4)
    assert np.array_equal(cut[np.abs(clip) < 0.02], clip[np.abs(clip) < 0.02])
    around = changed("silence_0.5s", clip, "a")
    assert np.array_equal(around[8000:-8000], clip) and not around[:8000].any() and not around[-8000:].any()


BY_LIBROSA = pytest.mark.slow  # its import takes seconds
NAMES = [pytest.param(name, marks=BY_LIBROSA) if name.startswith("pitch") else name for name in CHANGES]


@pytest.mark.parametrize("name", NAMES)
def test_length_is_announced_and_what_is_drawn_depends_on_the_id_only(name, noise):
    others = [noise[k:] for k in range(CHANGES[name].talkers)]
    one, again, other = (changed(name, noise, clip_id, others) for clip_id in ("a", "a", "b"))
    assert one.dtype == np.float32 and np.isfinite(one).all() and np.array_equal(one, again)
    assert len(one) == pytest.approx(len(noise) / CHANGES[name].speed + CHANGES[name].added_s * RATE, abs=1)
    drawn = name.startswith(("babble", "white", "hum", "echo"))
    assert np.array_equal(one, other) != drawn


def test_talkers_are_drawn_from_the_candidates_and_by_the_id():
    found = changes.talkers_of("babble_10db", "a", [3, 5, 8, 9, 11, 12, 20])
    assert len(set(found)) == 5 and set(found) <= {3, 5, 8, 9, 11, 12, 20}
    assert found == changes.talkers_of("babble_10db", "a", [3, 5, 8, 9, 11, 12, 20])
    assert len(changes.talkers_of("babble_10db", "a", [3])) == 5
    assert changes.talkers_of("white_10db", "a", [3]) == []
