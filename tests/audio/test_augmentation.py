"""Augmented copies: each change measured on signals with known answers, and copies as rows of step 2's file."""

import json

import made
import numpy as np
import pytest

from speechemb.artifacts import embeddings
from speechemb.audio import augmentation

RATE = 16000


@pytest.fixture(scope="module")
def tone():
    time = np.arange(2 * RATE) / RATE
    return (0.1 * sum(np.sin(2 * np.pi * 200 * h * time) / h for h in range(1, 6))).astype(np.float32)


def f0_of(waveform: np.ndarray) -> float:
    """The strongest frequency in Hz: the fundamental of these tones."""
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)), 1 << 18))
    return float(np.argmax(spectrum) * RATE / (1 << 18))


@pytest.mark.parametrize("factor", [0.9, 1.07])
def test_speed_changes_length_and_pitch_by_the_factor(tone, factor):
    faster = augmentation.sped(tone, factor)
    assert len(faster) == pytest.approx(len(tone) / factor, abs=1)
    assert f0_of(faster) == pytest.approx(200 * factor, rel=0.002)


BY_LIBROSA = pytest.mark.slow  # it compiles itself, once after an installation, and takes seconds to import


@BY_LIBROSA
@pytest.mark.parametrize("semitones", [-2.0, 0.7, 2.0])
def test_pitch_moves_by_the_semitones_at_the_same_length(tone, semitones):
    moved = augmentation.pitched(tone, semitones)
    assert len(moved) == len(tone)
    assert f0_of(moved) == pytest.approx(200 * 2 ** (semitones / 12), rel=0.002)


@pytest.mark.parametrize("snr_db", [10.0, 22.5])
def test_noise_has_the_signal_to_noise_ratio_asked_for(tone, snr_db):
    offset = tone + 0.2  # DC is no signal
    noise = augmentation.noisy(offset, snr_db, 1) - offset
    assert 10 * np.log10(tone.var() / noise.var()) == pytest.approx(snr_db, abs=0.01)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.03


def test_gain_is_as_asked_and_never_clips(tone):
    assert augmentation.louder(tone, 6.0) == pytest.approx(tone * 1.99526, rel=1e-4)
    loud = augmentation.louder(tone / np.abs(tone).max(), 6.0)
    assert np.abs(loud).max() == 1 and np.corrcoef(loud, tone)[0, 1] == pytest.approx(1)  # scaled, not cut off


@BY_LIBROSA
def test_a_seed_gives_one_copy_and_another_seed_another(tone):
    one, again, other = (augmentation.augmented(tone, seed) for seed in (3, 3, 4))
    assert one.dtype == np.float32 and np.array_equal(one, again)
    assert len(one) != len(other) or not np.allclose(one, other)


def test_what_is_drawn_fills_the_ranges_and_depends_on_the_name_only():
    seeds = [augmentation.seed_of(augmentation.copy_id(f"made/{i}", 1)) for i in range(2000)]
    changes = [augmentation.drawn(seed) for seed in seeds]
    for name, (low, high) in (
        ("speed", (0.9, 1.1)),
        ("semitones", (-2, 2)),
        ("snr_db", (10, 30)),
        ("gain_db", (-6, 6)),
    ):
        values = np.array([getattr(change, name) for change in changes])
        assert low <= values.min() < low + 0.01 * (high - low) and high - 0.01 * (high - low) < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
    assert augmentation.seed_of("ravdess/x#aug1") == 2746173860157861601, "other machines must draw the same"


@BY_LIBROSA
@pytest.mark.parametrize("n", [1600, 1601, 1650, 1700, 1759, 1760, 2400])
def test_a_short_clip_stays_long_enough(n):
    wave = np.random.default_rng(n).normal(size=n).astype(np.float32) * 0.3
    for seed in range(12):
        copy = augmentation.augmented(wave, seed)
        assert len(copy) >= 1600 and np.isfinite(copy).all() and np.abs(copy).max() <= 1


@pytest.fixture
def metadata(script, tmp_path):
    table = made.corpus(tmp_path / "tones", speakers=2)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(tmp_path / "processed")])
    return tmp_path / "processed" / "tones.csv"


