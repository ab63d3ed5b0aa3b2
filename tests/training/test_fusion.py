"""Features of several encoders side by side (`--fuse`), and a model trained on them in predict.py."""

import json

import made
import numpy as np
import pandas as pd
import pytest
from test_training import accuracy, run

from speechemb.artifacts import embeddings, fusion
from speechemb.classifiers import persistence
from speechemb.errors import InputError

LOGISTIC = ("--classifier", "logistic")


@pytest.fixture
def halves(tmp_path):
    """Two encoders of the same clips in another order; each has what tells two pairs of emotions apart."""
    vectors, labels, speakers = made.planted(effect=0.0)
    number = np.array([made.EMOTIONS.index(label) for label in labels])
    one, other = vectors[:, :10].copy(), vectors[:, 10:].copy()
    one[:, 0] += 8.0 * (number % 2)
    other[:, 0] += 8.0 * (number // 2)
    layers = np.stack([one, one + 1], axis=1)
    a = made.npz(tmp_path / "a.npz", layers, labels, speakers, tag="one")
    back = slice(None, None, -1)
    ids = [f"made/{i:04d}" for i in range(len(labels))][back]
    audio = [f"made-audio-{i}" for i in range(len(labels))][back]
    columns = {"tag": "other", "clip_ids": ids, "audio_sha256": audio}
    b = made.npz(tmp_path / "b.npz", other[back], labels[back], speakers[back], **columns)
    return a, b


def test_fused_features_are_numpys_concatenation(halves):
    a, b = (embeddings.read(path) for path in halves)
    for layer, of_a in (("all", a.embeddings.reshape(120, 20)), ("mean", a.embeddings.mean(axis=1))):
        data = fusion.fused(list(halves), layer)
        np.testing.assert_array_equal(data.embeddings, np.concatenate([of_a, b.embeddings[::-1, 0]], axis=1))
        assert data.clip_ids.tolist() == a.clip_ids.tolist() and data.tag == "one+other"
        assert data.sources == a.sources + b.sources and not data.dropped


@pytest.mark.slow
def test_two_encoders_together_know_what_neither_knows(script, tmp_path, halves):
    for name, files, flags in (("a", [halves[0]], []), ("b", [halves[1]], []), ("both", list(halves), ["--fuse"])):
        ((frame, stamp),) = run(script, tmp_path / name, files, *LOGISTIC, *flags).values()
        assert accuracy(frame) > 0.95 if flags else accuracy(frame) < 0.65
    assert stamp["tag"] == "one+other-made-4emo-mean-logistic-speaker5" and stamp["features"] == 16
    assert stamp["embeddings"] == [embeddings.read(path).sources[0]["sha256"] for path in halves]
    assert [part["encoder"]["tag"] for part in stamp["fused"]] == ["one", "other"]


@pytest.mark.slow
def test_a_fused_run_is_up_to_date_until_one_of_its_files_changes(script, tmp_path, halves, capsys):
    run(script, tmp_path, list(halves), *LOGISTIC, "--fuse")
    run(script, tmp_path, list(halves), *LOGISTIC, "--fuse")
    assert "is up to date, skipped" in capsys.readouterr().out
    b = embeddings.read(halves[1])
    made.npz(
        halves[1], b.embeddings + 1, b.labels, b.speakers, tag="other", clip_ids=b.clip_ids, audio_sha256=b.audio_sha256
    )
    with pytest.raises(InputError, match=r"was made from an earlier .*b.npz: rerun .*--fuse"):
        script("4_evaluation_metrics").main(["--results-dir", str(tmp_path / "results")])
    run(script, tmp_path, list(halves), *LOGISTIC, "--fuse")
    assert "wrote" in capsys.readouterr().out


@pytest.mark.slow
def test_clips_that_one_file_lacks_are_excluded_counted_and_listed(script, tmp_path, halves, capsys):
    a, b = (embeddings.read(path) for path in halves)
    made.npz(halves[1], b.embeddings[:-2], b.labels[:-2], b.speakers[:-2], tag="other", clip_ids=b.clip_ids[:-2],
             audio_sha256=b.audio_sha256[:-2])  # fmt: skip
    ((frame, stamp),) = run(script, tmp_path, list(halves), *LOGISTIC, "--fuse").values()
    assert len(frame) == 118 and stamp["dropped"] == 2
    printed = capsys.readouterr().out
    assert "2 clips excluded, not in " in printed and "b.npz: made/0000, made/0001" in printed
    table = pd.read_csv(next((tmp_path / "results").glob("excluded_one+other-*.csv")))
    assert table["clip_id"].tolist() == a.clip_ids[:2].tolist() and table["reason"].str.contains("b.npz").all()


@pytest.mark.parametrize(
    ("change", "flags", "message"),
    [
        ({"labels": "sad"}, [], r"a.npz and .*b.npz differ in labels for made/0000, .* more: make both from"),
        ({"speakers": "s1"}, [], "differ in speakers for made/0000"),
        ({"audio_sha256": "x"}, [], "differ in audio_sha256"),
        ({"clip_ids": None}, [], "no clip in common"),
        ({}, ["--layer", "1"], "--fuse with --layer 1: give --layer last or mean or all"),
        ({}, ["--layer", "auto"], "--layer auto"),
        ({}, ["--layer", "each"], "--layer each"),
        ({}, ["--protocol", "superb"], "drop --fuse"),
    ],
)
def test_files_and_flags_that_cannot_be_fused_end_in_one_line(script, tmp_path, halves, change, flags, message):
    b, n = embeddings.read(halves[1]), 120
    columns = {name: getattr(b, name) for name in ("labels", "speakers", "clip_ids", "audio_sha256")} | {"tag": "other"}
    for name, value in change.items():
        columns[name] = [value] * n if value else [f"made/x{i}" for i in range(n)]
    made.npz(halves[1], b.embeddings, **columns)
    with pytest.raises(InputError, match=message):
        run(script, tmp_path, list(halves), "--classifier", "svm", "--fuse", *flags)
    assert not list((tmp_path / "results").glob("*.csv"))


def test_one_encoder_cannot_be_fused(script, tmp_path, halves):
    with pytest.raises(InputError, match=r"a.npz is of one encoder and pooling: give --npz-path files of two or more"):
        run(script, tmp_path, halves[0], "--fuse")


@pytest.mark.slow
def test_predict_computes_every_encoder_of_a_fused_model(script, tmp_path):
    table = made.corpus(tmp_path / "tones", speakers=4, seconds=0.4)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(tmp_path / "out")])
    npz = [tmp_path / "acoustic.npz", tmp_path / "nano.npz"]
    for model, path in zip(("acoustic", "wavlm_nano"), npz, strict=True):
        words = ["--metadata", str(tmp_path / "out" / "tones.csv"), "--model", model, "--out", str(path)]
        script("2_wavlm_feature_extraction").main([*words, "--layers", "last"] if model != "acoustic" else words)
    run(script, tmp_path, npz, *LOGISTIC, "--fuse", "--layer", "last", "--n-folds", "2")
    (model,) = (tmp_path / "models").iterdir()
    assert model.name == "acoustic+wavlm_nano-tones-4emo-last-logistic-speaker2"
    meta = json.loads((model / "model.json").read_text())
    assert len(meta["fused"]) == 2 and meta["features"] == sum(part["encoder"]["dim"] for part in meta["fused"])
    out = ["--out", str(tmp_path / "out.csv")]
    script("predict").main(["--model", str(model), str(tmp_path / "tones"), *out])
    found = pd.read_csv(tmp_path / "out.csv")
    data = fusion.fused(npz, "last")
    expected = persistence.load(model)[0].predict_proba(data.embeddings)
    order = [f"tones/{name}" for name in found["path"].str.extract(r"([^/]+)\.wav$")[0]]
    place = {name.rsplit("/", 1)[1]: i for i, name in enumerate(data.clip_ids.tolist())}
    rows = [place[name.split("/")[1]] for name in order]
    columns = [f"p_{label}" for label in meta["labels"]]
    np.testing.assert_allclose(found[columns].to_numpy(), expected[rows], atol=2e-4)
    with pytest.raises(InputError, match="one for each encoder of the model, in this order: acoustic, wavlm_nano"):
        script("predict").main(["--model", str(model), str(tmp_path / "tones"), "--encoder", "acoustic"])
