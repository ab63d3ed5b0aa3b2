"""Families that run through transformers' own forward pass: data2vec-audio, wav2vec2-conformer, SEW and SEW-D.

One clip at a time, without padding, so that a clip's hidden states do not depend on its batch. This is correct for any
family with the convolutions of wav2vec 2.0 in front, and slower than wav2vec2.Network.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from speechemb.encoders import configuration, positional, wav2vec2
from speechemb.encoders.family import Family

_POSITIONS, _KERNEL = "position_embeddings_type", "conv_depthwise_kernel_size"
CONFORMER = {_KERNEL: (1, 1023), "rotary_embedding_base": (2, 1_000_000)}  # ranges of a conformer's own keys
# Keys of config.json beside those of wav2vec 2.0. A clip of 0.1 s has a frame also where four are pooled.
_COUNTS = {
    "conv_pos_kernel_size": (1, 1024),
    **CONFORMER,
    "squeeze_factor": (1, 4),
    "position_buckets": (2, 65_536),
    "max_position_embeddings": (4, 1_000_000),
}
_SEW_D = ("share_att_key", "relative_attention", "pos_att_type", "norm_rel_ebd", "feature_layer_norm_eps")


class Network:
    """transformers' model, as wav2vec2.Network is used; `dtype`: precision of weights and activations."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        self.config, self.dtype = model.config, dtype
        self.device = next(model.parameters()).device
        _multiply_out(model)
        self._model = deepcopy(model).to(dtype)
        if dtype == torch.bfloat16:
            _exempt(self._model)

    def frames(self, samples: int) -> int:
        """Number of frames that the blocks see of so many samples; below 1, the clip is too short."""
        return wav2vec2.frames_of(self.config, samples) // getattr(self.config, "squeeze_factor", 1)

    def cost(self, samples: int) -> int:
        """Number of samples that are computed for a clip of so many."""
        return samples

    def layers(self, waves: list[torch.Tensor], last: int) -> Iterator[list[torch.Tensor]]:
        """transformers' `hidden_states` of layer 0 up to layer `last`, one layer at a time: (1, T, D) for each clip.

        `waves`: float32 on the CPU.
        """
        clips = [self._model(self.prepared(wave), output_hidden_states=True) for wave in waves]
        for n in range(last + 1):
            yield [clip.hidden_states[n] for clip in clips]

    def prepared(self, wave: torch.Tensor) -> torch.Tensor:
        """The model's input for one clip: (1, samples)."""
        return wave.to(self.device, self.dtype)[None]


def _multiply_out(model: nn.Module) -> None:
    """Replace weight norms by their weights, computed in double precision: in single, the sum depends on the number of
    threads. In place, because copies of such a module share a class, from which the property is removed."""
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module.double(), "weight")
            module.float().requires_grad_(False)


def _exempt(model: nn.Module) -> None:
    """Compute in fp32 the grouped convolutions that oneDNN gets wrong in bf16, see positional.MIN_GROUP_CHANNELS."""
    for module in model.modules():
        if not isinstance(module, (nn.Conv1d, nn.Conv2d)) or module.groups == 1:
            continue
        if module.weight.shape[1] < positional.MIN_GROUP_CHANNELS:
            module.float()
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
            module.register_forward_hook(lambda _, inputs, output: output.bfloat16())


def _settings(given: str, content: dict[str, Any], defaults: dict[str, Any], activations: set[str]) -> dict[str, Any]:
    values = configuration.settings_of(given, content, defaults, activations)
    own = {key: content.get(key, defaults[key]) for key in (*_COUNTS, _POSITIONS, *_SEW_D) if key in defaults}
    return configuration.without_faults(given, values | own, _faults(values, own))


def _faults(values: dict[str, Any], own: dict[str, Any]) -> Iterator[str]:
    yield from configuration.counts_out_of_range(own, _COUNTS)
    if _POSITIONS in own:
        yield from faults_of_conformers(values | own, {"relative", "rotary"})
    if "position_buckets" in own:
        yield from _faults_of_sew_d(own)


def _faults_of_sew_d(own: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the relative positions of SEW-D, in words."""
    yield from configuration.not_flags(own, ("share_att_key", "relative_attention"))
    yield from configuration.not_a_fraction(own, "feature_layer_norm_eps")
    yield from configuration.not_among(own, "norm_rel_ebd", {"layer_norm", "none"})
    kinds, buckets, furthest = (own[key] for key in ("pos_att_type", "position_buckets", "max_position_embeddings"))
    if not isinstance(kinds, (list, tuple)) or any(kind not in ("p2c", "c2p") for kind in kinds):
        yield f"pos_att_type is {configuration.shown(kinds)}, not a list of p2c and c2p"
    if furthest <= buckets // 2 + 1:
        yield f"max_position_embeddings {furthest} is not above half of position_buckets {buckets}"


def faults_of_conformers(values: dict[str, Any], positions: set[str]) -> Iterator[str]:
    """What is wrong with a conformer's kernel and its kind of positions, one of `positions` or none, in words."""
    kernel, width, heads = (values[key] for key in (_KERNEL, "hidden_size", "num_attention_heads"))
    if kernel % 2 == 0:
        yield f"{_KERNEL} {kernel} is even"
    if values[_POSITIONS] is not None:
        yield from configuration.not_among(values, _POSITIONS, positions)
        if width // heads % 2:
            yield f"hidden_size {width} divided by num_attention_heads {heads} is odd"


def parameters(model_type: str, settings: dict[str, Any], class_of: Callable[[type], Any] | None = None) -> int:
    """The number of parameters, counted on a model without memory; `class_of` as in `Family.model_class`."""
    import transformers

    config = transformers.CONFIG_MAPPING[model_type](**settings)
    model_class: Any = (class_of or transformers.MODEL_MAPPING.__getitem__)(type(config))
    with torch.device("meta"):
        model = model_class(config)
    return sum(parameter.numel() for parameter in model.parameters())


def family(model_type: str, blocks: str = "encoder.layers.") -> Family:
    """The family of a `model_type` of transformers with the convolutions of wav2vec 2.0 in front; `blocks` is in the
    names of the weights of its blocks."""
    return Family(
        network=Network,
        settings=_settings,
        parameters=partial(parameters, model_type),
        preprocessing=configuration.preprocessing,
        required=blocks,
    )
