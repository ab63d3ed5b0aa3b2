"""Fast products with fixed weights, and layer norm: what the networks of this package are built from.

On x86 CPUs, weights are packed once for oneDNN. With AVX-512, GELU and residual sum are part of the product: these are
the operators that torch.compile emits. With AVX2 alone, oneDNN's product with GELU inside takes longer than product and
GELU apart (figures in benchmarks/README.md). Which is used depends on the processor and the precision alone, never on a
measurement, so that the same bytes come out.

In int8, the weights of each output channel and the rows of the activations are whole numbers with one scale each
(dynamic quantisation; Jacob et al., 2018, https://arxiv.org/abs/1712.05877, section 2.1). Everything else is float32.
"""

import platform

import torch
import torch.nn.functional as F
from torch import nn

MIN_INPUTS = 64  # of an int8 product: quantising the rows of a narrower one takes longer than is saved
WEIGHT_LEVELS, LEVELS = 63, 127  # see QuantisedLinear
_LEAST = 1e-12  # absolute maximum of a row of zeros


def linear(
    weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype, gelu: bool = False
) -> "Linear | QuantisedLinear":
    """The product with these weights in this precision; torch.int8: see `QuantisedLinear`."""
    if dtype != torch.int8:
        return Linear(weight, bias, dtype, gelu)
    if weight.shape[1] < MIN_INPUTS:
        return Linear(weight, bias, torch.float32, gelu)
    return QuantisedLinear(weight, bias, gelu)


class Linear:
    """`gelu(x W^T + b)` or `x W^T + b [+ residual]` for x (rows, in), packed for oneDNN where possible."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype, gelu: bool = False) -> None:
        self.weight = weight.detach().to(dtype)
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.gelu = gelu
        self.packed, self.fused = packs(self.weight), fuses(self.weight)
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight)

    def __call__(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        if self.fused and residual is not None:
            return torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.weight, self.bias, "add")
        if self.fused and self.gelu:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "gelu", [], "none")
        if self.packed:
            x = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        else:
            x = F.linear(x, self.weight, self.bias)
        return _finished(x, residual, self.gelu)


class QuantisedLinear:
    """`Linear` in int8 on an x86 CPU, for x (rows, in) float32: whole numbers multiplied, their float32 result scaled.

    A row of x has 8 bits and its own scale, so that it does not depend on the other rows. Weights have 7 bits and one
    scale for each output: without VNNI, processors add two products in 16 bits, where 2 x 255 x 63 has room and weights
    of 8 bits have not. So the sums are exact, and the same on every processor and any number of cores.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, gelu: bool = False) -> None:
        weight = weight.detach().float()
        self.bias = None if bias is None else bias.detach().float()
        self.gelu = gelu
        self.scale = weight.abs().amax(1).clamp_min(_LEAST) / WEIGHT_LEVELS  # (out,)
        whole = (weight / self.scale[:, None]).round().clamp(-WEIGHT_LEVELS, WEIGHT_LEVELS).to(torch.int8)
        self.weight = torch.ops.onednn.qlinear_prepack(whole, None)
        self.zeros = torch.zeros(len(whole), dtype=torch.int32)

    def __call__(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        scale = x.abs().amax(1, keepdim=True).clamp_min_(_LEAST).div_(LEVELS)  # (rows, 1)
        # oneDNN takes unsigned numbers, with 128 for zero: int8 with the highest bit flipped
        whole = (x / scale).round_().to(torch.int8).view(torch.uint8).bitwise_xor_(128)
        weight = (self.weight, self.scale, self.zeros)
        x = torch.ops.onednn.qlinear_pointwise(whole, 1.0, 128, *weight, None, 1.0, 0, torch.float32, "none", [], "")
        x = x.mul_(scale) if self.bias is None else torch.addcmul(self.bias, x, scale, out=x)
        return _finished(x, residual, self.gelu)


class Convolution:
    """A convolution over time, with GELU if wanted, as products: x (frames, in) -> (output frames, out).

    `weight`: (out, in, kernel), as torch's Conv1d has it; no padding.
    """

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, stride: int, dtype: torch.dtype, gelu: bool = False
    ) -> None:
        self.kernel, self.stride = weight.shape[2], stride
        # (out, kernel * in): the weights of the frames that an output frame sees, side by side
        self.linear = linear(weight.transpose(1, 2).flatten(1), bias, dtype, gelu)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        width = x.shape[1]
        return self.linear(x.flatten().unfold(0, self.kernel * width, self.stride * width))


def _finished(x: torch.Tensor, residual: torch.Tensor | None, gelu: bool) -> torch.Tensor:
    """What follows a product, in place: the residual sum or GELU."""
    if residual is not None:
        return x.add_(residual)
    return gelu_(x) if gelu else x


def gelu_(x: torch.Tensor) -> torch.Tensor:
    """GELU in place, because a result in fresh memory takes longer on a CPU."""
    return torch.ops.aten.gelu_(x)


def activations(dtype: torch.dtype) -> torch.dtype:
    """What is computed between products in this precision: float32, where the products are in int8."""
    return torch.float32 if dtype == torch.int8 else dtype


def quantises(device: torch.device) -> bool:
    """Whether `QuantisedLinear` can be used on this device."""
    on_x86 = device.type == "cpu" and platform.machine() in ("x86_64", "AMD64")
    return on_x86 and torch.backends.mkldnn.enabled and hasattr(torch.ops.onednn, "qlinear_pointwise")


def packs(weight: torch.Tensor) -> bool:
    """Whether oneDNN's packed products can be used for this weight: in fp32, and in bf16 where the CPU supports it."""
    mkldnn = torch.ops.mkldnn
    if weight.device.type != "cpu" or platform.machine() not in ("x86_64", "AMD64"):
        return False
    if not torch.backends.mkldnn.enabled or not hasattr(mkldnn, "_linear_pointwise"):
        return False
    return weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and mkldnn._is_mkldnn_bf16_supported())


def fuses(weight: torch.Tensor) -> bool:
    """Whether what follows a packed product is quicker inside it than apart."""
    with_avx512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return packs(weight) and (weight.dtype == torch.bfloat16 or with_avx512)


def layer_norm(norm: nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
    """Layer norm with float32 weights and statistics, for activations of any precision."""
    if x.device.type != "cpu":  # the CPU kernel takes mixed precisions
        return F.layer_norm(x.float(), norm.normalized_shape, norm.weight, norm.bias, norm.eps).to(x.dtype)
    return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def send(x: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Copy a CPU tensor to the device, on CUDA without waiting for the copy to end."""
    x = x.to(dtype)
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)
