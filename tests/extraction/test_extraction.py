"""Step 2: batches, limits, resuming to the byte, and the acoustic baseline."""

import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import made
import numpy as np
import pytest
import soundfile as sf
import torch
from conftest import ROOT

from models import make_model, spoil
from speechemb.artifacts import embeddings
from speechemb.encoders import acoustic, failures
from speechemb.encoders.batching import in_order, plan_batches
from speechemb.encoders.progress import ProgressBar
from speechemb.errors import InputError
from speechemb.layers import parse_layers

NANO = ROOT / "models" / "wavlm-nano"


@pytest.fixture
def metadata(script, tmp_path):
    table = made.corpus(tmp_path / "tones", speakers=4)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(tmp_path / "processed")])
    return tmp_path / "processed" / "tones.csv"


def step2(script, metadata, out, *flags):
    script("2_wavlm_feature_extraction").main(["--metadata", str(metadata), "--out", str(out), *flags])
    return embeddings.read(out)


def test_batches_hold_every_clip_once_within_the_limit():
    durations = np.random.default_rng(0).uniform(0.2, 9, 500)
    durations[7] = 100.0  # longer than a batch: alone
    batches = plan_batches(durations, 40)
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert batches[0].tolist() == [7]
    for batch in batches[1:]:
        assert durations[batch].max() * len(batch) <= 40
    padded = sum(durations[batch].max() * len(batch) for batch in batches)
    assert padded < 1.05 * durations.sum()


@pytest.mark.parametrize("first_alone", [True, False])
def test_work_comes_back_in_order_and_never_runs_far_ahead(first_alone):
    started, ended_when_second_began = [], []

    def work(number):
        started.append(number)
        if number == 1:
            ended_when_second_began.extend(finished)
        time.sleep(0.05 if number == 0 else 0.001)
        finished.append(number)
        assert torch.get_num_threads() == 1
        return number

    finished, results = [], in_order(work, list(range(40)), 3, first_alone, lambda: torch.set_num_threads(1))
    assert next(results) == 0
    time.sleep(0.1)
    assert len(started) <= 8  # the first, and twice as many as there are workers
    assert list(results) == list(range(1, 40)) and sorted(started) == list(range(40))
    assert ended_when_second_began == ([0] if first_alone else [])


def test_a_failure_ends_the_work():
    def work(number):
        if number == 5:
            raise InputError("five")
        return number

    results = in_order(work, list(range(1000)), 2)
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(InputError, match="five"):
        next(results)


@pytest.mark.parametrize(("text", "layers"), [("all", [0, 1, 2, 3]), ("last", [3]), ("3,0", [0, 3]), ("2", [2])])
def test_layers(text, layers):
    assert parse_layers(text, 3) == layers


@pytest.mark.parametrize("text", ["4", "-1", "first", "", "1;2"])
def test_wrong_layers(text):
    with pytest.raises(InputError, match="--layers"):
        parse_layers(text, 3)


@pytest.mark.slow
def test_rows_are_in_the_order_of_the_metadata_whatever_the_batches(script, metadata, tmp_path):
    one = step2(
        script, metadata, tmp_path / "a.npz", "--model", str(NANO), "--precision", "fp32", "--batch-seconds", "1"
    )
    many = step2(script, metadata, tmp_path / "b.npz", "--model", str(NANO), "--precision", "fp32")
    assert one.clip_ids.tolist() == sorted(one.clip_ids) and len(one.clip_ids) == 32
    assert one.embeddings.shape == (32, 7, 192)
    np.testing.assert_allclose(many.embeddings, one.embeddings, atol=2e-4)
    assert set(one.sessions) == {"session0", "session1"} and set(one.genders) == {"female", "male"}


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_number_of_cores(script, metadata, tmp_path):
    flags = ["--model", str(NANO), "--precision", "fp32", "--batch-seconds", "1"]
    before = torch.get_num_threads()
    try:
        for cores in (1, 4):
            torch.set_num_threads(cores)
            step2(script, metadata, tmp_path / f"{cores}.npz", *flags)
    finally:
        torch.set_num_threads(before)
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "4.npz").read_bytes()


