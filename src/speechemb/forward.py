"""The forward pass of WavLM, HuBERT and wav2vec 2.0 for inference: any mixture of clip lengths, no padding.

The frames of all clips lie one after the other in one matrix (frames, D). Whatever works on a frame alone (linear
layers, layer norms) runs over that matrix; whatever mixes frames (front-end, positional convolution, attention)
runs clip by clip, or over neighbouring clips of equal length at once. So a clip's hidden states cannot depend on
what it was batched with, and no time is spent on padding. Weights are read from transformers' modules once and
rearranged:
- a convolution of the front-end is a matrix product over overlapping rows, seen through strides;
- group norm over time (base models) is folded into each clip's own copy of the first, tiny convolution, whose output
  statistics follow from the covariance of its input;
- query, key, value and WavLM's gate are one product;
- on x86 CPUs oneDNN gets weights packed once, with bias, GELU and residual sum inside the product.
"""

import copy
import platform
from collections.abc import Iterator
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import nn

CHUNK = 128  # frames the front-end makes at a time: its widest activation then stays in the cache
TOGETHER = 512  # frames of equally long clips that go through attention at once


class Network:
    """A transformers model's weights, arranged for `layers`; `dtype` is the precision of products and activations."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        self.config = config = model.config
        self.dtype = dtype
        self.device = next(model.parameters()).device
        self.front_end = _FrontEnd(model.feature_extractor, config, dtype)
        projection, encoder = model.feature_projection, model.encoder
        self.feature_norm = getattr(projection, "layer_norm", None)
        self.projection = _Linear(projection.projection.weight, projection.projection.bias, dtype)
        self.position = _Position(encoder.pos_conv_embed, config, dtype)
        self.norm = encoder.layer_norm
        self.blocks = [_Block(block, config, dtype) for block in encoder.layers]
        self.bias = getattr(encoder.layers[0].attention, "compute_bias", None)  # WavLM's relative position bias

    def frames(self, samples: int) -> int:
        """Number of frames the front-end makes of so many samples; less than 1: too short."""
        for kernel, stride in zip(self.config.conv_kernel, self.config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples

    def layers(self, waves: list[torch.Tensor], last: int) -> Iterator[list[torch.Tensor]]:
        """Hidden states of layer 0 (the transformer's input) up to layer `last`, one layer at a time.

        `waves` float32 on the CPU. A layer's hidden states come as (n, T, D) tensors, one for each run of n
        neighbouring clips of T frames, in order.
        """
        runs = _runs([self.frames(len(wave)) for wave in waves])
        hidden = torch.cat([self.front_end(wave) for wave in waves])
        if self.feature_norm is not None:
            hidden = _layer_norm(self.feature_norm, hidden)
        hidden = self.projection(hidden)
        hidden = hidden + torch.cat([self.position(clips).flatten(0, 1) for clips in _split(hidden, runs)])
        if not self.config.do_stable_layer_norm:
            hidden = _layer_norm(self.norm, hidden)
        yield _split(hidden, runs)
        longest = max(frames for _, frames in runs)
        bias = self.bias(longest, longest) if self.bias else None  # (heads, T, T), once for all blocks and clips
        for block in self.blocks[:last]:
            hidden = block(hidden, runs, bias)
            yield _split(hidden, runs)


class _FrontEnd:
    """The convolutions: one clip's samples -> (frames, channels)."""

    def __init__(self, extractor: nn.Module, config, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.kernels, self.strides = config.conv_kernel, config.conv_stride
        self.gelu = config.feat_extract_activation == "gelu"
        first = extractor.conv_layers[0]
        self.device, self.activation = first.conv.weight.device, first.activation
        self.group = copy.deepcopy(first.layer_norm).cpu().double() if config.feat_extract_norm == "group" else None
        self.first_weight = first.conv.weight[:, 0].cpu().double()  # (channels, kernel)
        self.norms = [getattr(layer, "layer_norm", None) for layer in extractor.conv_layers]
        self.linears = []
        for layer in extractor.conv_layers:
            weight = layer.conv.weight.transpose(1, 2).flatten(1)  # (out, kernel * in), as the rows of `unfold`
            fused = self.gelu and config.feat_extract_norm == "group"
            self.linears.append(_Linear(weight, layer.conv.bias, dtype, gelu=fused))

    def __call__(self, wave: torch.Tensor) -> torch.Tensor:
        linear = self._first(wave) if self.group is not None else self.linears[0]
        wave = _send(wave, self.device, self.dtype)
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

    def _stack(self, first: "_Linear", x: torch.Tensor) -> torch.Tensor:
        x = self._finish(first(x), 0)
        for i, linear in enumerate(self.linears[1:], start=1):
            width = x.shape[1]
            rows = x.flatten().unfold(0, self.kernels[i] * width, self.strides[i] * width)
            x = self._finish(linear(rows), i)
        return x

    def _finish(self, x: torch.Tensor, i: int) -> torch.Tensor:
        if self.group is None:
            x = _layer_norm(self.norms[i], x)
        return x if self.linears[i].gelu else self.activation(x)

    def _first(self, wave: torch.Tensor) -> "_Linear":
        """The first convolution with this clip's group norm in it.

        Group norm with one channel a group scales a channel by its standard deviation over time. The channel is w p
        for input patches p, so its mean is w E[p] and its variance w Cov[p] w: no pass over the output is needed.
        """
        patches = wave.double().unfold(0, self.kernels[0], self.strides[0])
        mean = patches.mean(dim=0)
        centred = patches - mean
        covariance = centred.T @ centred / len(patches)
        variance = ((self.first_weight @ covariance) * self.first_weight).sum(dim=1)
        weight = self.first_weight * (self.group.weight / (variance + self.group.eps).sqrt())[:, None]
        bias = self.group.bias - weight @ mean
        weight, bias = (_send(x, self.device, self.dtype) for x in (weight, bias))
        return _Linear(weight, bias, self.dtype, gelu=self.gelu)


class _Position:
    """The positional convolution: (n, T, D) -> what it adds, (n, T, D)."""

    def __init__(self, embed: nn.Module, config, dtype: torch.dtype) -> None:
        self.norm = getattr(embed, "batch_norm", None)
        self.activation = embed.activation
        self.gelu = config.feat_extract_activation == "gelu"
        self.groups, self.padding = embed.conv.groups, embed.conv.padding[0]
        self.weight, self.bias = embed.conv.weight.detach()[:, :, None].to(dtype), embed.conv.bias.to(dtype)
        self.packed = _packs(self.weight) and self.gelu
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, [0, self.padding], [1, 1], [1, 1], self.groups
            )

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        frames = x.shape[1]
        if self.norm is not None:
            x = self.norm(x.float().transpose(1, 2)).transpose(1, 2).to(x.dtype)
        x = x.transpose(1, 2)[:, :, None]  # (n, D, 1, T) whose memory is "channels last"
        if self.packed:
            geometry = ([0, self.padding], [1, 1], [1, 1], self.groups)
            x = torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *geometry, "gelu", [], "none")
        else:
            x = self.activation(F.conv2d(x, self.weight, self.bias, padding=(0, self.padding), groups=self.groups))
        return x[:, :, 0, :frames].transpose(1, 2)  # an even kernel makes one frame too many


