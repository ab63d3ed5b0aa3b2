"""Fast products with fixed weights, and layer norm: what `feature_encoder` and `wav2vec2` are built from.

On x86 CPUs, weights are packed once for oneDNN, and bias, GELU and residual sum are part of the product. These are
the operators that torch.compile emits; on other devices, and where torch lacks them, plain torch does the same.
"""

import platform

import torch
import torch.nn.functional as F
from torch import nn


class Linear:
    """`gelu(x W^T + b)` or `x W^T + b [+ residual]` for x (rows, in), packed for oneDNN where possible."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype, gelu: bool = False) -> None:
        self.weight = weight.detach().to(dtype)
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.gelu = gelu
        self.packed = packs(self.weight)
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight)

    def __call__(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        if self.packed and residual is not None:
            return torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.weight, self.bias, "add")
        if self.packed:
            post = ("gelu", [], "none") if self.gelu else ("none", [], "")
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, *post)
        x = F.linear(x, self.weight, self.bias)
        x = F.gelu(x) if self.gelu else x
        return x if residual is None else x + residual


def packs(weight: torch.Tensor) -> bool:
    """Whether oneDNN has fused products for this weight: on x86 CPUs in fp32, and in bf16 where the CPU supports it."""
    mkldnn = torch.ops.mkldnn
    if weight.device.type != "cpu" or platform.machine() not in ("x86_64", "AMD64"):
        return False
    if not torch.backends.mkldnn.enabled or not hasattr(mkldnn, "_linear_pointwise"):
        return False
    return weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and mkldnn._is_mkldnn_bf16_supported())


def layer_norm(norm: nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
    """Layer norm with float32 weights and statistics, for activations of any precision."""
    if x.device.type != "cpu":  # the CPU kernel takes mixed precisions
        return F.layer_norm(x.float(), norm.normalized_shape, norm.weight, norm.bias, norm.eps).to(x.dtype)
    return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def send(x: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Copy a CPU tensor to the device, on CUDA without waiting for the copy to end."""
    x = x.to(dtype)
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)