def test_pooling_layers_and_limit(script, metadata, tmp_path):
    flags = ["--model", str(NANO), "--precision", "fp32"]
    whole = step2(script, metadata, tmp_path / "a.npz", *flags, "--pooling", "mean", "std")
    part = step2(script, metadata, tmp_path / "b.npz", *flags, "--pooling", "std", "--layers", "0,3", "--limit", "10")
    assert whole.tag == "wavlm_nano-mean_std" and part.layers.tolist() == [0, 3] and len(part.clip_ids) == 10
    same = np.isin(whole.clip_ids, part.clip_ids)
    np.testing.assert_allclose(whole.embeddings[same][:, [0, 3], 192:], part.embeddings, atol=2e-4)
    with np.load(tmp_path / "b.npz") as archive:
        assert len(archive["excluded"]) == 22 and archive["excluded"][0, 1] == "not drawn by --limit 10"


@pytest.mark.slow
def test_clips_longer_than_a_window_are_counted_and_said(script, tmp_path, capsys, caplog):
    table = made.corpus(tmp_path / "tones", speakers=2)
    rng = np.random.default_rng(0)
    for name, seconds in (("s0_happy_0.wav", 31), ("s0_sad_0.wav", 30)):
        sf.write(tmp_path / "tones" / name, 0.1 * rng.standard_normal(seconds * 16_000), 16_000)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(tmp_path / "processed")])
    csv = tmp_path / "processed" / "tones.csv"
    with caplog.at_level("INFO"):
        data = step2(script, csv, tmp_path / "a.npz", "--model", str(NANO), "--augment", "1")
    copies = data.augmented_from != ""
    assert copies.sum() == 16 and "1 augmented copy of each" in capsys.readouterr().out
    expected = data.meta["windowed_clips"]
    assert expected in (1, 2, 3) and f"{expected} of 32 clips are longer than 30 s" in caplog.text
    assert step2(script, csv, tmp_path / "b.npz", "--model", str(NANO)).meta["windowed_clips"] == 1


