"""Step 3 on embeddings that stay in their file: as if they were small."""

import json

import made
import numpy as np
import pandas as pd
import pytest

from speechemb.artifacts import embeddings
from speechemb.classifiers import mlp
from speechemb.training import effort


@pytest.fixture
def npz(tmp_path):
    vectors, labels, speakers = made.planted(speakers=8, clips=12, dim=24)
    return made.npz(tmp_path / "made.npz", vectors, labels, speakers)


def predictions(script, npz, out, *flags) -> pd.DataFrame:
    step3 = script("3_train_classifiers").main
    step3(
        [
            "--npz-path",
            str(npz),
            "--results-dir",
            str(out),
            "--models-dir",
            str(out / "models"),
            "--n-folds",
            "3",
            *flags,
        ]
    )
    (path,) = out.glob("predictions_*.csv")
    return pd.read_csv(path)


def test_large_vectors_are_those_of_the_file_itself(npz, monkeypatch):
    small = embeddings.read(npz, "mean")
    monkeypatch.setattr(embeddings, "LARGE", 1)
    large = embeddings.read(npz, "mean")
    assert isinstance(np.asanyarray(large.embeddings), np.memmap) and not large.embeddings.flags.writeable
    np.testing.assert_array_equal(small.embeddings, large.embeddings)
    assert large.take(np.ones(len(large.labels), bool)).embeddings is large.embeddings


def test_a_mean_of_layers_is_computed_and_one_layer_of_several_is_mapped(tmp_path, monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(12, 3, 5)).astype(np.float32)
    path = made.npz(tmp_path / "layers.npz", vectors, ["sad", "happy"] * 6, list("abc") * 4)
    monkeypatch.setattr(embeddings, "LARGE", 1)
    np.testing.assert_array_equal(embeddings.read(path, "mean").embeddings, vectors.mean(axis=1))
    one = embeddings.read(path, "1").embeddings
    np.testing.assert_array_equal(one, vectors[:, 1])
    assert isinstance(one, np.memmap)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["svm", "logistic", "mlp", "xgboost"])
def test_predictions_of_large_embeddings_are_those_of_small_ones(npz, script, tmp_path, monkeypatch, name):
    monkeypatch.setattr(mlp, "MAX_EPOCHS", 15)
    small = predictions(script, npz, tmp_path / "small", "--classifier", name)
    monkeypatch.setattr(embeddings, "LARGE", 1)
    large = predictions(script, npz, tmp_path / "large", "--classifier", name)
    assert (small.predicted == large.predicted).mean() > 0.97
    scores = [column for column in small if column.startswith("p_")]
    np.testing.assert_allclose(small[scores], large[scores], atol=2e-3 if name != "xgboost" else 0.1)
    model = json.loads(next((tmp_path / "large" / "models").glob("*/model.json")).read_text())
    assert model["clips"] == 96


@pytest.mark.slow
def test_a_long_run_is_announced_with_a_command_that_takes_less(npz, script, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(mlp, "MAX_EPOCHS", 1)
    flags = ["--classifier", "mlp", "--cv", "random"]
    predictions(script, npz, tmp_path / "a", *flags)
    assert "take about" not in caplog.text
    monkeypatch.setattr(effort, "LONG", 1e-9)
    predictions(script, npz, tmp_path / "b", *flags)
    (line,) = [record.message for record in caplog.records if "take about" in record.message]
    assert line.startswith("mlp: 4 fits on up to 96 clips x 24 features take about 0 minutes on")
    assert f"python src/3_train_classifiers.py --npz-path {npz} --classifier svm takes" in line


def test_the_svm_grows_with_the_square_of_the_clips_and_the_others_with_the_clips():
    for name, factor in (("svm", 100), ("mlp", 10), ("logistic", 10), ("xgboost", 10)):
        once, tenfold = (effort.seconds(name, [n] * 4, 8192, 2) for n in (1000, 10_000))
        assert tenfold == pytest.approx(factor * once)


def test_fits_that_the_memory_does_not_hold_do_not_run_side_by_side(monkeypatch):
    matrix = np.broadcast_to(np.float32(0), (50_000_000, 8192))
    assert effort.fits_at_once("svm", matrix) == 1
