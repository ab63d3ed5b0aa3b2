"""Whisper's encoder: a log-mel spectrogram of 30 s -> hidden states of 20 ms frames. The decoder is never loaded.

Whisper pads every clip with silence to 30 s, and its attention takes no mask: the silence changes the clip's own
frames. `--context window` computes that, as published, and returns the clip's own frames. `--context clip` cuts the
log-mel to the clip, so that the network sees its own frames only. That is much faster, and gives other hidden states.
"""

from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from speechemb.audio.decoding import SAMPLE_RATE
from speechemb.encoders import CONTEXTS, configuration, modules, weights
from speechemb.encoders.family import Family
from speechemb.encoders.kernels import Convolution, activations, layer_norm, linear
from speechemb.encoders.log_mel import FRAMES, HOP, N_FFT, WINDOW_S, LogMel, touched
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
    """The weights of an encoder (`modules`), arranged for `layers`; `dtype`: as in wav2vec2.Network."""

    def __init__(self, model: Any, dtype: torch.dtype, context: str) -> None:
        self.config, self.dtype, self.context = model.config, activations(dtype), context
        self.device = model.conv1.weight.device
        self.log_mel = LogMel(self.config.num_mel_bins, self.device)
        convs = (model.conv1, model.conv2)
        self.convolutions = [Convolution(conv.weight, conv.bias, conv.stride[0], dtype, gelu=True) for conv in convs]
        self.positions = model.embed_positions.weight.to(self.dtype)  # (POSITIONS, D)
        self.blocks = [_Block(block, self.config, dtype) for block in model.layers]
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
        matrices = [_Matrix(own, self.context) for own in self._together([self.frames(len(wave)) for wave in waves])]
        each = iter(waves)
        hidden = [self._embedded(list(islice(each, matrix.clips))) for matrix in matrices]
        yield [part for x, matrix in zip(hidden, matrices, strict=True) for part in matrix.own_frames(x)]
        for n, block in enumerate(self.blocks[:last], start=1):
            final = n == len(self.blocks)  # nothing follows that would look at the silence
            found = []
            for i, matrix in enumerate(matrices):
                hidden[i] = block(hidden[i], matrix.frames, matrix.own if final else matrix.frames)
                found += split(layer_norm(self.norm, hidden[i]), matrix.own) if final else matrix.own_frames(hidden[i])
            yield found

    def _together(self, own: list[int]) -> Iterator[list[int]]:
        """The clips' own frames, divided into those that are one matrix: on a CPU as many as stay in its cache."""
        found, rows = [], 0
        for frames in own:
            size = POSITIONS if self.context == WINDOW else frames
            if found and rows + size > POSITIONS and self.device.type == "cpu":
                yield found
                found, rows = [], 0
            found.append(frames)
            rows += size
        yield found

    def _embedded(self, waves: list[torch.Tensor]) -> torch.Tensor:
        """(frames of all clips, D): the input of the first block."""
        whole = self.context == WINDOW
        frames = [_distinct(len(wave)) if whole else len(wave) // HOP for wave in waves]
        clips = [features.to(self.dtype) for features in self.log_mel(waves, frames)]
        for convolution in self.convolutions:
            clips = _convolved(convolution, clips)
        if whole:
            clips = [_with_silence(clip) for clip in clips]
        return torch.cat([clip + self.positions[: len(clip)] for clip in clips])


class _Matrix:
    """What the rows of one matrix are: stretches of clips, with all their frames and with their own frames only."""

    def __init__(self, own: list[int], context: str) -> None:
        self.clips = len(own)
        whole = context == WINDOW
        self.frames = [(1, POSITIONS)] * len(own) if whole else stretches_of(own)
        self.own = [(1, frames) for frames in own] if whole else self.frames

    def own_frames(self, hidden: torch.Tensor) -> list[torch.Tensor]:
        """The hidden states of each stretch without those of the silence after its clips."""
        return [part[:, :frames] for part, (_, frames) in zip(split(hidden, self.frames), self.own, strict=True)]


def _distinct(samples: int) -> int:
    """Log-mel frames at the start of a window whose convolutions hold every row of those of the whole window.

    The last two rows see silence only. All rows of the silence are alike, except the last one, beside which the
    convolutions see their padding.
    """
    frames = touched(samples) + 6
    return min(FRAMES, frames + frames % 2)


def _with_silence(clip: torch.Tensor) -> torch.Tensor:
    """(POSITIONS, D) of (rows, D): the row before the last one is repeated in front of the last."""
    return torch.cat([clip[:-1], clip[-2:-1].expand(POSITIONS - len(clip), -1), clip[-1:]])


def _convolved(convolution: Convolution, clips: list[torch.Tensor]) -> list[torch.Tensor]:
    """The clips (T, in) -> (T / stride rounded up, out), each between zeros; one product for all of them."""
    # an even number of rows: each clip begins where a product of every second row does
    padded = [F.pad(clip, (0, 0, 1, 1 + len(clip) % 2)) for clip in clips]
    rows, stride = convolution(torch.cat(padded)), convolution.stride
    starts = accumulate((len(clip) // stride for clip in padded), initial=0)
    return [rows[start : start + (len(clip) - 1) // stride + 1] for start, clip in zip(starts, clips, strict=False)]


class _Block:
    """One transformer block (pre-norm)."""

    def __init__(self, block: Any, config: Any, dtype: torch.dtype) -> None:
        self.norm, self.final_norm = block.self_attn_layer_norm, block.final_layer_norm
        attention = block.self_attn
        self.heads = config.encoder_attention_heads
        self.scale = (config.d_model // self.heads) ** -0.5
        q, k, v = attention.q_proj, attention.k_proj, attention.v_proj
        self.queries = linear(q.weight, q.bias, dtype)
        self.keys_values = linear(torch.cat([k.weight, v.weight]), torch.cat([torch.zeros_like(v.bias), v.bias]), dtype)
        self.out = linear(attention.out_proj.weight, attention.out_proj.bias, dtype)
        gelu = config.activation_function == "gelu"
        self.activation = None if gelu else block.activation_fn
        self.up = linear(block.fc1.weight, block.fc1.bias, dtype, gelu=gelu)
        self.down = linear(block.fc2.weight, block.fc2.bias, dtype)

    def __call__(self, hidden: torch.Tensor, frames: Stretches, wanted: Stretches) -> torch.Tensor:
        """Hidden states of the first frames of every clip, as many as `wanted` says; attention sees all of them."""
        x = layer_norm(self.norm, hidden)
        keys_values = self.keys_values(x)
        if wanted != frames:
            hidden, x = _first(hidden, frames, wanted), _first(x, frames, wanted)
        hidden = self.out(self._attended(self.queries(x), keys_values, frames, wanted), hidden)
        x = self.up(layer_norm(self.final_norm, hidden))
        hidden = self.down(x if self.activation is None else self.activation(x), hidden)
        if hidden.dtype == torch.float16:  # as transformers does
            limit = torch.finfo(hidden.dtype).max - 1000
            hidden = hidden.clamp(-limit, limit)
        return hidden

    def _attended(self, queries: torch.Tensor, keys_values: torch.Tensor, frames: Stretches, wanted: Stretches):
        """(rows of the queries, D): each query's mean of its clip's values, weighted by attention."""
        mixed = []
        for asking, seen in zip(split(queries, wanted), split(keys_values, frames), strict=True):
            q = asking.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (n, heads, T, head_dim), as k and v
            k, v = seen.unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
            mixed.append(
                F.scaled_dot_product_attention(q, k, v, scale=self.scale).transpose(1, 2).flatten(2).flatten(0, 1)
            )
        return torch.cat(mixed)


def _first(x: torch.Tensor, frames: Stretches, wanted: Stretches) -> torch.Tensor:
    """The rows (frames of all clips, D) of the first frames of every clip, as many as `wanted` says."""
    return torch.cat([part[:, :n].flatten(0, 1) for part, (_, n) in zip(split(x, frames), wanted, strict=True)])


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


FAMILY = Family(
    network=Network,
    settings=settings_of,
    parameters=parameters,
    preprocessing=preprocessing,
    required="",
    modules=modules.whisper_encoder,
    renamed=weights.names_of_encoder(_PARTS, ("model.", "encoder.")),
    contexts=CONTEXTS,
)
