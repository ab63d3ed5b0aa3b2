"""Step 3 on planted effects: it finds what is there, not what is not, and nothing is learned from a test clip."""

import json
import subprocess
import sys

import made
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from speechemb import classifiers
from speechemb.artifacts import embeddings, storage
from speechemb.artifacts.predictions import read_predictions
from speechemb.classifiers import superb
from speechemb.errors import InputError
from speechemb.splits.folds import make_folds
from speechemb.training import cross_validation


def run(script, tmp_path, npz, *flags):
    where = ["--models-dir", str(tmp_path / "models"), "--results-dir", str(tmp_path / "results")]
    paths = [str(path) for path in (npz if isinstance(npz, list) else [npz])]
    script("3_train_classifiers").main(["--npz-path", *paths, *where, *flags])
    return {path.stem: read_predictions(path) for path in sorted((tmp_path / "results").glob("predictions_*.csv"))}


def accuracy(frame):
    return (frame["true"] == frame["predicted"]).mean()


@pytest.mark.slow
def test_every_classifier_finds_a_planted_effect(script, tmp_path):
    npz = made.npz(tmp_path / "e.npz", *made.planted(effect=2.0))
    runs = run(script, tmp_path, npz, "--classifier", "all")
    assert [stamp["classifier"] for _, stamp in runs.values()] == ["logistic", "mlp", "svm", "xgboost"]
    for frame, stamp in runs.values():
        assert accuracy(frame) > 0.9
        assert stamp["speakers_on_both_sides"] == 0 and "speaker-independent folds" in stamp["protocol_note"]
        scores = frame[[f"p_{label}" for label in stamp["labels"]]]
        assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)
        assert (scores.idxmax(axis=1).str[2:] == frame["predicted"]).mean() > 0.99  # ties after rounding aside
        assert sorted(frame["clip_id"]) == sorted(embeddings.read(npz).clip_ids)


@pytest.mark.slow
def test_without_an_effect_speaker_folds_are_at_chance(script, tmp_path):
    npz = made.npz(tmp_path / "e.npz", *made.planted(speakers=12, clips=40, effect=0.0))
    for frame, _ in run(script, tmp_path, npz, "--classifier", "svm").values():
        assert abs(accuracy(frame) - 0.25) < 0.08


@pytest.mark.slow
def test_random_folds_reward_knowing_the_speaker_and_are_labelled(script, tmp_path):
    # Each speaker has one emotion: what is learned is who speaks.
    vectors, _, speakers = made.planted(speakers=12, clips=20, effect=0.0, speaker_effect=2.0)
    labels = [made.EMOTIONS[int(name[1:]) % 4] for name in speakers]
    npz = made.npz(tmp_path / "e.npz", vectors, labels, speakers)
    (by_speaker, _), *_ = run(script, tmp_path / "a", npz, "--classifier", "svm", "--n-folds", "3").values()
    (random, stamp), *_ = run(script, tmp_path / "b", npz, "--classifier", "svm", "--cv", "random").values()
    assert accuracy(random) > 0.95 and accuracy(by_speaker) < 0.5
    assert stamp["speakers_on_both_sides"] == 12 and "optimistic" in stamp["protocol_note"]


@pytest.mark.parametrize("name", classifiers.CLASSIFIERS)
def test_a_prediction_does_not_depend_on_the_other_test_clips(name):
    vectors, labels, speakers = made.planted(speakers=6)
    y, group = np.unique(labels, return_inverse=True)[1], np.unique(speakers, return_inverse=True)[1]
    task = cross_validation.Task(vectors.astype(np.float32), y, group, sorted(set(labels)))
    fold = make_folds(y, group, 3, "speaker", 0)[0]
    _, before = cross_validation.fit_and_test(cross_validation.Recipe(name), task, fold)
    task.x[fold.test[1:]] = 1e3  # a scaler or a stopping rule that saw them would move everything
    _, after = cross_validation.fit_and_test(cross_validation.Recipe(name), task, fold)
    np.testing.assert_allclose(after[0], before[0], atol=1e-6)


