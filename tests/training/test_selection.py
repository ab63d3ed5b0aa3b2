"""Layer choice, tuning and the SUPERB probe: they find what was planted, and no test clip has a say."""

import json

import made
import numpy as np
import pandas as pd
import pytest

from speechemb import classifiers
from speechemb.artifacts import embeddings
from speechemb.artifacts.predictions import read_predictions
from speechemb.artifacts.storage import read_csv
from speechemb.classifiers import persistence
from speechemb.classifiers.svm import Svm
from speechemb.errors import InputError
from speechemb.layers import take_layer
from speechemb.splits import protocols
from speechemb.splits.folds import make_folds
from speechemb.training import cross_validation, layer_selection, tuning


def run(script, tmp_path, npz, *flags):
    where = ["--models-dir", str(tmp_path / "models"), "--results-dir", str(tmp_path / "results")]
    script("3_train_classifiers").main(["--npz-path", str(npz), *where, *flags])
    return [read_predictions(path) for path in sorted((tmp_path / "results").glob("predictions_*.csv"))]


def one_layer_of(n_layers, where, effect=1.5, seed=0, **sizes):
    """Vectors (n, n_layers, dim) of which layer `where` carries the class and the others are noise of its size."""
    vectors, labels, speakers = made.planted(effect=effect, seed=seed, **sizes)
    layers = np.random.default_rng(seed + 1).normal(size=(len(labels), n_layers, vectors.shape[1])) * vectors.std()
    layers[:, where] = vectors
    return layers, labels, speakers


@pytest.mark.slow
def test_the_layer_is_chosen_in_each_fold_and_for_the_final_model(script, tmp_path):
    npz = made.npz(tmp_path / "e.npz", *one_layer_of(12, 1, effect=1.2))
    ((frame, stamp),) = run(script, tmp_path, npz, "--classifier", "svm", "--layer", "auto")
    log = pd.read_csv(next((tmp_path / "results").glob("training_*.csv")), dtype=str)
    assert log["layer"].tolist() == ["1"] * 5 and log["layer_inner_uar"].astype(float).min() > 0.7
    assert (frame.true == frame.predicted).mean() > 0.7 and "-auto-svm-" in stamp["tag"]
    (folder,) = (tmp_path / "models").iterdir()
    classifier, meta = persistence.load(folder)
    data = embeddings.read(npz)
    assert meta["layer"] == "1"
    features = take_layer(data.embeddings, meta["layers"], meta["layer"])  # as predict.py does
    assert (np.array(meta["labels"])[classifier.predict_proba(features).argmax(axis=1)] == data.labels).mean() > 0.9


@pytest.mark.parametrize("recipe", [{"layer": "auto"}, {"layer": "0", "trials": 4}])
def test_no_choice_depends_on_test_clips(recipe):
    if recipe.get("trials"):
        pytest.importorskip("optuna")
    vectors, labels, speakers = one_layer_of(2, 0, effect=0.7, speakers=6)
    y, group = np.unique(labels, return_inverse=True)[1], np.unique(speakers, return_inverse=True)[1]
    x = vectors.astype(np.float32)
    fold, choices = make_folds(y, group, 3, "speaker", 0)[0], []
    for spoil in (0.0, 1e3):  # then the test clips give their class away
        x[fold.test] += spoil * y[fold.test, None, None]
        task = cross_validation.Task(x if recipe["layer"] == "auto" else x[:, 0], y, group, sorted(set(labels)), [0, 1])
        model = cross_validation.fit(cross_validation.Recipe("svm", **recipe), task, fold.train)
        choices.append((model.layer, model.settings, model.choices, model.trials))
    assert choices[0] == choices[1]


@pytest.mark.slow
def test_the_inner_split_that_chooses_is_speaker_independent():
    # Layer 0 says who speaks, and every speaker has one emotion; layer 1 says a little about the emotion itself.
    rng = np.random.default_rng(0)
    group, y = np.repeat(np.arange(24), 10), np.repeat(np.arange(24) % 4, 10)
    speaker = 3 * rng.normal(size=(24, 8))[group] + 0.1 * rng.normal(size=(240, 8))
    emotion = 1.0 * rng.normal(size=(4, 8))[y] + rng.normal(size=(240, 8))
    vectors = np.stack([speaker, emotion], axis=1).astype(np.float32)
    make = lambda: Svm(4, 0)  # noqa: E731
    assert layer_selection.best_layer(make, vectors, [0, 1], y, group, 0)[0] != "0"
    known = np.arange(240)  # were every clip a group of its own, knowing the speaker would win
    assert (
        layer_selection.inner_uar(make, speaker, y, known, 0)
        > 0.95
        > layer_selection.inner_uar(make, emotion, y, known, 0)
    )


