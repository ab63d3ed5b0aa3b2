"""The encoders of Moonshine and Parakeet against transformers' own, one clip at a time, without decoder or head."""

import numpy as np
import pytest
import torch
from test_encoders import METHODS, check_workers, error, pooled

from models import configure, make_moonshine, make_parakeet, noise, spoil
from speechemb import encoders
from speechemb.errors import InputError

pytestmark = pytest.mark.slow
MAKERS = {"moonshine": make_moonshine, "parakeet": make_parakeet}
SECONDS = [1.3, 0.1, 0.71, 0.71, 0.312, 2.0]


def theirs(folder, waves) -> np.ndarray:
    """transformers' hidden states of each clip alone, pooled over the frames that its mask keeps."""
    from transformers import AutoFeatureExtractor, AutoModel

    extractor = AutoFeatureExtractor.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    encoder = getattr(model, "encoder", model)
    rows = []
    for wave in waves:
        inputs = extractor(wave, sampling_rate=16_000, return_tensors="pt")
        with torch.no_grad():
            found = encoder(**inputs, output_hidden_states=True)
        mask = getattr(found, "attention_mask", None)
        own = slice(None) if mask is None else mask[0] == 1
        rows.append(pooled([state[0][own] for state in found.hidden_states]))
    return np.stack(rows)


@pytest.mark.parametrize(
    "family, changes",
    [
        ("moonshine", {}),
        ("moonshine", {"pad_head_dim_to_multiple_of": 8, "attention_bias": True}),
        ("moonshine", {"partial_rotary_factor": 0.62, "encoder_num_hidden_layers": 2, "decoder_num_hidden_layers": 3}),
        ("parakeet", {}),
        ("parakeet", {"head": False}),
        ("parakeet", {"num_mel_bins": 128, "attention_bias": False, "convolution_bias": False, "scale_input": False}),
        ("parakeet", {"subsampling_factor": 4, "subsampling_conv_kernel_size": 5, "conv_kernel_size": 5}),
    ],
)
def test_layers_are_those_of_transformers_in_any_batch(tmp_path, family, changes):
    folder, waves = MAKERS[family](tmp_path / "model", **changes), noise(SECONDS)
    encoder = encoders.load(str(folder), "cpu", "fp32")
    layers = list(range(encoder.n_layers + 1))
    together = encoder.embed(waves, layers, METHODS)
    alone = np.concatenate([encoder.embed([wave], layers, METHODS) for wave in waves])
    np.testing.assert_array_equal(together, alone)
    assert encoder.n_layers == changes.get("encoder_num_hidden_layers", 3) and encoder.dim == 48
    assert error(together, theirs(folder, waves)) <= 1e-4


def test_of_a_moonshine_no_decoder_is_in_memory_or_needed(tmp_path):
    folder = make_moonshine(tmp_path / "model")
    identity = encoders.load(str(folder), "cpu", "fp32").identity
    spoil(folder, lambda weights: {key: x for key, x in weights.items() if "encoder" in key})
    network = encoders.load(str(folder), "cpu", "fp32")
    assert network.identity["weights_sha256"] == identity["weights_sha256"]
    assert not [name for name, _ in network._network._model.named_modules() if "decoder" in name]


def test_the_positions_of_an_older_moonshine_are_read(tmp_path):
    folder, waves = make_moonshine(tmp_path / "model", partial_rotary_factor=0.62), noise([0.5])
    wanted = encoders.load(str(folder), "cpu", "fp32").embed(waves, [3], METHODS)
    configure(folder, rope_parameters=None, rope_scaling=None, partial_rotary_factor=0.62, rope_theta=10_000.0)
    np.testing.assert_array_equal(encoders.load(str(folder), "cpu", "fp32").embed(waves, [3], METHODS), wanted)
    configure(folder, partial_rotary_factor=0.9)
    assert error(encoders.load(str(folder), "cpu", "fp32").embed(waves, [3], METHODS), wanted) > 1e-3


def test_a_parakeet_with_and_without_its_head_is_one_encoder(tmp_path):
    folder = make_parakeet(tmp_path / "model")
    encoder = encoders.load(str(folder), "cpu", "fp32").identity
    from transformers import ParakeetForCTC

    ParakeetForCTC.from_pretrained(folder).encoder.save_pretrained(tmp_path / "alone")
    alone = encoders.load(str(tmp_path / "alone"), "cpu", "fp32").identity
    assert encoders.same_output(encoder, alone) and encoder["model_type"] == "parakeet_encoder"


@pytest.mark.parametrize("family", MAKERS)
def test_workers_beside_each_other_give_the_same_bytes(tmp_path, family):
    check_workers(MAKERS[family](tmp_path / "model"), noise([0.5, 0.9, 0.3, 0.7] * 3))


