"""`--normalise speaker` on planted effects, in every output of steps 3 and 4, and through predict.py with --enrol."""

import json

import made
import numpy as np
import pandas as pd
import pytest
from test_training import accuracy, run

from speechemb.artifacts import embeddings
from speechemb.classifiers import persistence
from speechemb.errors import InputError
from speechemb.reports.text import run_title
from speechemb.training.normalisation import within_speakers

WORDS = "transductive, uses the test speaker's unlabelled clips"
NORMALISE = ("--normalise", "speaker", "--classifier", "logistic")


def offset_speakers(path, speakers=8, clips=16, offset=300.0, **columns):
    """Classes that are easy to tell within a speaker, and speakers who are further apart than any classes."""
    vectors, labels, names = made.planted(speakers=speakers, clips=clips, effect=2.0, speaker_effect=offset)
    return made.npz(path, vectors, labels, names, **columns)


@pytest.mark.slow
def test_an_offset_larger_than_the_effect_is_taken_out(script, tmp_path):
    npz = offset_speakers(tmp_path / "e.npz")
    ((plain, _),) = run(script, tmp_path / "a", npz, "--classifier", "logistic", "--n-folds", "4").values()
    ((frame, stamp),) = run(script, tmp_path / "b", npz, *NORMALISE, "--n-folds", "4").values()
    assert accuracy(plain) < 0.5 and accuracy(frame) > 0.95
    assert stamp["normalise"] == "speaker" and WORDS in stamp["protocol_note"]
    assert stamp["tag"] == "made-made-4emo-mean-logistic-speaker4-transductive_speaker"


@pytest.mark.slow
def test_an_emotion_that_is_the_speakers_mean_is_lost(script, tmp_path):
    # Every speaker has one emotion only, so that what the class adds is the speaker's mean.
    vectors, _, speakers = made.planted(speakers=16, clips=12, effect=0.0, speaker_effect=0.3)
    labels = [made.EMOTIONS[int(name[1:]) % 4] for name in speakers]
    vectors[:, :4] += 4.0 * np.eye(4)[[made.EMOTIONS.index(label) for label in labels]]
    npz = made.npz(tmp_path / "e.npz", vectors, labels, speakers)
    words = ("--n-folds", "4", "--cv", "speaker")
    ((plain, _),) = run(script, tmp_path / "a", npz, "--classifier", "logistic", *words).values()
    ((frame, _),) = run(script, tmp_path / "b", npz, *NORMALISE, *words).values()
    assert accuracy(plain) > 0.9 and accuracy(frame) < 0.4


def test_a_constant_per_speaker_changes_nothing_and_a_constant_feature_becomes_zero(tmp_path, caplog):
    vectors, labels, speakers = made.planted(speakers=4)
    vectors[:, 3] = np.repeat([1.0, 2.0, 3.0, 1e6], 12)
    number = np.unique(speakers, return_inverse=True)[1]
    shifted = 3 * vectors + 10.0 * np.random.default_rng(1).normal(size=(4, 16))[number]
    caplog.set_level("INFO")
    one, other = (
        within_speakers(embeddings.read(made.npz(tmp_path / f"{i}.npz", of, labels, speakers)))
        for i, of in enumerate((vectors, shifted))
    )
    np.testing.assert_allclose(one.embeddings, other.embeddings, atol=2e-4)
    assert (one.embeddings[:, 0, 3] == 0).all() and "4 speakers have features that are constant" in caplog.text
    by_speaker = one.embeddings[:, 0].reshape(4, 12, 16)
    np.testing.assert_allclose(by_speaker.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.delete(by_speaker.std(axis=1), 3, axis=1), 1, atol=1e-5)


