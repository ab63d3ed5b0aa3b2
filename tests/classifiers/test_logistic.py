"""The linear probe: the same model as scikit-learn's, a C chosen inside the fold, and calibrated probabilities."""

import json

import made
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from speechemb import classifiers
from speechemb.classifiers.logistic import GRID
from speechemb.errors import InputError
from speechemb.metrics.calibration import negative_log_likelihood


def drawn(n_classes, n=400, dim=30, effect=0.5, seed=0):
    """Clips (n, dim) of unequal classes, scales and offsets, with 20 speakers."""
    rng = np.random.default_rng(seed)
    y = np.minimum(rng.integers(0, n_classes + 2, n), n_classes - 1)
    x = rng.normal(size=(n, dim)) + effect * rng.normal(size=(n_classes, dim))[y]
    return (x * rng.uniform(0.1, 50, dim) + rng.normal(0, 20, dim)).astype(np.float32), y, np.arange(n) % 20


@pytest.mark.parametrize("n_classes", [2, 3, 6])
@pytest.mark.parametrize("C", [1.0, 100.0])
def test_it_is_scikit_learns(n_classes, C):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    x, y, group = drawn(n_classes)
    fitted = classifiers.make("logistic", n_classes, 0, C=C).fit(x, y, group)
    # With two classes scikit-learn has one vector of weights instead of two: half the penalty.
    theirs = LogisticRegression(C=C / 30 * (1 + (n_classes == 2)), class_weight="balanced", tol=1e-8, max_iter=5000)
    scaled = StandardScaler().fit_transform(x.astype(float))
    expected = theirs.fit(scaled, y).predict_proba(scaled)
    fitted.arrays["temperature"][:] = 1
    np.testing.assert_allclose(fitted.predict_proba(x), expected, atol=1e-3)


def test_more_features_than_clips_and_constant_features():
    from sklearn.linear_model import LogisticRegression

    x, y, group = drawn(4, n=120, dim=500)
    x[:, :5] = 0.1  # a constant whose standard deviation in float32 need not be 0
    fitted = classifiers.make("logistic", 4, 0, C=10.0).fit(x, y, group)
    scaled = x.astype(float)
    scaled[:, 5:] = (scaled - scaled.mean(axis=0))[:, 5:] / scaled.std(axis=0)[5:]
    scaled[:, :5] = 0
    theirs = LogisticRegression(C=10 / 500, class_weight="balanced", tol=1e-8, max_iter=5000).fit(scaled, y)
    fitted.arrays["temperature"][:] = 1
    np.testing.assert_allclose(fitted.predict_proba(x), theirs.predict_proba(scaled), atol=1e-3)


def test_little_noise_asks_for_a_large_c_and_much_for_a_small_one():
    chosen = {}
    for effect in (0.1, 3.0):
        x, y, group = drawn(4, effect=effect)
        chosen[effect] = classifiers.make("logistic", 4, 0).fit(x, y, group).chosen["C"]
    assert chosen[0.1] < chosen[3.0] and set(chosen.values()) <= set(GRID)


def test_probabilities_are_calibrated():
    x, y, group = drawn(4, n=1200, dim=200, effect=0.12)
    test, other = group < 5, group >= 5
    fitted = classifiers.make("logistic", 4, 0, C=300.0).fit(x[other], y[other], group[other])
    with_temperature = negative_log_likelihood(y[test], fitted.predict_proba(x[test]))
    assert fitted.arrays["temperature"].item() > 1.2  # so large a C is too sure of itself
    fitted.arrays["temperature"][:] = 1
    assert with_temperature < negative_log_likelihood(y[test], fitted.predict_proba(x[test])) - 0.05


def test_the_log_and_the_model_say_which_c_was_chosen(script, tmp_path):
    npz = made.npz(tmp_path / "e.npz", *made.planted(speakers=6, effect=1.0))
    train = script("3_train_classifiers").main
    where = ["--models-dir", str(tmp_path / "models"), "--results-dir", str(tmp_path / "results")]
    train(["--npz-path", str(npz), "--classifier", "logistic", "--n-folds", "2", *where])
    (log,) = (tmp_path / "results").glob("training_*.csv")
    assert set(pd.read_csv(log, comment="#")["C"]) <= set(GRID)
    (model,) = (tmp_path / "models").glob("*/model.json")
    content = json.loads(model.read_text())
    assert content["chosen"]["C"] in GRID and content["settings"] == {}


@pytest.mark.slow
def test_tune_refuses_it_by_name_and_skips_it_under_all(script, tmp_path, capsys):
    npz = made.npz(tmp_path / "e.npz", *made.planted(speakers=6, effect=1.0))
    train = script("3_train_classifiers").main
    where = ["--npz-path", str(npz), "--models-dir", str(tmp_path / "m"), "--results-dir", str(tmp_path / "r")]
    with pytest.raises(InputError, match="--tune: logistic has no settings to tune"):
        train([*where, "--tune", "1", "--classifier", "svm", "logistic"])
    assert not list((tmp_path / "r").glob("*"))
    train([*where, "--tune", "1", "--n-folds", "2"])
    assert "logistic chooses its C in every fold anyway, skipped" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "m").iterdir())
    assert [name.split("-tune1")[0].rsplit("-", 1)[-1] for name in names] == ["mlp", "svm", "xgboost"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("weights"), "lacks weights"),
        (lambda a: a.update(extra=np.ones(1)), "should not hold it"),
        (lambda a: a.update(weights=a["weights"][:, :2]), "weights has shape"),
        (lambda a: a.update(mean=np.zeros(0, np.float32)), "lacks mean"),
        (lambda a: a.update(scale=-a["scale"]), "scale is not above 0"),
        (lambda a: a.update(temperature=np.zeros(1)), "temperature is not above 0"),
        (lambda a: a.update(weights=a["weights"] * np.float32("nan")), "finite"),
        (lambda a: a.update(intercepts=a["intercepts"].astype(np.float64)), "float32"),
    ],
)
def test_a_made_file_is_refused(change, message, tmp_path):
    x, y, group = drawn(3)
    classifiers.make("logistic", 3, 0, C=1.0).fit(x, y, group).save(tmp_path)
    path = tmp_path / "logistic.safetensors"
    arrays = dict(load_file(path))
    change(arrays)
    save_file(arrays, path)
    with pytest.raises(ValueError, match=message):
        classifiers.make("logistic", 3, 0).load(tmp_path)