@pytest.mark.slow
@pytest.mark.parametrize("family", MAKERS)
def test_half_precision_and_long_recordings(tmp_path, family):
    folder, waves = str(MAKERS[family](tmp_path / "model")), noise([31.0, 0.5])
    full = encoders.load(folder, "cpu", "fp32").embed(waves, [0, 3], METHODS)
    half = encoders.load(folder, "cpu", "bf16").embed(waves, [0, 3], METHODS)
    assert full.shape == (2, 2, 5 * 48) and 0 < error(half, full) < 0.15


@pytest.mark.parametrize("family", MAKERS)
def test_a_folder_without_feature_extractor_is_computed_as_published(tmp_path, family):
    folder, waves = MAKERS[family](tmp_path / "model"), noise([0.5])
    with_file = encoders.load(str(folder), "cpu", "fp32").embed(waves, [3], METHODS)
    (folder / "preprocessor_config.json").unlink()
    np.testing.assert_array_equal(encoders.load(str(folder), "cpu", "fp32").embed(waves, [3], METHODS), with_file)


@pytest.mark.parametrize("family, samples", [("moonshine", 800), ("parakeet", 300)])
def test_a_clip_without_a_frame_is_refused(tmp_path, family, samples):
    encoder = encoders.load(str(MAKERS[family](tmp_path / "model")), "cpu", "fp32")
    with pytest.raises(ValueError, match="too short"):
        encoder.embed([np.zeros(samples, np.float32)], [0], ["mean"])


@pytest.mark.parametrize(
    "family, changes, words",
    [
        ("moonshine", {"encoder_num_attention_heads": 5}, "hidden_size 48 is not divisible by"),
        ("moonshine", {"encoder_num_key_value_heads": 2}, "encoder_num_key_value_heads 2 is not"),
        ("moonshine", {"encoder_num_hidden_layers": 10**9}, "encoder_num_hidden_layers is 1000000000"),
        ("moonshine", {"encoder_num_hidden_layers": 4}, "weights do not fit config.json: they lack"),
        ("moonshine", {"encoder_num_hidden_layers": 2}, "weights do not fit config.json: they hold"),
        ("moonshine", {"encoder_hidden_act": ["gelu"]}, "encoder_hidden_act is .*, not one of"),
        ("moonshine", {"rope_parameters": {"rope_type": "yarn"}}, "rope_type is 'yarn', not one of"),
        ("moonshine", {"rope_parameters": {"partial_rotary_factor": 2}}, "partial_rotary_factor is 2, not a number"),
        ("moonshine", {"rope_parameters": {"partial_rotary_factor": 0.01}}, "rotates 0 of 12 dimensions"),
        ("moonshine", {"rope_parameters": {"rope_theta": "1"}}, "rope_theta is '1', not a number"),
        ("moonshine", {"rope_scaling": {"type": "linear"}}, "rope_scaling is .*, not null"),
        ("moonshine", {"hidden_size": 8192, "intermediate_size": 65536}, "config.json asks for .* parameters"),
        ("parakeet", {"conv_kernel_size": 8}, "conv_kernel_size 8 is even"),
        ("parakeet", {"subsampling_factor": 6}, "subsampling_factor 6 is not a power of 2"),
        ("parakeet", {"num_mel_bins": 84}, "num_mel_bins 84 is not divisible by subsampling_factor 8"),
        ("parakeet", {"subsampling_conv_stride": 3}, "subsampling_conv_stride is 3"),
        ("parakeet", {"attention_bias": 1}, "attention_bias is 1, not true or false"),
        ("parakeet", {"num_hidden_layers": 4}, "weights do not fit config.json: they lack"),
        ("parakeet", {"num_hidden_layers": 2}, "weights do not fit config.json: they hold"),
        ("parakeet", {"num_mel_bins": 128}, "feature_size is 80, not 128"),
        ("parakeet", {"hidden_size": 8192, "intermediate_size": 65536}, "config.json asks for .* parameters"),
    ],
)
def test_a_damaged_config_is_refused_in_one_line(tmp_path, family, changes, words):
    folder = MAKERS[family](tmp_path / "model", **({"head": False} if family == "parakeet" else {}))
    configure(folder, **changes)
    with pytest.raises(InputError, match=words) as caught:
        encoders.load(str(folder), "cpu", "fp32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["x", 5, []])
def test_a_parakeet_whose_encoder_has_no_settings_is_not_computed(tmp_path, content):
    folder = make_parakeet(tmp_path / "model")
    configure(folder, encoder_config=content)
    with pytest.raises(InputError, match="weights do not fit config.json|config.json is not valid|asks for"):
        encoders.load(str(folder), "cpu", "fp32")
