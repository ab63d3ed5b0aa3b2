"""Encoders in int8: products against exact whole numbers, embeddings against transformers, and where it is refused."""

import json
import logging
from typing import get_args

import numpy as np
import pytest
import torch
from test_encoders import METHODS, check_workers, cosine, pooled, reference

from models import make_model, make_whisper, noise, spoil
from speechemb import encoders
from speechemb.artifacts import embeddings, fusion, schemas
from speechemb.audio import decoding
from speechemb.encoders import kernels
from speechemb.errors import InputError

pytestmark = pytest.mark.skipif(not kernels.quantises(torch.device("cpu")), reason="int8 needs an x86 CPU")


def whole(x: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of numbers as whole numbers up to `levels`, and the scale (rows, 1) of each."""
    scale = np.abs(x).max(1, keepdims=True) / levels
    return np.round(x / scale), scale


@pytest.mark.parametrize("rows, width, out", [(1, 64, 8), (37, 100, 50), (500, 768, 3072)])
def test_a_product_is_that_of_whole_numbers(rows, width, out):
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(rows, width)), rng.normal(size=(out, width)), rng.normal(size=out)
    x[:, 0] *= 20  # an outlier, as trained encoders have
    x, weight, bias = (values.astype(np.float32) for values in (x, weight, bias))
    (x_whole, x_scale), (weight_whole, weight_scale) = whole(x, 127), whole(weight, 63)
    wanted = (x_whole @ weight_whole.T) * x_scale * weight_scale.T + bias
    found = kernels.linear(torch.tensor(weight), torch.tensor(bias), torch.int8)(torch.tensor(x)).numpy()
    # numpy and torch may round a half differently: one level of one factor
    assert np.abs(found - wanted).max() <= 1.1 * np.abs(x_scale * weight_scale.T).max() * 63 + 1e-3
    assert np.quantile(np.abs(found - wanted), 0.99) <= 1e-3


def test_the_largest_sums_are_exact():
    """Weights of 8 bits overflow here on a processor without VNNI."""
    ones = torch.ones(16, 4096)
    for sign in (1, -1):
        found = kernels.linear(ones * sign, None, torch.int8)(ones)
        np.testing.assert_allclose(found.numpy(), 4096 * sign, rtol=1e-6)


def test_residual_gelu_and_a_row_of_zeros():
    x, weight, bias = torch.randn(5, 80), torch.randn(24, 80), torch.randn(24)
    x[2] = 0
    plain = kernels.linear(weight, bias, torch.int8)(x)
    torch.testing.assert_close(plain[2], bias)
    gelu = kernels.linear(weight, bias, torch.int8, gelu=True)(x)
    torch.testing.assert_close(gelu, torch.nn.functional.gelu(plain))
    torch.testing.assert_close(kernels.linear(weight, bias, torch.int8)(x, plain), 2 * plain)


def test_numbers_that_are_not_finite_stay_so():
    x = torch.randn(4, 80)
    x[1, 3], x[2, 5] = float("nan"), float("inf")
    found = kernels.linear(torch.randn(24, 80), torch.randn(24), torch.int8)(x)
    assert found.isfinite().all(1).tolist() == [True, False, False, True]


@pytest.mark.parametrize("family, shape", [("wavlm", "tiny_group"), ("hubert", "tiny_layer"), ("whisper", "")])
def test_an_embedding_depends_neither_on_its_batch_nor_on_the_threads(tmp_path, family, shape):
    folder = make_model(tmp_path / "m", family, shape) if shape else make_whisper(tmp_path / "m")
    encoder, waves = encoders.load(str(folder), "cpu", "int8"), noise([1.3, 0.4, 2.2, 0.4])
    layers = list(range(encoder.n_layers + 1))
    alone = np.concatenate([encoder.embed([wave], layers, METHODS) for wave in waves])
    assert encoder.precision == "int8" and encoder.settled
    np.testing.assert_allclose(encoder.embed(waves, layers, METHODS), alone, rtol=1e-3, atol=1e-4)
    check_workers(folder, waves, "int8")


def test_real_speech_in_the_bundled_encoder(shared, caplog):
    clips = sorted((shared / "data" / "ravdess").rglob("*.flac"))[::480]
    waves = [decoding.load(clip) for clip in clips]
    with caplog.at_level(logging.WARNING):
        encoder = encoders.load("wavlm_nano", "cpu", "int8")
        found = encoder.embed(waves, list(range(7)), METHODS)
    assert not caplog.records  # its frames are as close as `auto` asks of half precision
    full = encoders.load("wavlm_nano", "cpu", "fp32").embed(waves, list(range(7)), METHODS)
    assert (cosine(found, full) >= 0.999).all() and not np.array_equal(found, full)


def test_the_layers_are_those_of_transformers(tmp_path):
    folder, waves = make_model(tmp_path / "m", "wavlm", "base", num_hidden_layers=2), noise([0.9, 0.3])
    theirs = np.stack([pooled(states) for states in reference(folder, waves)])
    found = encoders.load(str(folder), "cpu", "int8").embed(waves, [0, 1, 2], METHODS)
    assert (cosine(found, theirs) >= 0.99).all()


def test_an_encoder_that_int8_changes_is_said(tmp_path, caplog):
    """An outlier in every row of the input of a product, which leaves its other values no level but 0."""
    folder = make_model(tmp_path / "m", "hubert", "tiny_group")
    up, down = (f"encoder.layers.1.feed_forward.{name}" for name in ("intermediate_dense.bias", "output_dense.weight"))
    first = torch.arange(96) == 0
    spoil(folder, lambda w: w | {up: w[up] + 1e4 * first, down: 50 * w[down] * ~first})
    encoder = encoders.load(str(folder), "cpu", "int8")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            encoder.embed(noise([0.5]), [0, 3], ["mean"])
    (said,) = [record.getMessage() for record in caplog.records]
    cosines = [float(word) for word in said.partition(" is ")[2].partition(";")[0].split()]
    assert "int8" in said and "--precision fp32" in said and len(cosines) == 4 and min(cosines) < 0.999


def test_where_int8_is_refused(tmp_path, monkeypatch, caplog):
    data2vec = make_model(tmp_path / "d", "data2vec-audio", "tiny_layer")
    with pytest.raises(InputError, match="--precision int8 is for wavlm, .*not for a data2vec-audio model"):
        encoders.load(str(data2vec), "cpu", "int8")
    folder = make_model(tmp_path / "m", "wavlm")
    identity = encoders.load(str(folder), "cpu", "int8").identity
    monkeypatch.setattr(kernels.platform, "machine", lambda: "arm64")
    with pytest.raises(InputError, match="--precision int8 needs an x86 CPU: use --precision auto"):
        encoders.load(str(folder), "cpu", "int8")
    assert encoders.load_recorded(identity, str(folder), "int8", "cpu").precision == "fp32"
    assert "int8 needs an x86 CPU; computing in fp32 here" in caplog.text


@pytest.mark.slow
def test_from_step_2_to_a_prediction(script, chain, tmp_path, caplog):
    """The npz, the run and the model say int8, and predict.py computes in it."""
    npz, out = tmp_path / "int8.npz", tmp_path / "p.json"
    model = ["--model", "wavlm_nano", "--layers", "last"]
    table = ["--metadata", str(chain["metadata"]), "--out", str(npz)]
    script("2_wavlm_feature_extraction").main([*model, *table, "--precision", "int8"])
    where = ["--models-dir", str(tmp_path / "models"), "--results-dir", str(tmp_path / "results")]
    script("3_train_classifiers").main(["--npz-path", str(npz), "--classifier", "logistic", "--n-folds", "2", *where])
    (folder,) = (tmp_path / "models").iterdir()
    clip = sorted(chain["table"].with_suffix("").rglob("*.wav"))[0]
    script("predict").main(["--model", str(folder), "--out", str(out), str(clip)])
    (stamp,) = (tmp_path / "results").glob("predictions_*.meta.json")
    assert embeddings.read(npz).meta["precision"] == json.loads(stamp.read_text())["precision"] == "int8"
    assert json.loads((tmp_path / "p.json.meta.json").read_text())["precision"] == ["int8"]
    assert fusion.fused([npz, chain["embeddings"]], "last").meta["precision"] == "int8"
    assert get_args(schemas.Precision) == encoders.PRECISIONS
