"""The check of every clip's file: the same findings in threads and in processes, and few bytes for each clip."""

import os

import numpy as np
import pytest
from test_preprocessing import noise, table

from speechemb.audio import fingerprint
from speechemb.corpora import examination


@pytest.fixture(scope="module")
def step1(script):
    return script("1_data_preprocessing").main


def written(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core: no processes are started")
def test_processes_write_the_same_bytes_as_threads(tmp_path, step1, monkeypatch, caplog):
    clips = {f"c{number:02d}.wav": noise(number) for number in range(70)}
    bad = {"a.wav": b"", "b.wav": noise(1, 0.05), "gone.wav": None, "damaged.wav": noise(2)[:300], "twin.wav": noise(3)}
    words = ["--corpora", table(tmp_path, {**clips, **bad}), "--emotions", "all", "--out-dir"]
    step1([*words, str(tmp_path / "threads")])
    monkeypatch.setattr(examination, "PROCESSES_FROM", 1)
    step1([*words, str(tmp_path / "processes")])
    assert written(tmp_path / "threads") == written(tmp_path / "processes")
    excluded = (tmp_path / "processes" / "mine_excluded.csv").read_text()
    assert [excluded.count(word) for word in (",empty", ",shorter", ",missing", ",truncated")] == [1, 1, 1, 1]


def test_a_clip_that_is_not_listened_to_is_hashed_only(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no audio")
    one = examination.examine(tmp_path / "a.wav", listen=False)
    assert len(one.sha256) == 64 and not one.fault
    assert examination.examine(tmp_path / "a.wav").fault == "cannot be decoded"
    assert examination.examine(tmp_path / "none.wav", listen=False) == examination.Examined()


def test_a_million_clips_would_take_some_hundred_bytes_each():
    found = examination.Findings(1000)
    arrays = [value for value in vars(found).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) < 400 * 1000


def test_sketches_are_no_farther_apart_than_fingerprints_and_find_every_pair():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(1000, 1024)).astype(np.float32)
    vectors[500:] = vectors[:500] + rng.uniform(0, 0.2, size=(500, 1)) * rng.normal(size=(500, 1024))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sketches = np.stack([fingerprint.sketch(vector) for vector in vectors])
    seconds = rng.uniform(1, 1.3, size=1000)
    asked = []

    def vector(i: int) -> np.ndarray:
        asked.append(i)
        return vectors[i]

    found = fingerprint.pairs(sketches, seconds, vector)
    alike = np.triu(vectors @ vectors.T > fingerprint.SAME, 1)
    alike &= np.abs(seconds[:, None] - seconds) <= fingerprint.APART_S
    assert found == list(zip(*(axis.tolist() for axis in np.nonzero(alike)), strict=True)) and 100 < len(found) < 500
    assert len(asked) < 6 * len(found)  # of half a million pairs
    sketches[5] = np.nan
    assert all(5 not in pair for pair in fingerprint.pairs(sketches, seconds, lambda i: vectors[i]))