class _Block:
    """One transformer block, post-norm (base) or pre-norm (`do_stable_layer_norm`)."""

    def __init__(self, block: nn.Module, config, dtype: torch.dtype) -> None:
        self.stable = config.do_stable_layer_norm
        self.norm, self.final_norm = block.layer_norm, block.final_layer_norm
        self.attention = _Attention(block.attention, dtype)
        feed = block.feed_forward
        gelu = config.hidden_act == "gelu"
        self.activation = None if gelu else feed.intermediate_act_fn
        self.up = _Linear(feed.intermediate_dense.weight, feed.intermediate_dense.bias, dtype, gelu=gelu)
        self.down = _Linear(feed.output_dense.weight, feed.output_dense.bias, dtype)
        adapter = getattr(block, "adapter_layer", None)
        self.adapter = adapter.to(dtype) if adapter is not None else None

    def __call__(self, hidden: torch.Tensor, runs, bias: torch.Tensor | None) -> torch.Tensor:
        if self.stable:
            hidden = self.attention(_layer_norm(self.norm, hidden), hidden, runs, bias)
            hidden = self._feed(_layer_norm(self.final_norm, hidden), hidden)
        else:
            hidden = _layer_norm(self.norm, self.attention(hidden, hidden, runs, bias))
            hidden = _layer_norm(self.final_norm, self._feed(hidden, hidden))
        return hidden if self.adapter is None else hidden + self.adapter(hidden)

    def _feed(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        x = self.up(x)
        return self.down(x if self.activation is None else self.activation(x), residual)


class _Attention:
    """Self-attention of every clip over its own frames, plus the residual; in WavLM with the gated position bias."""

    def __init__(self, attention: nn.Module, dtype: torch.dtype) -> None:
        self.heads, self.head_dim = attention.num_heads, attention.head_dim
        self.constant = getattr(attention, "gru_rel_pos_const", None)  # (1, heads, 1, 1)
        parts = [attention.q_proj, attention.k_proj, attention.v_proj]
        weights, biases = [p.weight for p in parts], [p.bias for p in parts]
        # the queries' scale, a power of two for heads of 64
        weights[0], biases[0] = (x * self.head_dim**-0.5 for x in (weights[0], biases[0]))
        if self.constant is not None:
            # The gate sums two groups of four outputs of a linear layer over each head's slice of the input: two
            # rows a head of one block-diagonal layer over the whole input.
            gate = attention.gru_rel_pos_linear
            rows = gate.weight.view(2, 4, -1).sum(dim=1)  # (2, head_dim)
            weights.append(torch.cat([torch.block_diag(*[row[None]] * self.heads) for row in rows]))
            biases.append(gate.bias.view(2, 4).sum(dim=1).repeat_interleave(self.heads))
        self.project = _Linear(torch.cat(weights), torch.cat(biases), dtype)
        self.out = _Linear(attention.out_proj.weight, attention.out_proj.bias, dtype)

    def __call__(self, x: torch.Tensor, residual: torch.Tensor, runs, bias: torch.Tensor | None) -> torch.Tensor:
        mixed = []
        for clips in _split(self.project(x), runs):
            n, frames, _ = clips.shape
            qkv = clips[:, :, : 3 * x.shape[1]].view(n, frames, 3, self.heads, self.head_dim)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (n, heads, T, head_dim)
            gate = None
            if bias is not None:
                gate = clips[:, :, 3 * x.shape[1] :].view(n, frames, 2, self.heads).permute(2, 0, 3, 1)
                a, b = torch.sigmoid(gate.float()[..., None])
                gate = a * (b * self.constant - 1.0) + 2.0  # (n, heads, T, 1)
            short = None if bias is None else bias[:, :frames, :frames]
            mixed.append(_attend(q, k, v, gate, short).transpose(1, 2).reshape(n * frames, -1))
        return self.out(torch.cat(mixed), residual)


def _attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, gate: torch.Tensor | None, bias: torch.Tensor | None):
    """softmax(q k^T + gate * bias) v, for queries that are scaled already; gate and bias in float32."""
    if q.device.type != "cpu" or q.dtype == torch.float32:
        mask = None if bias is None else (gate * bias).to(q.dtype)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
    # torch's fused kernel takes twice as long as this in bf16 on a CPU for clips of a few seconds
    scores = torch.matmul(q, k.transpose(2, 3)).float()
    if bias is not None:
        scores.addcmul_(gate, bias)
    return torch.matmul(torch.softmax(scores, dim=-1, out=scores).to(q.dtype), v)


