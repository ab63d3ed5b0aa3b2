"""Loading encoders: names and identities, the files that transformers reads, and everything that can be wrong."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

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
        ("run1/checkpoint-500", "run1_checkpoint_500"),
        ("run2/checkpoint-500", "run2_checkpoint_500"),
        ("a/run1/checkpoints/best_model", "run1_checkpoints_best_model"),
        ("/x/wavlm-ft/3", "wavlm_ft_3"),
        ("org/final@v1", "org_final_v1"),
        ("/final/", "final"),
        ("../../..", "encoder"),
        ("org/Größe ünd ..;$(x)", "gr_e_nd_x"),
    ],
)
def test_tags(model, tag):
    assert encoders.tag_of(model) == tag


def test_a_tag_of_a_folder_does_not_depend_on_the_working_folder(tmp_path, monkeypatch):
    """Two checkpoints named from inside their runs are two encoders as well."""
    for run in ("run1", "run2"):
        (tmp_path / run / "checkpoint-500").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / run)
        assert encoders.tag_of("checkpoint-500") == encoders.tag_of("./checkpoint-500/") == f"{run}_checkpoint_500"
    monkeypatch.chdir(tmp_path / "run2" / "checkpoint-500")
    assert encoders.tag_of(".") == "run2_checkpoint_500"


def test_a_long_name_gives_a_tag_of_at_most_100_characters():
    one, other = encoders.tag_of("a" * 150 + "b"), encoders.tag_of("a" * 150 + "c")
    assert len(one) == len(other) == 100 and one != other


@pytest.mark.parametrize(
    "model, words",
    [
        ("wavlm", "did you mean wavlm_base or .*wavlm_large"),
        ("wavlm-base", "did you mean wavlm_base"),
        ("acustic", "did you mean acoustic"),
        ("something", r"is no tag, folder or hub id \(org/name\); give a tag .*wavlm_large, .*wavlm_nano, acoustic"),
        ("./runs/lost", "is no tag, folder or hub id"),
        ("org/name/more", "is no tag, folder or hub id"),
        ("org/na me", "is no tag, folder or hub id"),
        ("wavlm_nano@v1", "models/wavlm-nano is a folder, which has no revisions"),
        ("README.md", "is a file; give the folder that holds it"),
    ],
)
def test_a_model_that_is_not_there_is_said_without_the_hub(model, words):
    with pytest.raises(InputError, match=words):
        encoders.load(model, "cpu", "fp32")


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


# ------------------------------------------------------------------------------------- folders of every version


def vectors(folder: Path) -> np.ndarray:
    return encoders.load(str(folder), "cpu", "fp32").embed(noise([0.5]), [0, 3], ["mean"])


def to_processor(folder: Path) -> None:
    """As newer versions of transformers save a processor."""
    content = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": content, "processor_class": "P"}))
    (folder / "preprocessor_config.json").unlink()


def to_shards(folder: Path) -> None:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="100KB")
    assert len(list(folder.glob("*.safetensors"))) > 1


def to_bin_shards(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    names = {"a.bin": sorted(weights)[:20], "b.bin": sorted(weights)[20:]}
    for name, keys in names.items():
        torch.save({key: weights[key] for key in keys}, folder / name)
    index = {"metadata": {}, "weight_map": {key: name for name, keys in names.items() for key in keys}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


def to_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "mine.safetensors")
    configure(folder, transformers_weights="mine.safetensors")


def to_both(folder: Path) -> None:
    """A repository's clone often holds both; transformers reads the safetensors."""
    (folder / "pytorch_model.bin").write_bytes(b"another format")
    (folder / "training_args.bin").write_bytes(b"no weights")
    (folder / "optimizer.safetensors").write_bytes(b"no weights")


VERSIONS = [to_processor, to_shards, to_bin_shards, to_bin, to_named, to_both]


@pytest.mark.parametrize("rewrite", VERSIONS, ids=lambda f: f.__name__)
def test_every_folder_that_transformers_reads_is_read_and_is_the_same_encoder(tmp_path, rewrite):
    folder = make_model(tmp_path / "model", "wavlm", "tiny_layer")
    shutil.copytree(folder, tmp_path / "other")
    rewrite(tmp_path / "other")
    np.testing.assert_array_equal(vectors(tmp_path / "other"), vectors(folder))
    one, other = (encoders.load(str(tmp_path / name), "cpu", "fp32").identity for name in ("model", "other"))
    assert one["weights_sha256"] == other["weights_sha256"] and encoders.same_output(one, other)


