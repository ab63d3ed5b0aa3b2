"""The modules that hold weights of wav2vec 2.0's family and Whisper's encoder, against transformers' own models."""

import pytest
import torch
from support.models import GROUP, LAYER, SMALL

from speechemb.encoders import configuration, modules, whisper

FAMILIES = ["wavlm", "hubert", "wav2vec2", "unispeech", "unispeech-sat"]


def known(settings: dict) -> set[str]:
    """The keys of transformers' configuration that are taken over from config.json."""
    activations = modules.activations(settings)
    return set(configuration.settings_of("", settings, settings, activations))


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_defaults_are_those_of_transformers(transformers, model_type):
    theirs = transformers.CONFIG_MAPPING[model_type]().to_dict()
    assert modules.defaults(model_type) == {key: theirs[key] for key in known(theirs)}


def test_whispers_defaults_are_those_of_transformers(transformers):
    theirs = transformers.WhisperConfig().to_dict()
    assert modules.defaults("whisper") == whisper.settings_of("", {}, theirs, {"gelu"})


CHANGES = {
    "wavlm": [{}, {"feat_extract_activation": "relu"}],
    "hubert": [{}, {"feat_proj_layer_norm": False}, {"conv_pos_batch_norm": True}],
    "wav2vec2": [{}, {"adapter_attn_dim": 8}, {"hidden_act": "silu"}],
    "unispeech": [{}],
    "unispeech-sat": [{}],
}
CASES = [(family, norm, change) for family in FAMILIES for norm in (GROUP, LAYER) for change in CHANGES[family]]


@pytest.mark.parametrize(("model_type", "norm", "change"), CASES)
def test_names_and_shapes_are_those_of_transformers(transformers, model_type, norm, change):
    own = modules.defaults(model_type)
    settings = own | {key: value for key, value in (SMALL | norm | change).items() if key in own}
    config = transformers.CONFIG_MAPPING[model_type](**settings)
    with torch.device("meta"):
        model = transformers.MODEL_MAPPING[type(config)](config)
        ours = modules.wav2vec2_model(settings)
    expected = {name: x.shape for name, x in model.state_dict().items() if name != "masked_spec_embed"}
    assert {name: x.shape for name, x in ours.state_dict().items()} == expected
