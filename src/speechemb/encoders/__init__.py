"""Step 2, the models: recordings in, pooled hidden states out. New model families and feature sets belong here.

Importing this package loads neither torch nor numpy, so that a script's `--help` answers at once.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

# Short names for --model and for file names. Paths are relative to the project's root.
TAGS = {
    "wavlm_base": "microsoft/wavlm-base",
    "wavlm_base_plus": "microsoft/wavlm-base-plus",
    "wavlm_large": "microsoft/wavlm-large",
    "hubert_base": "facebook/hubert-base-ls960",
    "hubert_large": "facebook/hubert-large-ll60k",
    "wav2vec2_base": "facebook/wav2vec2-base",
    "wavlm_nano": "models/wavlm-nano",
}
ACOUSTIC = "acoustic"  # the baseline without a network: its tag and its name for --model
DEFAULT = "wavlm_base"
POOLINGS = ("mean", "std", "max", "first", "last")


class Encoder(Protocol):
    """What step 2 and predict.py need of `PretrainedEncoder` and `Acoustic`."""

    n_layers: int
    dim: int
    precision: str
    identity: dict[str, Any]
    own_pooling: list[str] | None  # if the encoder pools in one way only; None: any of POOLINGS
    workers: int  # batches computed at the same time
    batch_seconds: int  # seconds of audio per batch, unless the user sets it
    settled: bool  # False: the first `embed` settles the precision and has to end before others start

    def start_worker(self) -> None:
        """To be called first in a thread that computes beside others."""
        ...

    def embed(self, waveforms: list[np.ndarray], layers: list[int], methods: list[str]) -> np.ndarray:
        """(B, len(layers), dim * len(methods)) float32 of 16 kHz mono waveforms."""
        ...


def tag_of(model: str) -> str:
    """The encoder's tag in file names: a tag of TAGS (also for its hub id), or else a slug of the name's last part."""
    name, _, revision = model.partition("@")
    tag = name if name in (*TAGS, ACOUSTIC) else {hub_id: tag for tag, hub_id in TAGS.items()}.get(name)
    tag = tag or re.sub(r"[^a-z0-9]+", "_", Path(name).name.lower()).strip("_") or "encoder"
    return f"{tag}_{re.sub(r'[^a-z0-9]+', '_', revision.lower())}" if revision else tag


def load(model: str, device: str = "auto", precision: str = "auto") -> Encoder:
    """The encoder that `--model` names: a tag, `acoustic`, a folder, or a hub id with optional `@revision`.

    Raises:
        InputError: the model is not there or not of a supported family, its weights do not fit, or the device is
            missing or lacks `precision`.
    """
    if model == ACOUSTIC:
        from speechemb.encoders.acoustic import Acoustic

        return Acoustic()
    from speechemb.encoders.encoder import load_pretrained

    return load_pretrained(model, device, precision)
