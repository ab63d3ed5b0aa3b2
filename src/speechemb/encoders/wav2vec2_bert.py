"""w2v-BERT 2.0: log-mel frames in pairs -> hidden states of 20 ms frames, through transformers, one clip at a time.

The log-mel and its normalisation per band are those of transformers' SeamlessM4TFeatureExtractor, over a clip or one
window of a long recording. An odd last frame, which transformers pads and masks, is left out.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from speechemb.audio.decoding import SAMPLE_RATE
from speechemb.encoders import configuration, plain
from speechemb.encoders.family import Family

_KIND = "SeamlessM4TFeatureExtractor"
_BANDS, _PAIR, _LENGTH, _HOP = 80, 2, 400, 160  # mel bands, frames per input, samples of a frame and between frames
_COUNTS = {
    **configuration.BLOCKS,
    **plain.CONFORMER,
    "feature_projection_input_dim": (_BANDS * _PAIR, _BANDS * _PAIR),
    "left_max_position_embeddings": (0, 8192),
    "right_max_position_embeddings": (0, 8192),
}
_POSITIONS = "position_embeddings_type"


class Network(plain.Network):
    """transformers' model, as wav2vec2.Network is used; `dtype`: precision of weights and activations."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        from transformers import SeamlessM4TFeatureExtractor

        super().__init__(model, dtype)
        self._extractor = SeamlessM4TFeatureExtractor()

    def frames(self, samples: int) -> int:
        """Number of frames of so many samples; below 1, the clip is too short."""
        return ((samples - _LENGTH) // _HOP + 1) // _PAIR

    def prepared(self, wave: torch.Tensor) -> torch.Tensor:
        """(1, T, 160): the normalised log-mel of one clip."""
        found = self._extractor(wave.numpy(), sampling_rate=SAMPLE_RATE, return_tensors="np")
        features = found["input_features"][:, : self.frames(len(wave))]
        return torch.tensor(features, device=self.device, dtype=self.dtype)


def _settings(given: str, content: dict[str, Any], defaults: dict[str, Any], activations: set[str]) -> dict[str, Any]:
    known = (*_COUNTS, "layer_norm_eps", "hidden_act", _POSITIONS)
    values = {key: content.get(key, defaults[key]) for key in known}
    return configuration.without_faults(given, values, _faults(values, activations))


def _faults(values: dict[str, Any], activations: set[str]) -> Iterator[str]:
    yield from configuration.counts_out_of_range(values, _COUNTS)
    yield from configuration.not_a_fraction(values, "layer_norm_eps")
    yield from configuration.not_among(values, "hidden_act", activations)
    yield from configuration.not_divisible(values, "hidden_size", "num_attention_heads")
    yield from plain.faults_of_conformers(values, {"relative", "relative_key", "rotary"})


def _preprocessing(given: str, folder: Path, values: dict[str, Any]) -> tuple[bool, str]:
    content, name = configuration.feature_extractor(given, folder, _KIND)
    wanted = {"feature_size": _BANDS, "num_mel_bins": _BANDS, "stride": _PAIR}
    configuration.check_extractor(given, name, content, wanted)
    return False, name


FAMILY = Family(
    network=Network,
    settings=_settings,
    parameters=partial(plain.parameters, "wav2vec2-bert"),
    preprocessing=_preprocessing,
    required="encoder.layers.",
)
