"""Families that run through transformers' own forward pass: data2vec-audio, wav2vec2-conformer and SEW.

One clip at a time, without padding, so that a clip's hidden states do not depend on its batch. This is correct for any
family with the convolutions of wav2vec 2.0 in front, and slower than wav2vec2.Network.
"""

from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from speechemb.encoders import configuration
from speechemb.encoders.family import Family
from speechemb.encoders.wav2vec2 import MIN_GROUP_CHANNELS

# Keys of config.json beside those of wav2vec 2.0. A clip of 0.1 s has a frame also where four are pooled.
_COUNTS = {
    "conv_pos_kernel_size": (1, 1024),
    "conv_depthwise_kernel_size": (1, 1023),
    "rotary_embedding_base": (2, 1_000_000),
    "squeeze_factor": (1, 4),
}
_POSITIONS = "position_embeddings_type"


class Network:
    """transformers' model, as wav2vec2.Network is used; `dtype`: precision of weights and activations."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        self.config, self.dtype = model.config, dtype
        self.device = next(model.parameters()).device
        self._model = _plain_weights(model).to(dtype)
        if dtype == torch.bfloat16:
            _exempt(self._model)

    def frames(self, samples: int) -> int:
        """Number of frames that the blocks see of so many samples; below 1, the clip is too short."""
        for kernel, stride in zip(self.config.conv_kernel, self.config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples // getattr(self.config, "squeeze_factor", 1)

    def cost(self, samples: int) -> int:
        """Number of samples that are computed for a clip of so many."""
        return samples

    def layers(self, waves: list[torch.Tensor], last: int) -> Iterator[list[torch.Tensor]]:
        """transformers' `hidden_states` of layer 0 up to layer `last`, one layer at a time: (1, T, D) for each clip.

        `waves`: float32 on the CPU.
        """
        clips = [self._model(wave.to(self.device, self.dtype)[None], output_hidden_states=True) for wave in waves]
        for n in range(last + 1):
            yield [clip.hidden_states[n] for clip in clips]


def _plain_weights(model: Any) -> Any:
    """A copy whose weight norms are multiplied out, in double precision: in single, the sum depends on the number of
    threads."""
    model = deepcopy(model)
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            dtype = module.weight.dtype
            parametrize.remove_parametrizations(module.double(), "weight")
            module.to(dtype)
    return model.requires_grad_(False)


def _exempt(model: nn.Module) -> None:
    """Compute in fp32 the grouped convolutions that oneDNN gets wrong in bf16, see MIN_GROUP_CHANNELS."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv1d) and child.groups > 1 and child.weight.shape[1] < MIN_GROUP_CHANNELS:
                setattr(module, name, _InFloat32(child))


class _InFloat32(nn.Module):
    def __init__(self, convolution: nn.Conv1d) -> None:
        super().__init__()
        self.convolution = convolution.float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolution(x.float()).to(x.dtype)


def _settings(given: str, content: dict[str, Any], defaults: dict[str, Any], activations: set[str]) -> dict[str, Any]:
    values = configuration.settings_of(given, content, defaults, activations)
    own = {key: content.get(key, defaults[key]) for key in (*_COUNTS, _POSITIONS) if key in defaults}
    return configuration.without_faults(given, values | own, _faults(values, own))


def _faults(values: dict[str, Any], own: dict[str, Any]) -> Iterator[str]:
    yield from configuration.counts_out_of_range(own, _COUNTS)
    kernel = own.get("conv_depthwise_kernel_size", 1)
    if kernel % 2 == 0:
        yield f"conv_depthwise_kernel_size {kernel} is even"
    if own.get(_POSITIONS) is not None:
        yield from configuration.not_among(own, _POSITIONS, {"relative", "rotary"})
        width, heads = values["hidden_size"], values["num_attention_heads"]
        if width // heads % 2:
            yield f"hidden_size {width} divided by num_attention_heads {heads} is odd"


def _parameters(model_type: str, settings: dict[str, Any]) -> int:
    """The number of parameters, counted on a model without memory."""
    import transformers

    config = transformers.CONFIG_MAPPING[model_type](**settings)
    with torch.device("meta"):
        model = transformers.MODEL_MAPPING[type(config)](config)
    return sum(parameter.numel() for parameter in model.parameters())


def family(model_type: str) -> Family:
    """The family of a `model_type` of transformers with the convolutions of wav2vec 2.0 in front."""
    return Family(
        network=Network,
        settings=_settings,
        parameters=partial(_parameters, model_type),
        preprocessing=configuration.preprocessing,
        required="encoder.layers.",
    )
