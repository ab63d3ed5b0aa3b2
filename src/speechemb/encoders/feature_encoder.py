"""The convolutional feature encoder of WavLM, HuBERT and wav2vec 2.0: one clip's samples -> its frames.

A convolution is a matrix product with overlapping rows, which are strided views. Group norm over time (base models)
is folded into a copy of the first, tiny convolution for each clip, so that only the clip's own frames count.
"""

import copy
from typing import Any

import torch

from speechemb.encoders.kernels import Convolution, Linear, QuantisedLinear, activations, gelu_, layer_norm, send

CHUNK = 128  # frames per step on a CPU: limits the memory of the widest activation (8 MB in bf16)


class FeatureEncoder:
    """Samples (n,) float32 of one clip, on the CPU -> (frames, channels) on the device of the weights."""

    def __init__(self, extractor: Any, config: Any, dtype: torch.dtype) -> None:
        self.dtype = activations(dtype)
        self.kernels, self.strides = config.conv_kernel, config.conv_stride
        self.gelu = config.feat_extract_activation == "gelu"
        first = extractor.conv_layers[0]
        self.device, self.activation = first.conv.weight.device, first.activation
        self.group: Any = (
            copy.deepcopy(first.layer_norm).cpu().double() if config.feat_extract_norm == "group" else None
        )
        self.first_weight = first.conv.weight[:, 0].cpu().double()  # (channels, kernel)
        self.norms: list[Any] = [getattr(layer, "layer_norm", None) for layer in extractor.conv_layers]
        self.fused = self.gelu and config.feat_extract_norm == "group"
        self.convolutions = [
            Convolution(layer.conv.weight, layer.conv.bias, stride, dtype, gelu=self.fused)
            for layer, stride in zip(extractor.conv_layers, self.strides, strict=True)
        ]

    def __call__(self, wave: torch.Tensor) -> torch.Tensor:
        linear = self._first(wave) if self.group is not None else self.convolutions[0].linear
        wave = send(wave, self.device, self.dtype)
        hop, reach = 1, 1  # of one frame, in outputs of the first convolution
        for kernel, stride in reversed(list(zip(self.kernels[1:], self.strides[1:], strict=True))):
            reach = (reach - 1) * stride + kernel
            hop *= stride
        x = wave.unfold(0, self.kernels[0], self.strides[0])
        n_frames = (len(x) - reach) // hop + 1
        n_chunks = -(-n_frames // CHUNK) if wave.device.type == "cpu" else 1
        cuts = [n_frames * i // n_chunks for i in range(n_chunks + 1)]
        chunks = [x[a * hop : (b - 1) * hop + reach] for a, b in zip(cuts, cuts[1:], strict=False)]
        return torch.cat([self._stack(linear, chunk) for chunk in chunks])

    def _stack(self, first: Linear | QuantisedLinear, x: torch.Tensor) -> torch.Tensor:
        x = self._finish(first(x), 0)
        for i, convolution in enumerate(self.convolutions[1:], start=1):
            x = self._finish(convolution(x), i)
        return x

    def _finish(self, x: torch.Tensor, i: int) -> torch.Tensor:
        if self.group is None:
            x = layer_norm(self.norms[i], x)
        if self.fused:
            return x
        return gelu_(x) if self.gelu else self.activation(x)

    def _first(self, wave: torch.Tensor) -> Linear:
        """The first convolution, with this clip's group norm folded in.

        Group norm with one channel per group divides a channel by its standard deviation over time. The channel is
        w p for input patches p, so its mean is w E[p] and its variance w Cov[p] w, without a pass over the output.
        """
        patches = wave.double().unfold(0, self.kernels[0], self.strides[0])
        mean = patches.mean(dim=0)
        centred = patches - mean
        covariance = centred.T @ centred / len(patches)
        variance = ((self.first_weight @ covariance) * self.first_weight).sum(dim=1)
        weight = self.first_weight * (self.group.weight / (variance + self.group.eps).sqrt())[:, None]
        bias = self.group.bias - weight @ mean
        weight, bias = (send(x, self.device, self.dtype) for x in (weight, bias))
        return Linear(weight, bias, self.dtype, gelu=self.gelu)
