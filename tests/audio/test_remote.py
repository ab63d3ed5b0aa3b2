"""Audio in object storage, here fsspec's own in memory: the same embeddings as from files, no file under its names."""

import importlib.util
import os

import made
import numpy as np
import pandas as pd
import pytest

from speechemb import cli
from speechemb.audio import decoding
from speechemb.errors import InputError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def bucket(tmp_path):
    """A table of clips in the bucket, beside the table of the same clips on the disk."""
    local = made.corpus(tmp_path / "local" / "tones", speakers=2)
    storage, table = fsspec.filesystem("memory"), pd.read_csv(local)
    for name in table["path"]:
        storage.pipe(f"/bucket/{name}", (local.parent / name).read_bytes())
    (tmp_path / "remote").mkdir()
    table.assign(path="memory://bucket/" + table["path"]).to_csv(tmp_path / "remote" / "tones.csv", index=False)
    yield local, tmp_path / "remote" / "tones.csv"
    storage.rm("/bucket", recursive=True)


def step1(script, table, out):
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(out)])
    return out / "tones.csv"


def test_clips_in_object_storage_are_embedded_as_from_the_disk(script, bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arrays = []
    for table in bucket:
        csv = step1(script, table, table.parent / "processed")
        out = table.parent / "a.npz"
        script("2_wavlm_feature_extraction").main(["--metadata", str(csv), "--model", "wavlm_nano", "--out", str(out)])
        with np.load(out) as archive:
            arrays.append({name: archive[name] for name in archive.files})
    local, remote = arrays
    assert remote["paths"][0] == "memory://bucket/tones/s0_angry_0.wav"
    assert all(np.array_equal(local[name], remote[name]) for name in local if name not in ("paths", "meta"))
    assert sorted(os.listdir(tmp_path)) == ["local", "remote"]
    assert sorted(os.listdir(tmp_path / "remote")) == ["a.npz", "processed", "tones.csv"]


def test_what_is_missing_or_changed_is_said(script, bucket, tmp_path):
    storage = fsspec.filesystem("memory")
    storage.rm("/bucket/tones/s1_sad_1.wav")
    csv = step1(script, bucket[1], tmp_path)
    excluded = pd.read_csv(tmp_path / "tones_excluded.csv")
    assert excluded[["clip_id", "reason"]].values.tolist() == [["tones/s1_sad_1", "missing"]]
    storage.pipe("/bucket/tones/s0_sad_1.wav", storage.cat("/bucket/tones/s0_sad_0.wav"))
    with pytest.raises(InputError, match="memory://bucket/tones/s0_sad_1.wav: changed since step 1"):
        script("2_wavlm_feature_extraction").main(
            ["--metadata", str(csv), "--model", "wavlm_nano", "--out", str(tmp_path / "a.npz")]
        )


@pytest.mark.parametrize(
    "url", ["memory://bucket/../a.wav", "memory://bucket//a.wav", "memory://a::file:///etc/passwd"]
)
def test_urls_that_are_no_plain_names_are_refused(script, tmp_path, url):
    (tmp_path / "t.csv").write_text(f"path,emotion\n{url},sad\n")
    with pytest.raises(InputError, match="is not the plain URL of a file"):
        step1(script, tmp_path / "t.csv", tmp_path)


def test_storage_that_cannot_be_read_stops_the_run(monkeypatch):
    if importlib.util.find_spec("s3fs") is None:
        with pytest.raises(InputError, match="s3://bucket/a.wav: reading it needs s3fs: run `pip install s3fs`"):
            decoding.load("s3://bucket/a.wav")

    def refuse(*_, **__):
        raise PermissionError("no key")

    monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, "_open", refuse)
    with pytest.raises(
        InputError, match=r"memory://a.wav cannot be read \(PermissionError: no key\): check the network"
    ):
        decoding.load("memory://a.wav")


def test_outputs_do_not_go_to_object_storage(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        cli.run(lambda: script("2_wavlm_feature_extraction").main(["--out", "s3://bucket/a.npz"]))
    assert "--out s3://bucket/a.npz: only audio is read from object storage" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