@pytest.mark.parametrize("name", classifiers.CLASSIFIERS)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_saved_classifier_predicts_the_same(name, n_classes, tmp_path):
    vectors, labels, _ = made.planted(speakers=6)
    y = np.array([made.EMOTIONS.index(label) % n_classes for label in labels])
    x, group = vectors.astype(np.float32), np.repeat(np.arange(6), 12)
    fitted = classifiers.make(name, n_classes, 0).fit(x, y, group)
    fitted.save(tmp_path)
    loaded = classifiers.make(name, n_classes, 0).load(tmp_path)
    assert fitted.predict_proba(x).shape == (len(x), n_classes)
    np.testing.assert_allclose(loaded.predict_proba(x), fitted.predict_proba(x), atol=1e-7)
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".pkl", ".pickle", ".joblib", ".pt")]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*classifiers.CLASSIFIERS, pytest.param("superb", marks=pytest.mark.slow)])
def test_folds_fitted_side_by_side_are_those_fitted_alone(name, monkeypatch):
    vectors, labels, speakers = made.planted(speakers=6 if name == "superb" else 8, effect=0.5)
    y, group = np.unique(labels, return_inverse=True)[1], np.unique(speakers, return_inverse=True)[1]
    x = vectors.astype(np.float32)
    x, layer = (x[:, None], "weighted") if name == "superb" else (x, "mean")
    task = cross_validation.Task(x, y, group, sorted(set(labels)), [0])
    recipe = cross_validation.Recipe(name, layer=layer)
    n_folds = 2 if name == "superb" else 4  # it takes longest, and need not be trained to the end here
    monkeypatch.setattr(superb, "PATIENCE", 1)
    folds, found = make_folds(y, group, n_folds, "speaker", 0), []
    for cores in (1, 4):
        monkeypatch.setattr("joblib.cpu_count", lambda cores=cores: cores)
        outcome = cross_validation.cross_validated(recipe, task, folds, lambda figures: None, final=True)
        assert [fold.name for fold, _ in outcome.results] == [str(i + 1) for i in range(n_folds)]
        found.append([probabilities for _, probabilities in outcome.results] + [outcome.final.predict_proba(task, [0])])
    for alone, beside in zip(*found, strict=True):
        np.testing.assert_array_equal(alone, beside)


@pytest.mark.parametrize("n_classes", [2, 3, 6])
@pytest.mark.parametrize("library", ["sklearn", "sklearnex"])
def test_the_svm_decides_as_scikit_learn(library, n_classes, monkeypatch):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    from speechemb.classifiers import svm

    monkeypatch.setattr(svm, "_svc", lambda: pytest.importorskip(f"{library}.svm").SVC)
    rng = np.random.default_rng(0)
    y = np.minimum(rng.integers(0, n_classes + 2, 400), n_classes - 1)  # the last class is the largest
    x = rng.normal(3, 2, size=(400, 20)) + rng.normal(size=(n_classes, 20))[y]
    fitted = svm.Svm(n_classes, 0).fit(x[:300].astype(np.float32), y[:300], np.arange(300) % 10)
    theirs = make_pipeline(StandardScaler(), SVC(C=10, gamma=0.3 / 20, class_weight="balanced")).fit(x[:300], y[:300])
    values = theirs.decision_function(x[300:])
    values = np.stack([-values, values], axis=1) if n_classes == 2 else values
    np.testing.assert_allclose(fitted.decision_values(x[300:].astype(np.float32)), values, atol=5e-3)
    predicted = theirs.set_params(svc__break_ties=n_classes > 2).predict(x[300:])
    probabilities = fitted.predict_proba(x[300:])
    assert (probabilities.argmax(axis=1) == predicted).all()
    assert (probabilities.round(6).argmax(axis=1) == predicted).all()  # as written to the CSV


def test_the_class_with_most_votes_has_the_highest_probability():
    from speechemb.classifiers.svm import _logits, _sides, _votes

    pairs = np.random.default_rng(0).normal(size=(5000, 6))  # random pairs: the votes' winner is often not the margins'
    margins, winner = pairs @ _sides(4), _votes(pairs, 4).argmax(axis=1)
    assert (margins.argmax(axis=1) != winner).mean() > 0.05
    for temperature in (0.02, 1.0, 54.0):
        logits = _logits(margins, winner, temperature)
        assert (logits.argmax(axis=1) == winner).all()
        others = np.arange(4) != winner[:, None]
        np.testing.assert_array_equal(logits[others], (margins / temperature)[others])


