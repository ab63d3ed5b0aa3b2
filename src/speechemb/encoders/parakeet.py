"""Parakeet's encoder (FastConformer): log-mel frames -> hidden states of 80 ms frames, through transformers, one clip
at a time.

The log-mel and its normalisation per band are those of transformers' ParakeetFeatureExtractor, over a clip or one
window of a long recording. Its last frame, which transformers masks, is left out. Of a model with a head for
transcription, such as ParakeetForCTC, only the encoder is loaded.
"""

from collections.abc import Iterator
from functools import partial
from math import log2
from pathlib import Path
from typing import Any

import torch

from speechemb.audio.decoding import SAMPLE_RATE
from speechemb.encoders import configuration, plain, weights
from speechemb.encoders.family import Family

TYPE = "parakeet_encoder"  # model_type of the encoder alone
_KIND, _HOP, _STRIDE = "ParakeetFeatureExtractor", 160, 2
_EXTRACTOR = {"hop_length": _HOP, "n_fft": 512, "win_length": 400, "preemphasis": 0.97, "padding_value": 0}
_PARTS = ("subsampling", "layers")
_KERNEL, _CONVOLUTION, _FACTOR = "conv_kernel_size", "subsampling_conv_kernel_size", "subsampling_factor"
_COUNTS = {
    **configuration.BLOCKS,
    _KERNEL: (1, 1023),
    _FACTOR: (2, 16),
    _CONVOLUTION: (1, 15),
    "subsampling_conv_stride": (_STRIDE, _STRIDE),
    "subsampling_conv_channels": (1, 8192),
    "num_mel_bins": (2, 512),
}
_FLAGS = ("attention_bias", "convolution_bias", "scale_input")


class Network(plain.Network):
    """transformers' encoder, as wav2vec2.Network is used; `dtype`: precision of weights and activations."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        from transformers import ParakeetFeatureExtractor

        super().__init__(model, dtype)
        self._extractor = ParakeetFeatureExtractor(feature_size=self.config.num_mel_bins)

    def frames(self, samples: int) -> int:
        """Number of frames of so many samples; below 1, the clip is too short."""
        found = samples // _HOP
        if found < 2:  # a band of one value has no variance
            return 0
        kernel = self.config.subsampling_conv_kernel_size
        for _ in range(int(log2(self.config.subsampling_factor))):
            found = (found + 2 * ((kernel - 1) // 2) - kernel) // _STRIDE + 1
        return found

    def prepared(self, wave: torch.Tensor) -> torch.Tensor:
        """(1, T, bands): the normalised log-mel of one clip."""
        features = self._extractor(wave.numpy(), sampling_rate=SAMPLE_RATE)["input_features"]
        return features[:, : len(wave) // _HOP].to(self.device, self.dtype)


def _settings(given: str, content: dict[str, Any], defaults: dict[str, Any], activations: set[str]) -> dict[str, Any]:
    encoder = content.get("encoder_config", content)  # of a model with a head
    content = encoder if isinstance(encoder, dict) else {}
    values = {key: content.get(key, defaults[key]) for key in (*_COUNTS, *_FLAGS, "hidden_act")}
    return configuration.without_faults(given, values, _faults(values, activations))


def _faults(values: dict[str, Any], activations: set[str]) -> Iterator[str]:
    yield from configuration.counts_out_of_range(values, _COUNTS)
    yield from configuration.not_flags(values, _FLAGS)
    yield from configuration.not_among(values, "hidden_act", activations)
    yield from configuration.not_divisible(values, "hidden_size", "num_attention_heads")
    for key in (_KERNEL, _CONVOLUTION):
        if values[key] % 2 == 0:
            yield f"{key} {values[key]} is even"
    if values["hidden_size"] % 2:
        yield f"hidden_size {values['hidden_size']} is odd"
    if not log2(values[_FACTOR]).is_integer():
        yield f"{_FACTOR} {values[_FACTOR]} is not a power of 2"
    yield from configuration.not_divisible(values, "num_mel_bins", _FACTOR)


def _preprocessing(given: str, folder: Path, values: dict[str, Any]) -> tuple[bool, str]:
    content, name = configuration.feature_extractor(given, folder, _KIND)
    wanted = {**_EXTRACTOR, "feature_size": values["num_mel_bins"]}
    configuration.check_extractor(given, name, content, wanted)
    return False, name


FAMILY = Family(
    network=Network,
    settings=_settings,
    parameters=partial(plain.parameters, TYPE),
    preprocessing=_preprocessing,
    required="",
    renamed=weights.names_of_encoder(_PARTS, ("encoder.",)),
    encoder_type=TYPE,
)