class _Linear:
    """`gelu(x W^T + b)` or `x W^T + b [+ residual]` for x (rows, in), the weight packed for oneDNN where it can be."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype, gelu: bool = False) -> None:
        self.weight = weight.detach().to(dtype)
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.gelu = gelu
        self.packed = _packs(self.weight)
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


def _packs(weight: torch.Tensor) -> bool:
    """Whether oneDNN's fused products serve this weight: x86 CPUs, and bf16 only where it is implemented."""
    mkldnn = torch.ops.mkldnn
    if (
        weight.device.type != "cpu"
        or platform.machine() not in ("x86_64", "AMD64")
        or not torch.backends.mkldnn.enabled
    ):
        return False
    if not hasattr(mkldnn, "_linear_pointwise") or not hasattr(mkldnn, "_convolution_pointwise"):
        return False
    return weight.dtype == torch.float32 or mkldnn._is_mkldnn_bf16_supported()


def _layer_norm(norm: nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
    """float32 weights and statistics on activations of any precision."""
    if x.device.type != "cpu":  # the CPU's kernel takes them mixed
        return F.layer_norm(x.float(), norm.normalized_shape, norm.weight, norm.bias, norm.eps).to(x.dtype)
    return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _send(x: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """A CPU tensor to the device, without waiting for the device to have it."""
    x = x.to(dtype)
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def _runs(frames: list[int]) -> list[tuple[int, int]]:
    """(clips, frames each) of neighbouring clips of equal length, at most TOGETHER frames a run."""
    runs = []
    for length, group in groupby(frames):
        clips, most = len(list(group)), max(1, TOGETHER // length)
        runs += [(min(most, clips - i), length) for i in range(0, clips, most)]
    return runs


def _split(packed: torch.Tensor, runs: list[tuple[int, int]]) -> list[torch.Tensor]:
    """(frames of all clips, D) -> one (n, T, D) view a run."""
    parts = packed.split([clips * frames for clips, frames in runs])
    return [part.view(clips, frames, -1) for part, (clips, frames) in zip(parts, runs, strict=True)]