@pytest.mark.slow
@pytest.mark.parametrize("name", classifiers.CLASSIFIERS)
def test_confidence_tells_right_from_wrong(name):
    from sklearn.metrics import roc_auc_score

    vectors, labels, speakers = made.planted(speakers=12, clips=40, effect=0.6, speaker_effect=0.3)
    y, group = np.unique(labels, return_inverse=True)[1], np.unique(speakers, return_inverse=True)[1]
    task = cross_validation.Task(vectors.astype(np.float32), y, group, sorted(set(labels)))
    fold = make_folds(y, group, 2, "speaker", 0)[0]
    _, probabilities = cross_validation.fit_and_test(cross_validation.Recipe(name), task, fold)
    right = probabilities.argmax(axis=1) == y[fold.test]
    assert 0.4 < right.mean() < 0.9
    confidence = probabilities.max(axis=1)
    assert roc_auc_score(right, confidence) > 0.7 and np.ptp(np.percentile(confidence, [5, 95])) > 0.3


def test_the_file_of_an_svm_alone_decides_its_predictions(tmp_path):
    vectors, labels, _ = made.planted(speakers=6)
    x, y = vectors.astype(np.float32), np.unique(labels, return_inverse=True)[1]
    fitted = classifiers.make("svm", 4, 0, gamma=3.0).fit(x, y, np.repeat(np.arange(6), 12))
    fitted.save(tmp_path)
    loaded = classifiers.make("svm", 4, 0).load(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(x), fitted.predict_proba(x))


@pytest.mark.slow
def test_the_same_command_writes_the_same_bytes(script, tmp_path):
    npz = made.npz(tmp_path / "e.npz", *made.planted())
    for name in ("a", "b"):
        run(script, tmp_path / name, npz)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) >= 4 * 4 + 8
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


@pytest.mark.slow
def test_the_layers_are_chosen_by_name_and_number(script, tmp_path):
    vectors, labels, speakers = made.planted(effect=3.0)
    noise = np.random.default_rng(1).normal(size=vectors.shape)
    npz = made.npz(tmp_path / "e.npz", np.stack([vectors, noise], axis=1), labels, speakers)
    found = {}
    for layer in ("0", "1", "last", "mean", "all"):
        (frame, stamp), *_ = run(script, tmp_path / layer, npz, "--classifier", "svm", "--layer", layer).values()
        found[layer] = (accuracy(frame), stamp["features"])
    assert found["0"][0] > 0.9 > 0.5 > found["1"][0]
    assert found["last"] == found["1"]
    assert found["all"][1] == 32 and found["mean"][1] == 16 and found["all"][0] > 0.8
    with pytest.raises(InputError, match=r"--layer 7: these embeddings hold layers \[0, 1\]"):
        run(script, tmp_path, npz, "--layer", "7")


def test_cross_corpus_trains_on_each_and_tests_on_the_others(script, tmp_path):
    a = made.npz(tmp_path / "a.npz", *made.planted(seed=0), corpus="a")
    vectors, labels, speakers = made.planted(seed=0, effect=2.0)
    labels = ["bored" if label == "sad" else label for label in labels]
    b = made.npz(tmp_path / "b.npz", vectors + 0.1, labels, speakers, corpus="b")
    (frame, stamp), *_ = run(script, tmp_path, [a, b], "--classifier", "svm", "--cross-corpus").values()
    assert stamp["labels"] == ["neutral", "happy", "angry"] and stamp["left_out"] == 60
    assert set(zip(frame["fold"], frame["corpus"], strict=True)) == {("a", "b"), ("b", "a")}
    assert accuracy(frame) > 0.9
    with pytest.raises(InputError, match="needs two corpora"):
        run(script, tmp_path, a, "--cross-corpus")


def test_pooling_needs_one_encoder_and_different_clips(script, tmp_path):
    a = made.npz(tmp_path / "a.npz", *made.planted(), corpus="a")
    b = made.npz(tmp_path / "b.npz", *made.planted(dim=8), corpus="b")
    with pytest.raises(InputError, match="differ in encoder"):
        run(script, tmp_path, [a, b])
    with pytest.raises(InputError, match="in more than one file"):
        run(script, tmp_path, [a, a])


def test_without_speakers_the_error_names_the_way_out(script, tmp_path):
    vectors, labels, _ = made.planted()
    npz = made.npz(tmp_path / "e.npz", vectors, labels, [""] * len(labels))
    with pytest.raises(InputError, match="--cv random"):
        run(script, tmp_path, npz)
    assert not (tmp_path / "results").exists() and not (tmp_path / "models").exists()
    (_, stamp), *_ = run(script, tmp_path, npz, "--cv", "random", "--classifier", "svm").values()
    assert stamp["speakers_on_both_sides"] is None