def test_copies_get_the_statistics_of_their_speakers_originals(tmp_path):
    vectors, labels, speakers = made.planted(speakers=2)
    ids = [f"made/{i:04d}" for i in range(24)]
    columns = {"clip_ids": [*ids, *(f"{name}#1" for name in ids)], "augmented_from": [""] * 24 + ids}
    columns["audio_sha256"] = [str(i) for i in range(48)]
    twice = made.npz(tmp_path / "e.npz", np.concatenate([vectors, vectors + 5]), labels * 2, speakers * 2, **columns)
    found = within_speakers(embeddings.read(twice)).embeddings[:, 0]
    alone = within_speakers(embeddings.read(made.npz(tmp_path / "a.npz", vectors, labels, speakers))).embeddings[:, 0]
    np.testing.assert_allclose(found[:24], alone, atol=1e-6)
    deviation = vectors[:12].std(axis=0)
    np.testing.assert_allclose(found[24:36] - found[:12], np.tile(5 / deviation, (12, 1)), rtol=1e-4)


@pytest.mark.slow
def test_unknown_speakers_and_those_with_few_clips_are_excluded_and_listed(script, tmp_path, capsys):
    vectors, labels, speakers = made.planted(speakers=6)
    names = np.array(speakers)
    names[:2], names[2:5], names[-12:] = "", "rare", "s99"
    npz = made.npz(tmp_path / "e.npz", vectors, labels, names)
    ((frame, stamp),) = run(script, tmp_path, npz, *NORMALISE, "--n-folds", "3").values()
    assert len(frame) == 60 and stamp["dropped"] == 12  # seven clips are left of the first speaker
    printed = capsys.readouterr().out
    assert "2 clips excluded, speaker unknown: made/0000, made/0001" in printed
    assert "10 clips excluded, speaker with fewer than 10 clips: made/0002" in printed
    table = pd.read_csv(next((tmp_path / "results").glob("excluded_*.csv")))
    assert table["clip_id"].tolist() == [f"made/{i:04d}" for i in range(12)]
    unknown = made.npz(tmp_path / "u.npz", vectors, labels, [""] * len(labels))
    with pytest.raises(InputError, match=r"no speaker is known by 10 clips \(made/0000: speaker unknown\)"):
        run(script, tmp_path, unknown, *NORMALISE, "--cv", "random")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--layer", "auto"], "drop --protocol and --layer auto"),
        (["--protocol", "superb"], "drop --protocol and --layer auto"),
        (["--leak", "scaler"], "--leak measures ordinary runs"),
    ],
)
def test_flags_that_do_not_go_with_it_end_in_one_line(script, tmp_path, flags, message):
    npz = offset_speakers(tmp_path / "e.npz")
    with pytest.raises(InputError, match=message):
        run(script, tmp_path, npz, "--normalise", "speaker", "--classifier", "svm", *flags)


@pytest.mark.slow
def test_every_output_says_what_the_run_is(script, tmp_path, capsys):
    vectors, labels, speakers = made.planted(speakers=8, clips=16, effect=0.7)
    acoustic = made.npz(tmp_path / "a.npz", vectors[:, :6], labels, speakers, tag="acoustic")
    npz, results = made.npz(tmp_path / "e.npz", vectors, labels, speakers), tmp_path / "results"
    words = ("--classifier", "logistic", "--n-folds", "4")
    for file, flags in ((acoustic, ()), (npz, ()), (npz, ("--normalise", "speaker"))):
        run(script, tmp_path, file, *words, *flags)
    printed = capsys.readouterr().out.splitlines()
    assert sum(WORDS in line for line in printed) == 2  # the folds, and the figures
    script("4_evaluation_metrics").main(["--results-dir", str(results)])
    printed = capsys.readouterr().out
    name = "made-made-4emo-mean-logistic-speaker4-transductive_speaker"
    assert f"speaker x4 ({WORDS}): chance" in printed
    table = pd.read_csv(results / "comparison.csv", keep_default_na=False).set_index("run")
    assert WORDS in table.loc[name, "note"] and WORDS in table.loc[name, "protocol"]
    assert (table.drop(name)["note"] == "").all()
    (found,) = [one for one in json.loads((results / "metrics.json").read_text())["runs"] if one["tag"] == name]
    assert found["normalise"] == "speaker" and WORDS in found["protocol_note"]
    assert WORDS in (results / f"classification_report_{name}.txt").read_text()
    assert WORDS in run_title(json.loads((results / f"evaluation_results_{name}.json").read_text()))
    tested = pd.read_csv(results / "paired_tests.csv")
    assert len(tested) == 1 and name not in set(tested[["a", "b"]].to_numpy().ravel())
    assert json.loads((tmp_path / "models" / name / "model.json").read_text())["normalise"] == "speaker"


