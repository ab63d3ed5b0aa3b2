"""A model's folder may come from anywhere: none of its files runs, asks, hangs, or ends in a traceback."""

import json
import os
import struct
import sys
from pathlib import Path

import forked
import pytest
from conftest import ROOT
from safetensors import safe_open

from models import configure, make_model
from speechemb import encoders
from speechemb.errors import InputError

LOAD = """
import sys
from speechemb import encoders
from speechemb.errors import InputError
try:
    print("loaded", encoders.load(sys.argv[1], "cpu", "fp32").n_layers)
except InputError as error:
    print("error:", error)
"""
CODE = """
from pathlib import Path
Path("the-folder-ran").touch()
from transformers import Wav2Vec2FeatureExtractor as Extractor, WavLMConfig as Config, WavLMModel as Model
"""


def loaded(folder: Path, cwd: Path, answer: str = "y\n" * 20) -> str:
    """What a process prints that loads the folder, with an answer to any question ready."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    done = forked.run([sys.executable, "-c", LOAD, folder], env=env, cwd=cwd, input=answer)
    assert done.returncode == 0 and "?" not in done.stdout, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["wavlm", "custom", None])
def test_python_in_the_folder_never_runs(tmp_path, model_type):
    """transformers asks on the terminal whether to run what `auto_map` names, and runs it if the answer is y."""
    folder = make_model(tmp_path / "model", "wavlm")
    (folder / "custom.py").write_text(CODE)
    maps = {"AutoConfig": "custom.Config", "AutoModel": "custom.Model", "AutoFeatureExtractor": "custom.Extractor"}
    configure(folder, model_type=model_type, auto_map=maps)
    configure(folder, "preprocessor_config.json", auto_map=maps, feature_extractor_type="Wav2Vec2FeatureExtractor")
    found = loaded(folder, tmp_path)
    assert found == "loaded 3\n" if model_type == "wavlm" else found.startswith("error: --model"), found
    assert not list(tmp_path.rglob("the-folder-ran"))


def test_nothing_else_is_loaded_for_a_folder(tmp_path):
    """Quantisation, kernels of the hub and adapters are named in files that the folder brings along."""
    folder = make_model(tmp_path / "model", "wavlm")
    configure(folder, quantization_config={"quant_method": "bitsandbytes"}, _attn_implementation="org/kernel")
    assert encoders.load(str(folder), "cpu", "fp32").n_layers == 3
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/other"}))
    with pytest.raises(InputError, match="adapter_config.json: adapters are not applied"):
        encoders.load(str(folder), "cpu", "fp32")


@pytest.mark.parametrize("name", ["../model.safetensors", "/model.safetensors", "sub/model.safetensors", 3, "x.py"])
def test_weights_lie_in_the_folder_itself(tmp_path, name):
    folder = make_model(tmp_path / "model", "wavlm")
    configure(folder, transformers_weights=name)
    with pytest.raises(InputError, match="has no model.safetensors"):
        encoders.load(str(folder), "cpu", "fp32")
    configure(folder, transformers_weights=None)
    (folder / "model.safetensors").rename(tmp_path / "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(InputError, match="does not name the files of the weights"):
        encoders.load(str(folder), "cpu", "fp32")


HUGE = 10**30
WRONG = [
    *({key: value} for key in ("hidden_size", "num_hidden_layers", "num_attention_heads") for value in (0, -1, HUGE)),
    *({"hidden_size": value} for value in ("48", 48.0, True, None, [48], 50, 1_000_000)),
    *({"num_hidden_layers": value} for value in (10_000_000, 2.5, {})),
    *({"intermediate_size": value} for value in (0, 2**62)),
    *({"conv_dim": value} for value in ([], [0] * 7, [16] * 6, [HUGE] * 7, ["a"] * 7, 512, None, [16] * 1000)),
    *({"conv_kernel": value} for value in ([0] * 7, [-1] * 7, [1000] * 7, [10, 3, 3, 3, 3, 2])),
    *({"conv_stride": value} for value in ([0] * 7, [1] * 7, [1000] * 7, [5, 2, 2, 2, 2, 2, 2.0])),
    *({"num_conv_pos_embeddings": value} for value in (0, HUGE)),
    *({"num_conv_pos_embedding_groups": value} for value in (0, 7, -4)),
    *({"num_buckets": value} for value in (0, 1, 3, -320, HUGE)),
    *({"max_bucket_distance": value} for value in (0, 1, 8, -1)),
    *({"layer_norm_eps": value} for value in (0, -1e-5, 2, "1e-5", None)),
    *({"hidden_act": value} for value in ("nope", 1, None, ["gelu"])),
    *({"feat_extract_norm": value} for value in ("batch", None, 0)),
    *({"do_stable_layer_norm": value} for value in ("no", 0, None)),
    *({"model_type": value} for value in (["wavlm"], 1, {"wavlm": 1})),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "model", "wavlm")


def rewritten(model: Path, folder: Path, name: str, content: bytes) -> Path:
    """The folder with links to the model's files, one of them replaced."""
    folder.mkdir()
    for file in model.iterdir():
        if file.name != name:
            (folder / file.name).symlink_to(file)
    (folder / name).write_bytes(content)
    return folder