@pytest.mark.slow
def test_the_log_holds_every_fold(script, tmp_path):
    npz = made.npz(tmp_path / "e.npz", *made.planted())
    run(script, tmp_path, npz, "--classifier", "mlp")
    (log,) = (tmp_path / "results").glob("training_*.csv")
    table = pd.read_csv(log)
    assert table["fold"].tolist() == [1, 2, 3, 4, 5] and table["test_clips"].sum() == 120
    assert (table["train_groups"] + table["test_groups"] == 10).all() and (table["epochs"] > 1).all()


@pytest.mark.parametrize(
    "code",
    [
        "from speechemb import splits, classifiers; print('speaker+sentence' in splits.PROTOCOLS, 'xgboost')",
        "import runpy; sys.argv[1:] = ['--help']; runpy.run_path('src/3_train_classifiers.py', run_name='__main__')",
    ],
)
def test_the_choices_of_the_flags_need_no_installed_library(code):
    # -S: without site-packages, as where the environment was not activated.
    environment = {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-S", "-c", f"import sys; {code}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    assert "xgboost" in done.stdout


def two_corpora(tmp_path):
    """One npz of the corpora `a` (10 speakers) and `b` (4 speakers), where classes are easy to tell."""
    vectors, labels, speakers = made.planted(speakers=14, effect=2.0)
    corpora = np.where(np.char.replace(np.array(speakers), "s", "").astype(int) < 10, "a", "b")
    return made.npz(tmp_path / "e.npz", vectors, labels, speakers, corpora=corpora)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], [["a"], ["b"]]),
        (["--corpora", "b"], [["b"]]),
        (["--corpora", "a+b"], [["a", "b"]]),
        (["--corpora", "all", "a"], [["a"], ["a", "b"]]),
        (["--cross-corpus"], [["a", "b"]]),
    ],
)
def test_each_corpus_is_a_run_of_its_own_unless_asked(script, tmp_path, flags, expected):
    if "--cross-corpus" not in flags:
        flags = [*flags, "--n-folds", "3"]
    runs = run(script, tmp_path, two_corpora(tmp_path), "--classifier", "svm", *flags)
    assert sorted(stamp["corpora"] for _, stamp in runs.values()) == expected
    for frame, stamp in runs.values():
        assert sorted(set(frame["corpus"])) == stamp["corpora"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--corpora", "c"], "--corpora c: --npz-path holds a, b, not c"),
        (["--corpora", "a+"], "a nameless one"),
        (["--cross-corpus", "--cv", "speaker"], "drop --cv, --n-folds and --folds"),
        (["--cross-corpus", "--n-folds", "5"], "drop --cv, --n-folds and --folds"),
        (["--cross-corpus", "--corpora", "a"], "needs two corpora"),
        (["--n-folds", "5"], "--n-folds 4"),  # of b; the run of a is not made either
    ],
)
def test_flags_that_cannot_be_followed_are_refused_before_any_training(script, tmp_path, flags, message):
    with pytest.raises(InputError, match=message.replace("+", r"\+")):
        run(script, tmp_path, two_corpora(tmp_path), "--classifier", "svm", *flags)
    assert not list((tmp_path / "results").glob("*.csv"))


def test_the_mean_over_folds_and_the_figure_over_all_clips_are_named(script, tmp_path, capsys):
    vectors, labels, speakers = made.planted(effect=0.6, clips=30)
    keep = np.random.default_rng(0).random(300) < np.where(np.array(labels) == "sad", 0.2, 0.9)
    npz = made.npz(tmp_path / "e.npz", vectors[keep], np.array(labels)[keep], np.array(speakers)[keep])
    ((frame, _),) = run(script, tmp_path, npz, "--classifier", "svm").values()
    pooled = (frame["true"] == frame["predicted"]).groupby(frame["true"]).mean().mean()
    folds = pd.read_csv(next((tmp_path / "results").glob("training_*.csv")))["uar"]
    assert abs(pooled - folds.mean()) > 0.001
    line = (
        f"-svm-speaker5  UAR pooled {pooled:.3f}, mean of folds {folds.mean():.3f} ± {folds.std():.3f} (chance 0.250)"
    )
    assert line in capsys.readouterr().out


