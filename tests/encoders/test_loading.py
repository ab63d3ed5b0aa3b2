"""Loading encoders: names and identities, the files that transformers reads, and everything that can be wrong."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from models import configure, cut, make_model, noise, spoil, to_bin
from speechemb import encoders
from speechemb.errors import InputError


@pytest.mark.parametrize(
    "model, tag",
    [
        ("wavlm_base", "wavlm_base"),
        ("microsoft/wavlm-base", "wavlm_base"),
        ("facebook/hubert-large-ll60k", "hubert_large"),
        ("facebook/hubert-large-ll60k@abc123", "hubert_large_abc123"),
        ("ntu-spml/DistilHuBERT", "distilhubert"),
        ("models/wavlm-nano", "wavlm_nano"),
        ("/some/where/My Model.v2/", "my_model_v2"),
    ],
)
def test_tags(model, tag):
    assert encoders.tag_of(model) == tag


def test_identity_tells_models_apart_and_holds_no_path(tmp_path):
    make_model(tmp_path / "a" / "same", "wavlm")
    shutil.copytree(tmp_path / "a" / "same", tmp_path / "b" / "same")
    make_model(tmp_path / "c" / "same", "wavlm", seed=1)
    first, copy, other = (encoders.load(str(tmp_path / x / "same"), "cpu", "fp32").identity for x in "abc")
    for key in ("revision", "weights_sha256"):
        assert first == copy and first[key] != other[key] and len(first[key]) == 64
    assert str(tmp_path) not in json.dumps(first)
    assert first["config_sha256"] == other["config_sha256"]
    for key in ("revision", "weights_sha256", "config_sha256"):
        del first[key]
    assert first == {
        "name": "same",
        "model_type": "wavlm",
        "n_layers": 3,
        "dim": 48,
        "do_normalize": False,
        "sampling_rate": 16000,
        "preprocessor": "preprocessor_config.json",
        "window_s": 30,
        "forward": "1",
    }


# ------------------------------------------------------------------------------------------------ broken models


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


def to_evil_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Evil(), "b": bytes(100_000)}))


def to_shards_without_their_files(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


BROKEN = {
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
    "another type": (lambda f: configure(f, model_type="bert"), "is a bert model; .* wavlm, hubert, wav2vec2"),
    "unknown type": (lambda f: configure(f, model_type="nope"), "is a nope model; .* wavlm, hubert, wav2vec2"),
    "no type": (lambda f: configure(f, model_type=None), "names no model_type"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "not a valid JSON"),
    "wrong field": (lambda f: configure(f, hidden_size="wide"), "config.json is not valid"),
    "wrong norm": (lambda f: configure(f, feat_extract_norm="batch"), "feat_extract_norm"),
    "wrong heads": (
        lambda f: configure(f, num_attention_heads=5),
        "hidden_size 48 is not divisible by num_attention_heads 5",
    ),
    "wrong activation": (lambda f: configure(f, hidden_act="nope"), "config.json is not valid"),
    "other width": (lambda f: configure(f, hidden_size=64), "weights do not fit config.json"),
    "more blocks": (lambda f: configure(f, num_hidden_layers=5), "lack encoder.layers.3"),
    "fewer blocks": (lambda f: configure(f, num_hidden_layers=2), "hold encoder.layers.2"),
    "another family": (lambda f: configure(f, model_type="hubert"), "hold encoder.layers.0"),
    "weight lost": (
        lambda f: spoil(f, lambda w: {k: v for k, v in w.items() if "layers.1.attention.k_proj.bias" not in k}),
        "lack encoder.layers.1.attention.k_proj.bias",
    ),
    "foreign names": (lambda f: spoil(f, lambda w: {"x." + k: v for k, v in w.items()}), "lack .* more"),
    "half the weights": (lambda f: cut(f / "model.safetensors", 100_000), "model.safetensors is truncated|files hold"),
    "empty weights": (lambda f: cut(f / "model.safetensors", 0), "files hold 0 bytes"),
    "half a .bin": (lambda f: (to_bin(f), cut(f / "pytorch_model.bin", 100_000)), "pytorch_model.bin is truncated"),
    "pickled code": (to_evil_pickle, "holds something other than weights"),
    "lost shards": (to_shards_without_their_files, "model-00002-of-00002"),
    "other rate": (lambda f: configure(f, "preprocessor_config.json", sampling_rate=8000), "expects 8000 Hz"),
    "no Wav2Vec2": (
        lambda f: configure(f, "preprocessor_config.json", feature_extractor_type="WhisperFeatureExtractor"),
        "preprocessor_config.json is not",
    ),
    "do_normalize": (lambda f: configure(f, "preprocessor_config.json", do_normalize="no"), "preprocessor_config.json"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_one_line_with_a_remedy(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    folder = make_model(tmp_path / "model", "wavlm")
    break_it, words = BROKEN[case]
    break_it(folder)
    with pytest.raises(InputError, match=words) as caught:
        encoders.load(str(folder), "cpu", "fp32")
    message = str(caught.value)
    assert "\n" not in message and message.startswith("--model ") and len(message) < 400
    assert "get " in message or "give " in message
    assert not (tmp_path / "made-by-a-pickle").exists()


@pytest.mark.parametrize("rename", ["", "wavlm.", "weight_g"])
def test_a_bin_with_older_names_is_read(tmp_path, rename):
    """`weight_g` and `weight_v` are what the published checkpoints hold; `wavlm.` what a fine-tuned one does."""
    folder = make_model(tmp_path / "model", "wavlm")
    wanted = encoders.load(str(folder), "cpu", "fp32").embed(noise([0.5]), [0, 3], ["mean"])
    norm = "parametrizations.weight.original"
    older = {norm + "0": "weight_g", norm + "1": "weight_v"} if rename == "weight_g" else {}

    def old_name(key: str) -> str:
        for new, old in older.items():
            key = key.replace(new, old)
        return (rename if rename.endswith(".") else "") + key

    to_bin(folder, old_name)
    np.testing.assert_array_equal(
        encoders.load(str(folder), "cpu", "fp32").embed(noise([0.5]), [0, 3], ["mean"]), wanted
    )


def test_a_weight_that_serves_training_only_may_be_missing(tmp_path):
    folder = make_model(tmp_path / "model", "wavlm")
    spoil(folder, lambda w: {k: v for k, v in w.items() if k != "masked_spec_embed"})
    encoders.load(str(folder), "cpu", "fp32")