def step2(script, metadata, out, *flags):
    words = ["--metadata", str(metadata), "--model", "acoustic", "--out", str(out), *flags]
    script("2_wavlm_feature_extraction").main(words)
    return embeddings.read(out)


@pytest.mark.slow
def test_copies_are_rows_behind_the_originals(script, metadata, tmp_path):
    plain = step2(script, metadata, tmp_path / "plain.npz")
    data = step2(script, metadata, tmp_path / "a.npz", "--augment", "2")
    n = len(plain.clip_ids)
    assert (plain.augmented_from == "").all() and len(data.clip_ids) == 3 * n
    assert data.clip_ids.tolist() == [*plain.clip_ids, *(f"{i}#aug{k}" for k in (1, 2) for i in plain.clip_ids)]
    assert data.augmented_from.tolist() == [""] * n + 2 * plain.clip_ids.tolist()
    for name in ("labels", "speakers", "sessions", "sentences", "corpora", "genders", "audio_sha256"):
        assert getattr(data, name).tolist() == 3 * getattr(plain, name).tolist()
    assert data.meta["augment"]["copies"] == 2 and data.meta["augment"]["snr_db"] == [10.0, 30.0]
    assert np.array_equal(data.originals().embeddings, plain.embeddings)
    # The last functional is the duration: the copies' speeds, and every copy is another one.
    first, second = data.embeddings[n : 2 * n, 0, -1], data.embeddings[2 * n :, 0, -1]
    speeds = [augmentation.drawn(augmentation.seed_of(name)).speed for name in data.clip_ids[n:]]
    np.testing.assert_allclose(np.tile(plain.embeddings[:, 0, -1], 2) / speeds, [*first, *second], atol=2e-4)
    assert (first != second).all()


@pytest.mark.slow
def test_copies_depend_neither_on_the_batches_nor_on_the_other_clips(script, metadata, tmp_path):
    whole = step2(script, metadata, tmp_path / "a.npz", "--augment", "1")
    batches = step2(script, metadata, tmp_path / "b.npz", "--augment", "1", "--batch-seconds", "2")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    part = step2(script, metadata, tmp_path / "c.npz", "--augment", "1", "--limit", "5")
    assert len(part.clip_ids) == 10
    same = [whole.clip_ids.tolist().index(name) for name in part.clip_ids]
    assert np.array_equal(whole.embeddings[same], part.embeddings) and len(batches.clip_ids) == len(whole.clip_ids)


@pytest.mark.slow
def test_an_unfinished_run_with_copies_goes_on_to_the_same_bytes(script, metadata, tmp_path, monkeypatch):
    from speechemb.encoders.acoustic import Acoustic

    flags = ["--augment", "1", "--batch-seconds", "2"]
    step2(script, metadata, tmp_path / "whole.npz", *flags)
    embed, calls = Acoustic.embed, []

    def cut_short(self, waveforms, layers, methods):
        calls.append(len(waveforms))
        if len(calls) > 3:
            raise KeyboardInterrupt
        return embed(self, waveforms, layers, methods)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Acoustic, "embed", cut_short)
        step2(script, metadata, tmp_path / "cut.npz", *flags)
    plan = json.loads((tmp_path / "cut.npz.partial" / "plan.json").read_text())
    assert plan["clips"] == 32 and len((tmp_path / "cut.npz.partial" / "done.txt").read_text().splitlines()) == 3
    step2(script, metadata, tmp_path / "cut.npz", *flags)
    assert (tmp_path / "cut.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


@pytest.mark.slow
def test_maps_exclude_copies(script, metadata, tmp_path):
    step2(script, metadata, tmp_path / "a.npz", "--augment", "1")
    script("5_visualization_umap").main(["--npz-path", str(tmp_path / "a.npz"), "--results-dir", str(tmp_path)])
    table = (tmp_path / "umap_emotion.csv").read_text()
    assert "#aug" not in table and len(table.splitlines()) == 1 + 2 * 16