def assert_one_line(folder: Path, words: str = "") -> None:
    with pytest.raises(InputError, match=words or "--model") as caught:
        encoders.load(str(folder), "cpu", "fp32")
    message = str(caught.value)
    assert "\n" not in message and message.startswith("--model ") and len(message) < 400, message
    assert "get " in message or "give " in message, message


@pytest.mark.parametrize("change", WRONG, ids=str)
def test_a_value_out_of_bounds_is_one_line_that_names_the_key(model, tmp_path, change):
    content = json.loads((model / "config.json").read_text()) | change
    folder = rewritten(model, tmp_path / "wrong", "config.json", json.dumps(content).encode())
    assert_one_line(folder, f"(?s).*{next(iter(change))}" if HUGE not in change.values() else "")


@pytest.mark.parametrize("rate", [0, -1, 8000, 16_000.5, "16000", HUGE, None, True, [16_000]])
def test_a_sampling_rate_other_than_16_khz_is_one_line(model, tmp_path, rate):
    content = json.loads((model / "preprocessor_config.json").read_text()) | {"sampling_rate": rate}
    data = json.dumps(content).encode()
    assert_one_line(rewritten(model, tmp_path / "wrong", "preprocessor_config.json", data), "sampling_rate|Hz audio")


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "processor_config.json"])
@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b"3", b"\xff\xfe{", b"[" * 200_000, b'{"a":' * 100_000, b'{"a":' + b"9" * 5000 + b"}"]
)
def test_a_file_that_is_no_json_object_is_one_line(model, tmp_path, name, data):
    assert_one_line(rewritten(model, tmp_path / "wrong", name, data), name)


def test_a_network_larger_than_its_weights_is_never_built(model, tmp_path):
    """8,192 wide and 128 deep are 400 GB."""
    wide = {"hidden_size": 8192, "num_hidden_layers": 128, "intermediate_size": 65_536}
    content = json.loads((model / "config.json").read_text()) | wide
    folder = rewritten(model, tmp_path / "wrong", "config.json", json.dumps(content).encode())
    assert_one_line(folder, "asks for 172,.* parameters, and the files hold")


HEADERS = {
    "no length": lambda size, header: (0, header),
    "a huge length": lambda size, header: (2**63, header),
    "half the length": lambda size, header: (size // 2, header),
    "whole numbers": lambda size, header: (None, header.replace(b'"F32"', b'"I32"')),
    "an unknown type": lambda size, header: (None, header.replace(b'"F32"', b'"F99"', 1)),
    "another shape": lambda size, header: (None, header.replace(b'"shape":[48]', b'"shape":[24,2]', 1)),
    "a negative shape": lambda size, header: (None, header.replace(b'"shape":[48]', b'"shape":[-8]', 1)),
    "a huge shape": lambda size, header: (None, header.replace(b'"shape":[48]', b'"shape":[9223372036854775807]', 1)),
    "overlapping": lambda size, header: (None, header.replace(b'"data_offsets":[0,', b'"data_offsets":[1,', 1)),
    "no offsets": lambda size, header: (None, header.replace(b'"data_offsets"', b'"offsets"', 1)),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_damaged_header_of_the_weights_is_one_line(model, tmp_path, case):
    data = (model / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    length, header = HEADERS[case](size, data[8 : 8 + size])
    assert length is not None or header != data[8 : 8 + size]
    changed = struct.pack("<Q", len(header) if length is None else length) + header + data[8 + size :]
    assert_one_line(rewritten(model, tmp_path / "wrong", "model.safetensors", changed))


def test_a_weight_of_other_numbers_than_floats_counts_as_missing(model, tmp_path):
    """Of the right size and under the right name, as quantised weights are."""
    with safe_open(model / "model.safetensors", "np") as file:
        assert file.get_slice("encoder.layers.0.layer_norm.bias").get_dtype() == "F32"
    data = (model / "model.safetensors").read_bytes()
    at = data.index(b'"encoder.layers.0.layer_norm.bias":{"dtype":"F32"')
    changed = data[:at] + data[at:].replace(b'"F32"', b'"I32"', 1)
    folder = rewritten(model, tmp_path / "wrong", "model.safetensors", changed)
    assert_one_line(folder, "lack encoder.layers.0.layer_norm.bias")
