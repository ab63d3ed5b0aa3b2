"""The forward pass of WavLM, HuBERT and wav2vec 2.0 for inference: clips of any lengths, without padding.

The frames of all clips are the rows of one matrix (frames, D). Operations on single frames (linear layers, layer
norms) run over that matrix; operations that mix frames (feature encoder, positional convolution, attention) run clip
by clip, or over neighbouring clips of equal length at once. So a clip's hidden states cannot depend on the other
clips of its batch, and no time is spent on padding. Weights are read from the modules once and rearranged:
query, key, value and WavLM's gate are one product.
"""

import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F

from speechemb.encoders import configuration, modules
from speechemb.encoders.family import Family
from speechemb.encoders.feature_encoder import FeatureEncoder
from speechemb.encoders.kernels import activations, layer_norm, linear
from speechemb.encoders.packing import Stretches, split, stretches_of
from speechemb.encoders.positional import PositionalConvolution


def frames_of(config: Any, samples: int) -> int:
    """Number of frames that the convolutions of this configuration make of so many samples; below 1: too few."""
    reach, hop = configuration.frame_geometry(config.conv_kernel, config.conv_stride)
    return (samples - reach) // hop + 1


class Network:
    """The weights of a model, see `modules`, arranged for `layers`; `dtype`: precision of products and
    activations; torch.int8: of products only."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        self.config = config = model.config
        self.dtype = activations(dtype)
        self.device = next(model.parameters()).device
        self.feature_encoder = FeatureEncoder(model.feature_extractor, config, dtype)
        projection, encoder = model.feature_projection, model.encoder
        self.feature_norm = getattr(projection, "layer_norm", None)
        self.projection = linear(projection.projection.weight, projection.projection.bias, dtype)
        self.position = PositionalConvolution(encoder.pos_conv_embed, config, self.dtype)
        self.norm = encoder.layer_norm
        self.blocks = [_Block(block, config, dtype) for block in encoder.layers]
        self.buckets: Any = getattr(encoder.layers[0].attention, "rel_attn_embed", None)  # (buckets, heads), WavLM's

    def frames(self, samples: int) -> int:
        """Number of frames that the feature encoder makes of so many samples; below 1, the clip is too short."""
        return frames_of(self.config, samples)

    def cost(self, samples: int) -> int:
        """Number of samples that are computed for a clip of so many."""
        return samples

    def layers(self, waves: list[torch.Tensor], last: int) -> Iterator[list[torch.Tensor]]:
        """Hidden states of layer 0 (the projected CNN features) up to layer `last`, one layer at a time.

        `waves`: float32 on the CPU. A layer's hidden states are tensors (n, T, D), one for each stretch of n
        neighbouring clips of T frames, in order.
        """
        frames = [self.frames(len(wave)) for wave in waves]
        stretches = stretches_of(frames)
        hidden = torch.cat([self.feature_encoder(wave) for wave in waves])
        if self.feature_norm is not None:
            hidden = layer_norm(self.feature_norm, hidden)
        hidden = self.projection(hidden)
        hidden = hidden + self.position(hidden, frames)
        if not self.config.do_stable_layer_norm:
            hidden = layer_norm(self.norm, hidden)
        yield split(hidden, stretches)
        longest = max(frames)
        bias = self._position_bias(longest) if self.buckets else None  # once for all blocks and clips
        for block in self.blocks[:last]:
            hidden = block(hidden, stretches, bias)
            yield split(hidden, stretches)

    def _position_bias(self, frames: int) -> torch.Tensor:
        """WavLM's relative position bias (heads, T, T): buckets of distances, those of T5 (Raffel et al., 2020)."""
        places = torch.arange(frames, device=self.device)
        distance = places - places[:, None]
        half = self.config.num_buckets // 2
        exact = half // 2
        apart = distance.abs()
        far = torch.log(apart.float() / exact) / math.log(self.config.max_bucket_distance / exact) * (half - exact)
        far = (exact + far).long().clamp_(max=half - 1)
        bucket = (distance > 0).long() * half + torch.where(apart < exact, apart, far)
        return self.buckets(bucket).permute(2, 0, 1)