def test_cross_corpus_figures_are_printed_by_direction(script, tmp_path, capsys):
    a, b, c = (
        made.npz(tmp_path / f"{name}.npz", *made.planted(speakers=4, seed=0, effect=effect), corpus=name)
        for name, effect in (("a", 2.0), ("b", 1.0), ("c", 0.3))
    )
    ((frame, _),) = run(script, tmp_path, [a, b, c], "--classifier", "svm", "--cross-corpus").values()
    log = pd.read_csv(next((tmp_path / "results").glob("training_*.csv")))
    assert log["fold"].tolist() == [f"train {x}, test {y}" for x in "abc" for y in "abc" if x != y]
    out, right = capsys.readouterr().out, frame["true"] == frame["predicted"]
    for _, row in log.iterrows():
        clips = ("train " + frame["fold"] + ", test " + frame["corpus"]) == row["fold"]
        assert clips.sum() == row["test_clips"] == 48
        assert row["uar"] == pytest.approx(right[clips].groupby(frame["true"][clips]).mean().mean(), abs=1e-6)
        assert f"{row['fold']}: {row['uar']:.3f}" in out
    assert "pooled" not in out and "±" not in out


def test_a_layer_curve_prints_one_line_per_layer(script, tmp_path, capsys):
    vectors, labels, speakers = made.planted()
    npz = made.npz(tmp_path / "e.npz", np.stack([vectors] * 3, axis=1), labels, speakers)
    run(script, tmp_path, npz, "--classifier", "svm", "--layer", "each")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 3 + 1
    tags = [f"  made-made-4emo-layer{i}-svm-speaker5" for i in range(3)]
    assert [line.split("  UAR ")[0] for line in lines[1:-1]] == tags
    assert lines[-1] == f"wrote {tmp_path}/results/predictions_<run>.csv: 3 runs"


def test_a_line_for_each_run_and_for_each_fold_only_with_v(script, tmp_path, capsys):
    npz = made.npz(tmp_path / "e.npz", *made.planted())
    run(script, tmp_path, npz, "--classifier", "svm", "logistic", "--n-folds", "2")
    head, *lines, last = capsys.readouterr().out.splitlines()
    assert head.startswith("made: ")
    tags = [f"made-made-4emo-mean-{name}-speaker2" for name in ("svm", "logistic")]
    columns = [(line.split()[0], line.index("UAR pooled")) for line in lines]
    assert columns == [(tag, 2 + len(tags[1]) + 2) for tag in tags]
    assert last.startswith(f"wrote {tmp_path}") and last.endswith("/<run>: 2 runs")
    stamp = json.loads((tmp_path / "results" / f"predictions_{tags[0]}.meta.json").read_text())
    flags = ("--classifier", "svm", "--n-folds", "2", "-v", "--overwrite")
    run(script, tmp_path, npz, *flags)
    _, *lines, last = capsys.readouterr().out.splitlines()
    log = pd.read_csv(tmp_path / "results" / f"training_{tags[0]}.csv")
    folds = [f"    svm fold {row.fold}: UAR {row.uar:.3f}, accuracy {row.accuracy:.3f}" for row in log.itertuples()]
    assert lines[:2] == folds and len(lines) == 3 and f"predictions_{tags[0]}.csv and " in last
    again = json.loads((tmp_path / "results" / f"predictions_{tags[0]}.meta.json").read_text())
    assert again["command"] == stamp["command"].replace(" logistic", "") and again["sha256"] == stamp["sha256"]


def test_emotions_takes_the_clips_of_those_classes_as_step_1_does(script, tmp_path, capsys):
    vectors, labels, speakers = made.planted(effect=2.0)
    labels = ["excited" if label == "sad" else label for label in labels]
    npz = made.npz(tmp_path / "e.npz", vectors, labels, speakers)
    (frame, stamp), *_ = run(script, tmp_path, npz, "--classifier", "svm", "--emotions", "happy", "neutral").values()
    is_happy = pd.Series(labels).isin(["happy", "excited"]).to_numpy()
    of = dict(zip(embeddings.read(npz).clip_ids, np.where(is_happy, "happy", labels), strict=True))
    assert len(frame) == np.isin(list(of.values()), ["happy", "neutral"]).sum()
    assert (frame["true"] == frame["clip_id"].map(of)).all()
    assert stamp["left_out"] == len(labels) - len(frame) > 0 and "2emo" in stamp["tag"]
    assert f"{stamp['left_out']} clips of classes other than neutral, happy excluded" in capsys.readouterr().out
    with pytest.raises(InputError, match="--emotions sad: made in --npz-path has neutral, happy, excited, angry"):
        run(script, tmp_path, npz, "--classifier", "svm", "--emotions", "happy", "sad")
    with pytest.raises(storage.ArtifactError, match="with other labels: .*--overwrite"):  # their name would be the same
        run(script, tmp_path, npz, "--classifier", "svm", "--emotions", "happy", "angry")
