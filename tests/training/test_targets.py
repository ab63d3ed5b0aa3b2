"""Step 3 with `--target speaker` and the like: folds that fit the target, and step 4's table of them."""

import made
import numpy as np
import pandas as pd
import pytest

from speechemb.artifacts import embeddings
from speechemb.artifacts.predictions import read_predictions
from speechemb.errors import InputError
from speechemb.splits import targets
from speechemb.splits.protocols import Protocol

TAKES = 8  # of each speaker and sentence


def corpus(path, tag="made", intensity=True, **changed):
    """8 speakers say 2 sentences 8 times: the vectors tell speaker and emotion, not the sentence."""
    rng = np.random.default_rng(0)
    speakers, sentences, takes = (of.ravel() for of in np.meshgrid(range(8), range(2), range(TAKES), indexing="ij"))
    emotions = np.array(made.EMOTIONS)[takes % 4]
    vectors = 2 * rng.normal(size=(8, 16))[speakers] + 2 * rng.normal(size=(4, 16))[takes % 4]
    vectors = vectors + rng.normal(size=vectors.shape)
    names = [f"s{i}" for i in speakers]
    columns = {
        "sentences": [f"text{i}" for i in sentences],
        "genders": [("female", "male")[i % 2] for i in speakers],
        **changed,
    }
    numbers = {"intensity": 1 + (takes >= 4).astype(float)} if intensity else {}
    return made.npz(path, vectors, emotions, names, tag=tag, numbers=numbers, **columns)


def run(script, folder, npz, *flags):
    where = ["--models-dir", str(folder / "models"), "--results-dir", str(folder / "results")]
    script("3_train_classifiers").main(["--npz-path", str(npz), "--classifier", "logistic", *where, *flags])
    files = sorted((folder / "results").glob("pr*_*.csv"))
    return {stamp["target"]: (frame, stamp) for frame, stamp in map(read_predictions, files)}


def accuracy(frame):
    return (frame["true"] == frame["predicted"]).mean()


@pytest.fixture(scope="module")
def probed(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("probes")
    npz = corpus(folder / "e.npz")
    wanted = ["--target", "emotion", "speaker", "gender", "sentence", "intensity", "--n-folds", "2"]
    return folder, run(script, folder, npz, *wanted), embeddings.read(npz)


@pytest.mark.slow
def test_a_probe_finds_what_is_there_and_not_what_is_not(probed):
    _, runs, _ = probed
    assert set(runs) == {"emotion", "speaker", "gender", "sentence", "intensity"}
    assert accuracy(runs["speaker"][0]) > 0.9 and accuracy(runs["emotion"][0]) > 0.9
    assert abs(accuracy(runs["sentence"][0]) - 0.5) < 0.2 and abs(accuracy(runs["intensity"][0]) - 0.5) < 0.2
    assert runs["speaker"][1]["labels"] == [f"s{i}" for i in range(8)]
    assert runs["intensity"][1]["labels"] == ["1", "2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "apart"), [("speaker", "sentences"), ("gender", "speakers"), ("sentence", "speakers")]
)
def test_the_folds_of_a_target_hold_out_something_else(probed, target, apart):
    _, runs, data = probed
    frame, stamp = runs[target]
    held = dict(zip(data.clip_ids.tolist(), getattr(data, apart).tolist(), strict=True))
    folds = [set(of["clip_id"].map(held)) for _, of in frame.groupby("fold")]
    assert len(folds) == 2 and not folds[0] & folds[1]
    assert stamp["tag"].startswith(f"made-made-{len(stamp['labels'])}{target}-")


@pytest.mark.slow
def test_probes_keep_no_model_and_stay_out_of_the_tables_of_emotions(probed, script):
    folder, _, _ = probed
    assert [path.name for path in (folder / "models").iterdir()] == ["made-made-4emo-mean-logistic-speaker2"]
    script("4_evaluation_metrics").main(["--results-dir", str(folder / "results")])
    assert len(pd.read_csv(folder / "results" / "comparison.csv")) == 1
    table = pd.read_csv(folder / "results" / "probes.csv")
    assert table["target"].tolist() == ["emotion", "speaker", "gender", "sentence", "intensity"]
    emotion = pd.read_csv(folder / "results" / "comparison.csv").loc[0, "uar"]
    assert table.loc[0, "uar"] == emotion and table.loc[1, "uar"] > 0.9
    known = table[table["target"] != "speaker"]  # which every clip is right for: no interval
    assert (known["uar_low"] < known["uar"]).all() and (known["uar"] < known["uar_high"]).all()
    page = (folder / "results" / "report.html").read_text()
    assert "What else each embedding knows" in page and "speaker (8 classes)" in page
    assert "speaker (8 classes)" in (folder / "results" / "probes.md").read_text()


def plan(npz, target, cv="", emotions=None, **settings):
    data = embeddings.read(npz)
    protocol = Protocol(cv or targets.default_cv(target, data), **settings)
    return targets.plan(data, protocol, emotions, target, fixed=False)


def test_as_many_folds_as_there_are_groups(tmp_path):
    npz = corpus(tmp_path / "e.npz")
    assert len(plan(npz, "speaker").folds) == 2 and len(plan(npz, "gender").folds) == 5
    takes = plan(corpus(tmp_path / "t.npz", sentences=[""] * 128), "speaker")
    assert len(takes.folds) == 5 and "random folds" in takes.note


def test_clips_that_a_probe_cannot_use_are_counted_with_the_reason(tmp_path):
    sentences = ["once" if i == 3 else f"text{i % 2}" for i in range(128)]
    genders = ["" if i < 16 else ("female", "male")[i // 16 % 2] for i in range(128)]
    npz = corpus(tmp_path / "e.npz", sentences=sentences, genders=genders)
    assert {row["reason"] for row in plan(npz, "gender").dropped} == {"gender unknown"}
    of_sentence = plan(npz, "sentence")
    assert [(row["clip_id"], row["reason"]) for row in of_sentence.dropped] == [
        ("made/0003", "only one speaker has its sentence")
    ]
    assert len(of_sentence.data.labels) == 127
    chosen = plan(npz, "sentence", emotions=["happy", "sad"])
    assert chosen.left_out == 64 and set(chosen.data.labels) == {"text0", "text1"}


@pytest.mark.parametrize(
    ("target", "settings", "words"),
    [
        ("speaker", {"cv": "speaker"}, "--cv speaker holds out what --target speaker asks for"),
        ("gender", {"cv": "random", "leak": "copies"}, "drop --cross-corpus and --leak"),
        ("gender", {"normalise": "speaker"}, "takes out what --target gender asks for"),
        ("intensity", {}, "give the column intensity in step 1's table"),
    ],
)
def test_what_a_probe_cannot_be_asked_is_one_line(tmp_path, target, settings, words):
    with pytest.raises(InputError) as error:
        plan(corpus(tmp_path / "e.npz", intensity=False), target, **settings)
    assert words in str(error.value) and "\n" not in str(error.value)