class _Block:
    """One transformer block, post-norm (base) or pre-norm (`do_stable_layer_norm`)."""

    def __init__(self, block: Any, config: Any, dtype: torch.dtype) -> None:
        self.stable = config.do_stable_layer_norm
        self.norm, self.final_norm = block.layer_norm, block.final_layer_norm
        self.attention = _Attention(block.attention, config, dtype)
        feed = block.feed_forward
        gelu = config.hidden_act == "gelu"
        self.activation = None if gelu else feed.intermediate_act_fn
        self.up = linear(feed.intermediate_dense.weight, feed.intermediate_dense.bias, dtype, gelu=gelu)
        self.down = linear(feed.output_dense.weight, feed.output_dense.bias, dtype)
        adapter = getattr(block, "adapter_layer", None)
        self.adapter = None if adapter is None else deepcopy(adapter).to(activations(dtype))

    def __call__(self, hidden: torch.Tensor, stretches: Stretches, bias: torch.Tensor | None) -> torch.Tensor:
        if self.stable:
            hidden = self.attention(layer_norm(self.norm, hidden), hidden, stretches, bias)
            hidden = self._feed(layer_norm(self.final_norm, hidden), hidden)
        else:
            hidden = layer_norm(self.norm, self.attention(hidden, hidden, stretches, bias))
            hidden = layer_norm(self.final_norm, self._feed(hidden, hidden))
        return hidden if self.adapter is None else hidden + self.adapter(hidden)

    def _feed(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        x = self.up(x)
        return self.down(x if self.activation is None else self.activation(x), residual)


class _Attention:
    """Self-attention of each clip over its own frames, plus the residual; with the gated position bias of WavLM."""

    def __init__(self, attention: Any, config: Any, dtype: torch.dtype) -> None:
        self.heads = config.num_attention_heads
        self.head_dim = config.hidden_size // self.heads
        self.constant: Any = getattr(attention, "gru_rel_pos_const", None)  # (1, heads, 1, 1)
        parts = [attention.q_proj, attention.k_proj, attention.v_proj]
        weights, biases = [p.weight for p in parts], [p.bias for p in parts]
        # the queries' scale, a power of two for heads of 64
        weights[0], biases[0] = (x * self.head_dim**-0.5 for x in (weights[0], biases[0]))
        if self.constant is not None:
            # The gate sums two groups of four outputs of a linear layer on each head's slice of the input. That equals
            # two rows per head of one block-diagonal layer on the whole input.
            gate = attention.gru_rel_pos_linear
            rows = gate.weight.view(2, 4, -1).sum(dim=1)  # (2, head_dim)
            weights.append(torch.cat([torch.block_diag(*[row[None]] * self.heads) for row in rows]))
            biases.append(gate.bias.view(2, 4).sum(dim=1).repeat_interleave(self.heads))
        self.project = linear(torch.cat(weights), torch.cat(biases), dtype)
        self.out = linear(attention.out_proj.weight, attention.out_proj.bias, dtype)

    def __call__(
        self, x: torch.Tensor, residual: torch.Tensor, stretches: Stretches, bias: torch.Tensor | None
    ) -> torch.Tensor:
        mixed = []
        for clips in split(self.project(x), stretches):
            n, frames, _ = clips.shape
            qkv = clips[:, :, : 3 * x.shape[1]].view(n, frames, 3, self.heads, self.head_dim)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (n, heads, T, head_dim)
            position = None
            if bias is not None:
                gate = clips[:, :, 3 * x.shape[1] :].view(n, frames, 2, self.heads).permute(2, 0, 3, 1)
                a, b = torch.sigmoid(gate.float()[..., None])
                gate = a * (b * self.constant - 1.0) + 2.0  # (n, heads, T, 1)
                position = gate, bias[:, :frames, :frames]
            mixed.append(_attend(q, k, v, position).transpose(1, 2).reshape(n * frames, -1))
        return self.out(torch.cat(mixed), residual)


def _attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, position: tuple[torch.Tensor, torch.Tensor] | None
) -> torch.Tensor:
    """softmax(q k^T + gate * bias) v, for queries already scaled; `position`: gate and bias in float32."""
    if q.device.type != "cpu" or q.dtype == torch.float32:
        mask = None if position is None else (position[0] * position[1]).to(q.dtype)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
    # in bf16 on a CPU, torch's fused kernel takes twice as long for clips of a few seconds
    scores = torch.matmul(q, k.transpose(2, 3)).float()
    if position is not None:
        scores.addcmul_(*position)
    return torch.matmul(torch.softmax(scores, dim=-1, out=scores).to(q.dtype), v)


FAMILY = Family(
    network=Network,
    settings=configuration.settings_of,
    parameters=configuration.parameters,
    preprocessing=configuration.preprocessing,
    required="encoder.layers.",
    modules=modules.wav2vec2_model,
    renamed=modules.renamed,
)