@pytest.mark.slow
def test_a_run_for_each_layer_gives_a_curve(script, tmp_path):
    npz = made.npz(tmp_path / "e.npz", *one_layer_of(4, 2))
    found = run(script, tmp_path, npz, "--classifier", "svm", "--layer", "each")
    assert [stamp["layer"] for _, stamp in found] == ["0", "1", "2", "3"] and not (tmp_path / "models").exists()
    run(script, tmp_path, npz, "--classifier", "svm", "--layer", "mean")
    script("4_evaluation_metrics").main(["--results-dir", str(tmp_path / "results")])
    (path,) = (tmp_path / "results").glob("layer_curve_*.csv")
    assert path.name == "layer_curve_made-made-4emo-svm-speaker5.csv" and path.with_suffix(".png").is_file()
    curve = read_csv(path, "layer curve", ("layer", "uar"), "")[0].replace("", np.nan).astype({"uar": float})
    assert curve["layer"].tolist() == ["0", "1", "2", "3"] and curve["uar"].idxmax() == 2
    for _, row in curve.iterrows():
        result = json.loads((tmp_path / "results" / f"evaluation_results_{row['run']}.json").read_text())
        assert row["uar"] == pytest.approx(result["overall"]["uar"], abs=1e-6)
        assert float(row["uar_low"]) <= row["uar"] <= float(row["uar_high"])


@pytest.mark.parametrize("name", tuning.SPACES)
def test_the_first_trial_is_the_untuned_classifier(name):
    pytest.importorskip("optuna")
    made, rng = [], np.random.default_rng(0)

    def make(**settings):
        made.append(settings)
        return Svm(2, 0)

    x, y, group = rng.normal(size=(40, 4)).astype(np.float32), np.tile([0, 1], 20), np.repeat(np.arange(10), 4)
    tuning.best_settings(name, make, x, y, group, 0, 1)
    assert made == [tuning.defaults(name)]
    assert all(one.low <= made[0][key] <= one.high for key, one in tuning.SPACES[name].items())


@pytest.mark.slow
def test_tuning_finds_what_the_defaults_miss(script, tmp_path):
    pytest.importorskip("optuna")
    # A chessboard: with the default gamma its squares run together.
    rng = np.random.default_rng(0)
    cell = rng.integers(0, 8, size=(400, 2))
    labels = np.array(["happy", "sad"])[(cell.sum(axis=1)) % 2]
    npz = made.npz(tmp_path / "e.npz", cell + 0.1 * rng.normal(size=(400, 2)), labels, np.arange(400) % 8)
    flags = ["--classifier", "svm", "--n-folds", "3"]
    ((plain, _),) = run(script, tmp_path / "a", npz, *flags)
    ((tuned, stamp),) = run(script, tmp_path / "b", npz, *flags, "--tune", "8")
    assert (tuned.true == tuned.predicted).mean() > 0.1 + (plain.true == plain.predicted).mean()
    (path,) = (tmp_path / "b" / "results").glob("tuning_*.csv")
    trials = read_csv(path, "tuning", ("fold", "trial", "inner_uar", "settings"), "")[0]
    assert trials["fold"].tolist() == [name for name in ("1", "2", "3", "final") for _ in range(8)]
    assert json.loads(trials["settings"][0]) == {"C": 10.0, "gamma": 0.3} and "-svm-tune8-" in stamp["tag"]
    (folder,) = (tmp_path / "b" / "models").iterdir()
    classifier, meta = persistence.load(folder)
    assert classifier.gamma == meta["settings"]["gamma"] > 1


@pytest.mark.parametrize(
    ("name", "settings"),
    [("mlp", {"width": 48, "dropout": 0.1, "rate": 0.003}), ("xgboost", {"depth": 2, "rounds": 20, "columns": 1.0})],
)
def test_settings_reach_the_classifier_and_the_disk(name, settings, tmp_path):
    vectors, labels, _ = made.planted(speakers=6)
    y, x = np.unique(labels, return_inverse=True)[1], vectors.astype(np.float32)
    group = np.repeat(np.arange(6), 12)
    fitted = classifiers.make(name, 4, 0, **settings).fit(x, y, group)
    plain = classifiers.make(name, 4, 0).fit(x, y, group)
    assert not np.allclose(fitted.predict_proba(x), plain.predict_proba(x), atol=1e-3)
    fitted.save(tmp_path)
    loaded = classifiers.make(name, 4, 0, **settings).load(tmp_path)
    np.testing.assert_allclose(loaded.predict_proba(x), fitted.predict_proba(x), atol=1e-7)


@pytest.mark.slow
def test_every_tuned_classifier_runs(script, tmp_path):
    pytest.importorskip("optuna")
    npz = made.npz(tmp_path / "e.npz", *made.planted(speakers=6, effect=2.0))
    for name in ("mlp", "xgboost"):
        run(script, tmp_path, npz, "--classifier", name, "--n-folds", "2", "--tune", "2")
    for folder in (tmp_path / "models").iterdir():
        classifier, meta = persistence.load(folder)
        data = embeddings.read(npz)
        probabilities = classifier.predict_proba(data.features(meta["layer"]))
        assert (np.array(meta["labels"])[probabilities.argmax(axis=1)] == data.labels).mean() > 0.9
        assert set(meta["settings"]) == set(tuning.SPACES[meta["classifier"]])


