"""The bundled synthetic corpus: complete, balanced, well-formed, and with the prosody that its labels promise."""

import csv
import hashlib
import importlib.util
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import soundfile
from conftest import ROOT

DEMO = ROOT / "data" / "demo"
CLIPS = sorted((DEMO / "AudioWAV").iterdir())
NAMES = [tuple(path.stem.split("_")) for path in CLIPS]  # actor, sentence, emotion, level
EMOTIONS = {"NEU", "HAP", "SAD", "ANG"}


@pytest.fixture(scope="module")
def waveforms() -> list[np.ndarray]:
    return [soundfile.read(path, dtype="float32")[0] for path in CLIPS]


def by_voice(values: list[float]) -> dict[str, dict[str, float]]:
    """Actor -> emotion -> median of the clips' values."""
    actors = sorted({actor for actor, *_ in NAMES})
    return {
        actor: {
            e: float(np.median([v for v, n in zip(values, NAMES, strict=True) if n[::2] == (actor, e)]))
            for e in EMOTIONS
        }
        for actor in actors
    }


def voices_where(table: dict[str, dict[str, float]], higher: str, lower: str) -> int:
    return sum(row[higher] > row[lower] for row in table.values())


def test_twelve_voices_say_six_sentences_in_each_emotion():
    assert len(NAMES) == 288
    assert {level for *_, level in NAMES} == {"XX"}
    said = {}
    for actor, sentence, emotion, _ in NAMES:
        said.setdefault(actor, {}).setdefault(emotion, set()).add(sentence)
    assert len(said) == 12
    for emotions in said.values():
        assert set(emotions) == EMOTIONS
        # The same sentences in all four emotions: the words tell nothing about the label.
        assert len(set(map(frozenset, emotions.values()))) == 1 and len(emotions["NEU"]) == 6
    assert set(Counter(sentence for _, sentence, *_ in NAMES).values()) == {24}


def test_demographics_name_every_voice_and_both_sexes():
    with (DEMO / "VideoDemographics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["ActorID", "Age", "Sex", "Race", "Ethnicity"]
    assert {row["ActorID"] for row in rows} == {actor for actor, *_ in NAMES}
    assert Counter(row["Sex"] for row in rows) == {"Male": 6, "Female": 6}
    sex = {row["ActorID"]: row["Sex"] for row in rows}
    # Each sentence comes from three voices of either sex, in each emotion.
    assert set(Counter((sentence, emotion, sex[actor]) for actor, sentence, emotion, _ in NAMES).values()) == {3}


def test_every_clip_is_16_khz_mono_flac_audible_and_short(waveforms):
    for path, waveform in zip(CLIPS, waveforms, strict=True):
        info = soundfile.info(path)
        assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 16000, 1), path
        assert 0.5 < info.duration < 5, path
        assert 20 * np.log10(waveform.std()) > -55, path
        assert np.abs(waveform).max() < 0.99, path
    assert len({hashlib.sha256(w.tobytes()).digest() for w in waveforms}) == len(CLIPS)


def test_size_stays_below_8_mb():
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) <= 8e6


def test_level_and_length_follow_the_emotion(waveforms):
    level = by_voice([float(w.std()) for w in waveforms])
    assert voices_where(level, "ANG", "SAD") == 12
    assert voices_where(level, "ANG", "NEU") >= 11
    seconds = by_voice([len(w) for w in waveforms])
    assert voices_where(seconds, "SAD", "ANG") >= 11


def median_f0(waveform: np.ndarray) -> float:
    """Hz: highest peak of the autocorrelation, made up for its window (Boersma 1993), over the loud 64 ms frames."""
    window = np.hanning(1024)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 1024)[::512] * window
    loud = frames.std(axis=1)
    frames = frames[loud > 0.3 * loud.max()]
    lags = np.arange(32, 230)  # 500 to 70 Hz
    peaks, taper = (np.fft.irfft(np.abs(np.fft.rfft(x, 2048)) ** 2)[..., lags] for x in (frames, window))
    return float(16000 / np.median(lags[np.argmax(peaks / taper, axis=1)]))


def test_f0_follows_the_emotion_and_the_sex(waveforms):
    table = by_voice([median_f0(w) for w in waveforms])
    assert voices_where(table, "ANG", "SAD") == 12
    assert voices_where(table, "HAP", "NEU") >= 11
    assert voices_where(table, "NEU", "SAD") >= 11
    with (DEMO / "VideoDemographics.csv").open(encoding="utf-8", newline="") as file:
        male = {row["ActorID"] for row in csv.DictReader(file) if row["Sex"] == "Male"}
    neutral = {actor: row["NEU"] for actor, row in table.items()}
    assert max(neutral[a] for a in male) < 150 < min(neutral[a] for a in set(neutral) - male)


@pytest.mark.skipif(importlib.util.find_spec("espeakng_loader") is None, reason="needs pip install espeakng-loader")
def test_the_maker_makes_the_same_clips_again(tmp_path):
    maker = ROOT / "tools" / "make_demo_corpus.py"
    subprocess.run([sys.executable, maker, "--out-dir", tmp_path, "--limit", "4"], check=True)
    made = sorted((tmp_path / "AudioWAV").iterdir())
    assert [path.name for path in made] == [f"9001_IEO_{emotion}_XX.flac" for emotion in sorted(EMOTIONS)]
    for path in made:
        again, _ = soundfile.read(path, dtype="int16")
        bundled, _ = soundfile.read(DEMO / "AudioWAV" / path.name, dtype="int16")
        # Samples, to one step, not bytes: those also depend on the FLAC encoder and the processor's arithmetic.
        assert again.shape == bundled.shape
        assert np.abs(again.astype(int) - bundled).max() <= 1
    table = "VideoDemographics.csv"
    assert (tmp_path / table).read_bytes() == (DEMO / table).read_bytes()