@pytest.mark.slow
def test_cross_corpus_runs_standardise_before_classes_are_excluded_and_say_so(script, tmp_path, capsys):
    a = offset_speakers(tmp_path / "a.npz", speakers=3, corpus="a")
    b = embeddings.read(offset_speakers(tmp_path / "b.npz", speakers=3, corpus="b"))
    labels = np.where(b.labels == "sad", "bored", b.labels)
    b = made.npz(tmp_path / "b.npz", b.embeddings, labels, b.speakers, corpus="b")
    ((frame, stamp),) = run(script, tmp_path, [a, b], *NORMALISE, "--cross-corpus").values()
    assert stamp["left_out"] == 24 and accuracy(frame) > 0.9 and stamp["tag"].endswith("cross-transductive_speaker")
    capsys.readouterr()
    script("4_evaluation_metrics").main(["--results-dir", str(tmp_path / "results")])
    assert f"train a, test b ({WORDS})" in capsys.readouterr().out
    for path in (tmp_path / "results").glob("evaluation_results_*.json"):
        assert WORDS in json.loads(path.read_text())["protocol_note"]


@pytest.mark.slow
def test_predict_with_enrolment_does_what_training_did(script, tmp_path, caplog):
    table = made.corpus(tmp_path / "tones", speakers=4, takes=3, seconds=0.3)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(tmp_path / "out")])
    words = ["--metadata", str(tmp_path / "out" / "tones.csv"), "--out", str(tmp_path / "e.npz")]
    script("2_wavlm_feature_extraction").main([*words, "--model", "acoustic"])
    run(script, tmp_path, tmp_path / "e.npz", *NORMALISE, "--n-folds", "2")
    (model,) = (tmp_path / "models").iterdir()
    speaker = sorted(str(path) for path in (tmp_path / "tones").glob("s1_*.wav"))
    caplog.set_level("INFO")
    asked = ["--model", str(model), *speaker[:5], "--out", str(tmp_path / "out.csv")]
    script("predict").main([*asked, "--enrol", *speaker])
    assert f"({WORDS}): 12 enrolment recordings" in caplog.text
    found = pd.read_csv(tmp_path / "out.csv")
    data = within_speakers(embeddings.read(tmp_path / "e.npz", layer="mean"))
    rows = [data.clip_ids.tolist().index(f"tones/{path.rsplit('/', 1)[1][:-4]}") for path in speaker[:5]]
    classifier, meta = persistence.load(model)
    expected = classifier.predict_proba(data.embeddings[rows])
    np.testing.assert_allclose(found[[f"p_{label}" for label in meta["labels"]]], expected, atol=1e-4)
    with pytest.raises(InputError, match="give at least 10 recordings of the same speaker with --enrol"):
        script("predict").main(asked)
    with pytest.raises(InputError, match="--enrol: 9 recordings that can be used, at least 10 are needed"):
        script("predict").main([*asked, "--enrol", *speaker[:9]])
    run(script, tmp_path / "plain", tmp_path / "e.npz", "--classifier", "svm", "--n-folds", "2")
    (plain,) = (tmp_path / "plain" / "models").iterdir()
    with pytest.raises(InputError, match="--enrol: the model was trained without --normalise speaker"):
        script("predict").main(["--model", str(plain), *speaker, "--enrol", *speaker])