@pytest.mark.slow
def test_the_probe_finds_the_layer_that_carries_the_class():
    from speechemb.classifiers.superb import Superb

    vectors, labels, speakers = one_layer_of(5, 3, effect=3.0, speakers=8, clips=24)
    y, group = np.unique(labels, return_inverse=True)[1], np.unique(speakers, return_inverse=True)[1]
    probe = Superb(4, 0, rate=1e-2, max_steps=500).fit(vectors.astype(np.float32), y, group)
    assert probe.layer_weights[3] > 2 * np.delete(probe.layer_weights, 3).max()
    assert probe.layer_weights.sum() == pytest.approx(1, abs=1e-6)


def test_pooling_commutes_with_the_mix_and_the_projection():
    import torch

    from speechemb.classifiers.superb import Probe

    torch.manual_seed(0)
    probe, frames = Probe(3, 8, 4, torch.Generator()), torch.randn(2, 3, 50, 8)
    probe.mix.data = torch.tensor([0.3, -1.0, 2.0])
    mixed = torch.einsum("l,nltd->ntd", probe.mix.softmax(dim=0), frames)
    as_published = probe.classify(probe.project(mixed).mean(dim=1))
    torch.testing.assert_close(probe(frames.mean(dim=2)), as_published)


@pytest.fixture
def short_training(monkeypatch):
    from speechemb.classifiers import superb

    monkeypatch.setattr(superb.Superb.__init__, "__defaults__", (1e-2, 300))


@pytest.mark.slow
def test_the_superb_protocol_leaves_sessions_out_and_saves_its_weights(script, tmp_path, short_training):
    vectors, labels, speakers = one_layer_of(4, 2, effect=3.0, speakers=10, clips=16)
    sessions = [f"session{int(name[1:]) // 2}" for name in speakers]
    npz = made.npz(tmp_path / "e.npz", vectors, labels, speakers, sessions=sessions)
    ((frame, stamp),) = run(script, tmp_path, npz, "--protocol", "superb")
    assert stamp["tag"] == "made-made-4emo-weighted-superb-session5" and stamp["protocol"] == "session"
    assert (frame.true == frame.predicted).mean() > 0.9 and (frame.groupby("fold").speaker.nunique() == 2).all()
    (path,) = (tmp_path / "results").glob("layer_weights_*.csv")
    weights = read_csv(path, "layer weights", ("fold", "layer", "weight"), "")[0].astype({"weight": float})
    assert weights["fold"].unique().tolist() == ["1", "2", "3", "4", "5", "final"]
    assert (weights.loc[weights.groupby("fold")["weight"].idxmax(), "layer"] == "2").all()
    assert path.with_suffix(".png").is_file()
    classifier, meta = persistence.load(next((tmp_path / "models").iterdir()))
    data = embeddings.read(npz)
    probabilities = classifier.predict_proba(take_layer(data.embeddings, meta["layers"], meta["layer"]))
    assert (np.array(meta["labels"])[probabilities.argmax(axis=1)] == data.labels).mean() > 0.9


def test_the_probe_needs_the_mean_of_every_layer(script, tmp_path):
    from speechemb.classifiers import superb

    npz = made.npz(tmp_path / "e.npz", *made.planted())  # a single layer
    with pytest.raises(InputError, match="--pooling mean --layers all"):
        run(script, tmp_path, npz, "--protocol", "superb")
    encoder = {"n_layers": 2}
    superb.check({"encoder": encoder, "pooling": ["mean"]}, [0, 1, 2])
    for pooling, layers in ((["mean", "std"], [0, 1, 2]), (["mean"], [1, 2])):
        with pytest.raises(InputError, match="--pooling mean --layers all"):
            superb.check({"encoder": encoder, "pooling": pooling}, layers)
    with pytest.raises(InputError, match="its own classifier"):
        run(script, tmp_path, npz, "--protocol", "superb", "--classifier", "svm")


@pytest.mark.parametrize("unknown", [[], [0], [0, 1, 2, 3]])
def test_cross_corpus_chooses_between_speakers_as_far_as_they_are_known(unknown):
    from speechemb.artifacts.embeddings import Embeddings

    n = 16
    empty = np.full(n, "", "<U1")
    data = Embeddings(
        embeddings=np.zeros((n, 1, 2), np.float32),
        layers=np.array([0]),
        labels=np.tile(["happy", "sad"], 8),
        clip_ids=np.arange(n).astype(str),
        speakers=np.where(np.isin(np.arange(n), unknown), "", np.repeat(["a", "b", "c", "d"], 4)),
        sessions=empty,
        sentences=empty,
        corpora=np.repeat(["x", "y"], 8),
        genders=empty,
        paths=empty,
        audio_sha256=np.arange(n).astype(str),
        augmented_from=empty,
        meta={},
    )
    group = protocols.plan(data, protocols.Protocol("cross-corpus")).group
    known = np.setdiff1d(np.arange(n), unknown)
    assert len(np.unique(group)) == len(np.unique(data.speakers[known])) + len(unknown)
    for name in "bcd":  # one unknown speaker, in either corpus, leaves the others as they are
        assert len(np.unique(group[data.speakers == name])) == 1
