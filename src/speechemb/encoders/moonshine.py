"""Moonshine's encoder: the waveform -> hidden states of 24 ms frames, through transformers, one clip at a time.

The decoder is never loaded. A norm over time follows the first convolution, so that padding would change every frame.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from speechemb.encoders import configuration, plain, weights
from speechemb.encoders.family import Family

_CONVOLUTIONS = ((127, 64), (7, 3), (3, 2))  # kernel and stride of each, in samples and in frames of the one before
_PARTS = ("conv1", "conv2", "conv3", "groupnorm", "layers", "layer_norm")
_LAYERS, _HEADS, _GROUPS = "encoder_num_hidden_layers", "encoder_num_attention_heads", "encoder_num_key_value_heads"
_COUNTS = {
    "hidden_size": (1, 8192),
    "intermediate_size": (1, 65_536),
    _LAYERS: (1, 128),
    _HEADS: (1, 64),
    _GROUPS: (1, 64),
    "pad_head_dim_to_multiple_of": (1, 1024),
}
_OPTIONAL = (_GROUPS, "pad_head_dim_to_multiple_of")
_THETA, _FACTOR = "rope_theta", "partial_rotary_factor"


class Network(plain.Network):
    """transformers' encoder, as wav2vec2.Network is used; `dtype`: precision of weights and activations."""

    def frames(self, samples: int) -> int:
        """Number of frames of so many samples; below 1, the clip is too short."""
        for kernel, stride in _CONVOLUTIONS:
            samples = (samples - kernel) // stride + 1
        return samples


def _settings(given: str, content: dict[str, Any], defaults: dict[str, Any], activations: set[str]) -> dict[str, Any]:
    known = (*_COUNTS, "encoder_hidden_act", "attention_bias")
    # A default of the family's depends on other keys where it stands for "the same".
    values = {key: content.get(key, None if key in _OPTIONAL else defaults[key]) for key in known}
    rope = content.get("rope_parameters")
    rope = rope if isinstance(rope, dict) else content
    values |= {_THETA: rope.get(_THETA, 10_000.0), _FACTOR: rope.get(_FACTOR, 0.9)}
    values |= {"rope_type": rope.get("rope_type", "default"), "rope_scaling": content.get("rope_scaling")}
    values = configuration.without_faults(given, values, _faults(values, activations))
    rope = {key: values.pop(key) for key in ("rope_type", _THETA, _FACTOR)}
    values |= {"rope_parameters": rope, _GROUPS: values[_HEADS]}
    del values["rope_scaling"]
    # transformers' general names stand for the decoder's.
    layers, heads = values[_LAYERS], values[_HEADS]
    decoder = {"decoder_num_hidden_layers": layers, "decoder_num_attention_heads": heads}
    return {**values, **decoder, "decoder_num_key_value_heads": heads}


def _faults(values: dict[str, Any], activations: set[str]) -> Iterator[str]:
    given = {key: value for key, value in values.items() if not (key in _OPTIONAL and value is None)}
    yield from configuration.counts_out_of_range(given, _COUNTS)
    yield from configuration.not_among(values, "encoder_hidden_act", activations)
    yield from configuration.not_flags(values, ("attention_bias",))
    yield from configuration.not_divisible(values, "hidden_size", _HEADS)
    if given.get(_GROUPS, values[_HEADS]) != values[_HEADS]:
        yield f"{_GROUPS} {values[_GROUPS]} is not {_HEADS} {values[_HEADS]}"
    yield from configuration.not_among(values, "rope_type", {"default"})
    if values["rope_scaling"] is not None:
        yield f"rope_scaling is {configuration.shown(values['rope_scaling'])}, not null"
    yield from configuration.out_of_range(values, _THETA, 2, 1_000_000)
    yield from configuration.out_of_range(values, _FACTOR, 0, 1)
    width = values["hidden_size"] // values[_HEADS]
    rotated = int(width * values[_FACTOR])
    if not 0 < rotated + rotated % 2 <= width:  # in pairs
        yield f"{_FACTOR} {values[_FACTOR]} rotates {rotated} of {width} dimensions"


def _preprocessing(given: str, folder: Path, _: dict[str, Any]) -> tuple[bool, str]:
    # Published models take recordings as they are.
    return configuration.preprocessing(given, folder, {"feat_extract_norm": "group"})


def _encoder_class(_: type) -> Any:
    from transformers.models.moonshine.modeling_moonshine import MoonshineEncoder

    return MoonshineEncoder


FAMILY = Family(
    network=Network,
    settings=_settings,
    parameters=partial(plain.parameters, "moonshine", class_of=_encoder_class),
    preprocessing=_preprocessing,
    required="",
    model_class=_encoder_class,
    renamed=weights.names_of_encoder(_PARTS, ("model.", "encoder.")),
)