@pytest.mark.parametrize("shape", ["tiny_group", "tiny_layer"])
def test_without_a_preprocessor_the_published_default_is_taken_and_said(tmp_path, caplog, shape):
    """A model's save_pretrained and a Trainer's checkpoint write no preprocessor_config.json."""
    folder = make_model(tmp_path / "model", "wavlm", shape)
    wanted = vectors(folder)
    (folder / "preprocessor_config.json").unlink()
    np.testing.assert_array_equal(vectors(folder), wanted)
    identity = encoders.load(str(folder), "cpu", "fp32").identity
    assert identity["do_normalize"] == (shape == "tiny_layer") and identity["preprocessor"] == "default"
    assert "has no preprocessor_config.json; recordings are " in caplog.text
    assert ("not normalised" in caplog.text) == (shape == "tiny_group")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "pytorch_model.bin"])
def test_a_git_lfs_pointer_is_said_to_be_one(tmp_path, name):
    folder = make_model(tmp_path / "model", "wavlm")
    if name.endswith(".bin"):
        to_bin(folder)
    (folder / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(InputError, match=f"{name} is a Git LFS pointer.*`git lfs pull`"):
        encoders.load(str(folder), "cpu", "fp32")


def test_weights_that_are_not_finite_are_said_when_they_are_loaded(tmp_path, caplog):
    folder = make_model(tmp_path / "model", "wavlm")
    spoil(folder, lambda w: w | {k: v * float("nan") for k, v in w.items() if "layers.2.attention.k_proj.bias" in k})
    encoders.load(str(folder), "cpu", "fp32")
    assert "not finite, in encoder.layers.2.attention.k_proj.bias" in caplog.text


# ---------------------------------------------------------------------------------- the encoder of an artifact


@pytest.fixture
def recorded(tmp_path):
    """A model's folder, and its identity as artifacts record it."""
    folder = make_model(tmp_path / "model", "wavlm")
    return folder, {"tag": "model", **encoders.load(str(folder), "cpu", "fp32").identity}


def test_the_same_weights_are_accepted_from_another_place(recorded, tmp_path):
    folder, identity = recorded
    to_bin(shutil.copytree(folder, tmp_path / "copy"))
    hub = {**identity, "name": "org/tiny", "revision": "0" * 40}  # as the hub's identity
    assert encoders.load_recorded(hub, str(tmp_path / "copy"), "fp32", "cpu").dim == 48


OTHERS = {
    "weights": lambda f: spoil(f, lambda w: w | {k: v * 1.001 for k, v in w.items() if "layers.1.final" in k}),
    "eps": lambda f: configure(f, layer_norm_eps=1e-3),
    "normalisation": lambda f: configure(f, "preprocessor_config.json", do_normalize=True),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_encoder_under_the_same_name_is_refused(recorded, case):
    folder, identity = recorded
    OTHERS[case](folder)
    with pytest.raises(InputError, match="trained on model at .*, but the encoder found is .*--encoder"):
        encoders.load_recorded(identity, str(folder), "fp32", "cpu")


def test_another_revision_of_the_forward_pass_is_another_encoder(recorded):
    folder, identity = recorded
    with pytest.raises(InputError, match="--encoder"):
        encoders.load_recorded({**identity, "forward": "0"}, str(folder), "fp32", "cpu")


def test_models_from_before_the_hash_of_the_weights_go_by_the_revision(recorded):
    folder, identity = recorded
    old = {key: identity[key] for key in ("name", "revision", "dim", "n_layers")}
    encoders.load_recorded(old, str(folder), "fp32", "cpu")
    with pytest.raises(InputError, match="--encoder"):
        encoders.load_recorded({**old, "revision": "0" * 64}, str(folder), "fp32", "cpu")


def test_an_encoder_in_fp16_embeds_in_fp32_where_there_is_no_cuda(recorded, caplog):
    folder, identity = recorded
    assert encoders.load_recorded(identity, str(folder), "fp16", "cpu").precision == "fp32"
    assert "fp16 needs a CUDA device; computing in fp32 here" in caplog.text
    with pytest.raises(InputError, match="--precision fp16 needs a CUDA device"):
        encoders.load(str(folder), "cpu", "fp16")


@pytest.mark.slow
def test_the_acoustic_baseline_goes_by_its_revision():
    identity = encoders.load("acoustic").identity
    assert encoders.load_recorded(identity, "acoustic", "fp32").dim == identity["dim"]
    with pytest.raises(InputError, match="--encoder"):
        encoders.load_recorded({**identity, "revision": "0"}, "acoustic", "fp32")


def test_a_hub_model_is_loaded_at_the_recorded_commit(tmp_path):
    from speechemb.encoders.names import at_commit

    commit = "0123456789" * 4
    identity = {"name": "microsoft/wavlm-base", "revision": commit}
    for source in ("wavlm_base", "microsoft/wavlm-base", "microsoft/wavlm-base@main"):
        assert at_commit(source, identity) == f"microsoft/wavlm-base@{commit}"
    assert at_commit("org/other", identity) == "org/other"
    assert at_commit(str(tmp_path), identity) == str(tmp_path)
    assert at_commit("models/wavlm-nano", {"name": "wavlm-nano", "revision": "a" * 64}) == "models/wavlm-nano"
