"""Whisper's encoder: a log-mel spectrogram of 30 s -> hidden states of 20 ms frames. The decoder is never loaded.

Whisper pads every clip with silence to 30 s, and its attention takes no mask: the silence changes the clip's own
frames. `--context window` computes that, as published, and returns the clip's own frames. `--context clip` cuts the
log-mel to the clip, so that the network sees its own frames only. That is much faster, and gives other hidden states.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from speechemb.audio.decoding import SAMPLE_RATE
from speechemb.encoders import CONTEXTS, configuration, weights
from speechemb.encoders.family import Family
from speechemb.encoders.kernels import Linear, layer_norm, send
from speechemb.encoders.log_mel import FRAMES, HOP, N_FFT, WINDOW_S, LogMel
from speechemb.encoders.packing import Stretches, split, stretches_of

WINDOW, CLIP = CONTEXTS
POSITIONS = FRAMES // 2  # the second convolution takes every other frame
_PARTS = ("conv1", "conv2", "embed_positions", "layers", "layer_norm")
_COUNTS = {
    "d_model": (1, 8192),
    "encoder_layers": (1, 128),
    "encoder_attention_heads": (1, 64),
    "encoder_ffn_dim": (1, 65_536),
    "num_mel_bins": (1, 512),
    "max_source_positions": (POSITIONS, POSITIONS),
}
_PREPROCESSOR = {"hop_length": HOP, "n_fft": N_FFT, "chunk_length": WINDOW_S, "padding_value": 0, "dither": 0}


class Network:
    """The weights of a WhisperEncoder, arranged for `layers`; `dtype`: precision of products and activations."""

    def __init__(self, model: Any, dtype: torch.dtype, context: str) -> None:
        self.config, self.dtype, self.context = model.config, dtype, context
        self.device = model.conv1.weight.device
        self.log_mel = LogMel(self.config.num_mel_bins, self.device)
        self.convolutions = [_convolution(conv, dtype) for conv in (model.conv1, model.conv2)]
        self.positions = model.embed_positions.weight.to(dtype)  # (POSITIONS, D)
        self.blocks = [_Block(block, dtype) for block in model.layers]
        self.norm = model.layer_norm

    def frames(self, samples: int) -> int:
        """Number of a clip's own frames; 0, if it is shorter than one step of the log-mel."""
        return (samples // HOP - 1) // 2 + 1

    def cost(self, samples: int) -> int:
        """Number of samples that are computed for a clip of so many."""
        return WINDOW_S * SAMPLE_RATE if self.context == WINDOW else samples

    def layers(self, waves: list[torch.Tensor], last: int) -> Iterator[list[torch.Tensor]]:
        """Hidden states of layer 0 (the convolutions' output plus positions) up to layer `last`, one layer at a time.

        `waves`: float32 on the CPU, at most 30 s. A layer's hidden states are tensors (n, T, D), one for each stretch
        of n neighbouring clips of T own frames, in order. The last layer of the model is after the final layer norm.
        """
        own = [self.frames(len(wave)) for wave in waves]
        whole = self.context == WINDOW
        stretches = [(1, POSITIONS)] * len(waves) if whole else stretches_of(own)
        own_stretches = [(1, frames) for frames in own] if whole else stretches
        hidden = torch.cat([self._embedded(wave) for wave in waves])
        yield self._of_clips(hidden, stretches, own_stretches)
        for n, block in enumerate(self.blocks[:last], start=1):
            if n < len(self.blocks):
                hidden = block(hidden, stretches, stretches)
                yield self._of_clips(hidden, stretches, own_stretches)
            else:  # nothing follows that would look at the silence
                hidden = block(hidden, stretches, own_stretches)
                yield split(layer_norm(self.norm, hidden), own_stretches)

    def _embedded(self, wave: torch.Tensor) -> torch.Tensor:
        """(frames, D): the input of the first block for one clip."""
        features = self.log_mel(send(wave, self.device, torch.float32))
        if self.context == CLIP:
            features = features[: len(wave) // HOP]
        features = features.to(self.dtype)
        for stride, linear in enumerate(self.convolutions, start=1):
            width = features.shape[1]
            padded = F.pad(features, (0, 0, 1, 1))
            features = linear(padded.flatten().unfold(0, 3 * width, stride * width))
        return features + self.positions[: len(features)]

    @staticmethod
    def _of_clips(hidden: torch.Tensor, stretches: Stretches, own: Stretches) -> list[torch.Tensor]:
        """The hidden states of each stretch without those of the silence after its clips."""
        return [part[:, :frames] for part, (_, frames) in zip(split(hidden, stretches), own, strict=True)]


def _convolution(conv: Any, dtype: torch.dtype) -> Linear:
    """A convolution of three frames and its GELU, as a product with the frames side by side."""
    return Linear(conv.weight.transpose(1, 2).flatten(1), conv.bias, dtype, gelu=True)


class _Block:
    """One transformer block (pre-norm)."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        self.norm, self.final_norm = block.self_attn_layer_norm, block.final_layer_norm
        attention = block.self_attn
        self.heads, self.head_dim = attention.num_heads, attention.head_dim
        q, k, v = attention.q_proj, attention.k_proj, attention.v_proj
        scale = attention.scaling
        weights, biases = [q.weight * scale, k.weight, v.weight], [q.bias * scale, torch.zeros_like(q.bias), v.bias]
        self.project = Linear(torch.cat(weights), torch.cat(biases), dtype)
        self.out = Linear(attention.out_proj.weight, attention.out_proj.bias, dtype)
        gelu = block.activation_fn.__class__.__name__ == "GELUActivation"
        self.activation = None if gelu else block.activation_fn
        self.up = Linear(block.fc1.weight, block.fc1.bias, dtype, gelu=gelu)
        self.down = Linear(block.fc2.weight, block.fc2.bias, dtype)

    def __call__(self, hidden: torch.Tensor, stretches: Stretches, wanted: Stretches) -> torch.Tensor:
        """Hidden states of the first frames of every clip, as many as `wanted` says; attention sees all of them."""
        mixed, kept = [], []
        projected = self.project(layer_norm(self.norm, hidden))
        parts = zip(split(projected, stretches), split(hidden, stretches), wanted, strict=True)
        for clips, residual, (_, frames) in parts:
            qkv = clips.view(*clips.shape[:2], 3, self.heads, self.head_dim)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (n, heads, T, head_dim)
            attended = F.scaled_dot_product_attention(q[:, :, :frames], k, v, scale=1.0)
            mixed.append(attended.transpose(1, 2).flatten(0, 1).flatten(1))
            kept.append(residual[:, :frames].flatten(0, 1))
        hidden = self.out(torch.cat(mixed), hidden if stretches == wanted else torch.cat(kept))
        x = self.up(layer_norm(self.final_norm, hidden))
        hidden = self.down(x if self.activation is None else self.activation(x), hidden)
        if hidden.dtype == torch.float16:  # as transformers does
            limit = torch.finfo(hidden.dtype).max - 1000
            hidden = hidden.clamp(-limit, limit)
        return hidden


def settings_of(given: str, content: dict[str, Any], defaults: dict[str, Any], activations: set[str]) -> dict[str, Any]:
    """The keys of config.json that shape the hidden states, see `Family.settings`."""
    values = {key: content.get(key, defaults[key]) for key in (*_COUNTS, "activation_function")}
    return configuration.without_faults(given, values, _faults(values, activations))


def _faults(values: dict[str, Any], activations: set[str]) -> Iterator[str]:
    yield from configuration.counts_out_of_range(values, _COUNTS)
    yield from configuration.not_among(values, "activation_function", activations)
    yield from configuration.not_divisible(values, "d_model", "encoder_attention_heads")


def parameters(values: dict[str, Any]) -> int:
    """The number of parameters of the encoder, without biases and norms."""
    width, inner = values["d_model"], values["encoder_ffn_dim"]
    count = 3 * values["num_mel_bins"] * width + 3 * width * width + POSITIONS * width
    return count + values["encoder_layers"] * (4 * width * width + 2 * width * inner)


def preprocessing(given: str, folder: Path, values: dict[str, Any]) -> tuple[bool, str]:
    """False, because Whisper takes recordings as they are, and the file that describes the log-mel or "default".

    The mel filters are computed; filters in the file are not used, as in transformers.

    Raises:
        InputError: the file is not a WhisperFeatureExtractor's, or for another log-mel than `LogMel`.
    """
    content, name = configuration.feature_extractor(given, folder, "WhisperFeatureExtractor")
    wanted = {**_PREPROCESSOR, "feature_size": values["num_mel_bins"]}
    configuration.check_extractor(given, name, content, wanted)
    return False, name


def _encoder_class(_: type) -> Any:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    return WhisperEncoder


FAMILY = Family(
    network=Network,
    settings=settings_of,
    parameters=parameters,
    preprocessing=preprocessing,
    required="",
    model_class=_encoder_class,
    renamed=weights.names_of_encoder(_PARTS, ("model.", "encoder.")),
    contexts=CONTEXTS,
)