@pytest.mark.parametrize("done", [0.0, 0.3])
def test_the_bar_ends_at_its_end(capsys, done):
    """A sum of many floats depends on their order: by batch it may be above the total, of which tqdm warns."""
    parts = np.random.default_rng(1).uniform(0.1, 3, 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ProgressBar(parts.sum() * (1 - 1e-12), done) as bar:
            for part in parts:
                bar.add(part, "clips")
            bar._bar.refresh()
    last = capsys.readouterr().err.rpartition("\r")[2]
    assert "100%|██████████|" in last and "<00:00" in last


@pytest.mark.parametrize("precision, words", [("fp32", "in fp32: its weights hold NaN"), ("bf16", "--precision fp32")])
def test_numbers_that_are_not_finite_are_one_line_with_a_remedy(script, metadata, tmp_path, precision, words):
    folder = make_model(tmp_path / "model", "wavlm")
    spoil(folder, lambda w: w | {k: v * float("nan") for k, v in w.items() if "encoder.layers.1." in k})
    with pytest.raises(InputError, match=f"not finite for tones/.*{words}") as caught:
        step2(script, metadata, tmp_path / "a.npz", "--model", str(folder), "--precision", precision)
    assert ("try --precision fp32" in str(caught.value)) == (precision == "bf16")
    assert not (tmp_path / "a.npz").exists()


NO_MEMORY = [
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
]


@pytest.mark.parametrize("error", NO_MEMORY)
def test_a_lack_of_memory_is_one_line(error):
    with pytest.raises(InputError, match="out of memory while embedding: give a smaller --batch-seconds"):
        with failures.memory("embedding"):
            raise error
    with pytest.raises(RuntimeError, match="shapes"), failures.memory("embedding"):
        raise RuntimeError("shapes differ")


@pytest.mark.slow
def test_what_is_up_to_date_is_skipped_and_other_settings_need_overwrite(script, metadata, tmp_path, capsys):
    out = tmp_path / "a.npz"
    step2(script, metadata, out, "--model", "acoustic")
    before = out.stat().st_mtime_ns
    step2(script, metadata, out, "--model", "acoustic")
    assert out.stat().st_mtime_ns == before and "is up to date, skipped" in capsys.readouterr().out
    with pytest.raises(InputError, match="--overwrite"):
        step2(script, metadata, out, "--model", "acoustic", "--limit", "5")
    assert len(step2(script, metadata, out, "--model", "acoustic", "--limit", "5", "--overwrite").clip_ids) == 5


@pytest.mark.slow
def test_audio_changed_since_step_1_is_refused(script, metadata, tmp_path):
    wav = sorted((tmp_path / "tones").glob("*.wav"))[0]
    wav.write_bytes(wav.read_bytes()[:-2000])
    with pytest.raises(InputError, match=wav.name):
        step2(script, metadata, tmp_path / "a.npz", "--model", "acoustic")
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.slow
def test_a_killed_run_resumes_and_ends_with_the_same_bytes(script, metadata, tmp_path):
    whole, killed = tmp_path / "whole.npz", tmp_path / "killed.npz"
    flags = ["--model", str(NANO), "--batch-seconds", "2", "--precision", "fp32"]
    step2(script, metadata, whole, *flags)
    command = [sys.executable, str(ROOT / "src" / "2_wavlm_feature_extraction.py"), "--metadata", str(metadata)]
    done = tmp_path / "killed.npz.partial" / "done.txt"
    process = subprocess.Popen([*command, *flags, "--out", str(killed)], stderr=subprocess.DEVNULL)
    while process.poll() is None and not (done.exists() and len(done.read_text().split()) >= 2):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL and not killed.exists(), "the run was over before it was killed"
    begun = done.stat().st_size
    done.write_text(done.read_text() + "1")  # a number that the kill cut short
    step2(script, metadata, killed, *flags)
    assert begun and killed.read_bytes() == whole.read_bytes() and not done.parent.exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are listed in Linux's /proc only")
def test_the_processes_of_a_killed_run_end_too(script, metadata, tmp_path):
    command = [sys.executable, str(ROOT / "src" / "2_wavlm_feature_extraction.py"), "--metadata", str(metadata)]
    flags = ["--model", "acoustic", "--batch-seconds", "2", "--out", str(tmp_path / "a.npz")]
    process = subprocess.Popen([*command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done = tmp_path / "a.npz.partial" / "done.txt"
    while process.poll() is None and not (done.exists() and done.read_text()):
        time.sleep(0.001)
    threads = Path(f"/proc/{process.pid}/task").glob("*/children")  # the thread that computes a batch starts them
    children = [pid for thread in threads for pid in thread.read_text().split()]
    process.kill()
    process.wait()
    assert children
    end = time.monotonic() + 30
    while any(alive(pid) for pid in children) and time.monotonic() < end:
        time.sleep(0.1)
    assert not [pid for pid in children if alive(pid)]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_an_unfinished_run_of_other_settings_is_not_thrown_away(script, metadata, tmp_path):
    out = tmp_path / "a.npz"
    partial = tmp_path / "a.npz.partial"
    partial.mkdir()
    (partial / "plan.json").write_text('{"fingerprint":"other"}')
    (partial / "done.txt").write_text(f"0 {64 * '0'}\n")
    with pytest.raises(InputError, match="unfinished run with another augment, .*--overwrite"):
        step2(script, metadata, out, "--model", "acoustic")
    assert (partial / "done.txt").exists()


def test_acoustic_functionals_measure_what_they_say():
    time_s = np.arange(16000) / 16000
    tone = lambda f: sum(np.sin(2 * np.pi * f * h * time_s) / h for h in range(1, 8)).astype(np.float32) * 0.1  # noqa: E731
    for frequency in (110.0, 220.0):
        log_f0, voiced = acoustic._pitch(tone(frequency))
        assert voiced.mean() > 0.9
        assert np.exp(np.median(log_f0[voiced])) == pytest.approx(frequency, rel=0.02)
    noise = np.random.default_rng(0).normal(size=16000).astype(np.float32) * 0.1
    assert acoustic._pitch(noise)[1].mean() < 0.2
    vector = acoustic.functionals(noise[:1600])  # the shortest clip that step 1 lets through
    assert np.isfinite(vector).all() and vector[-1] == pytest.approx(0.1)


@pytest.mark.slow
def test_acoustic_beats_chance_on_real_speech(shared, script, tmp_path):
    """RAVDESS, 4 classes, 60 clips: a sanity check of the chain, not a measurement."""
    script("1_data_preprocessing").main(
        ["--corpora", "ravdess", "--data-dir", str(shared / "data" / "ravdess"), "--out-dir", str(tmp_path)]
    )
    data = step2(script, tmp_path / "ravdess.csv", tmp_path / "a.npz", "--model", "acoustic", "--limit", "60")
    assert data.embeddings.shape[:2] == (60, 1) and len(set(data.speakers)) > 15
    assert set(data.labels) == set(made.EMOTIONS)
