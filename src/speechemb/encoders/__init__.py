"""Step 2, the models: recordings in, pooled hidden states out. New model families and feature sets belong here.

Importing this package loads neither torch nor numpy, so that a script's `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from speechemb.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from speechemb.encoders.windows import Waveform

# Short names for --model and for file names. Paths are relative to the project's root.
TAGS = {
    "wavlm_base": "microsoft/wavlm-base",
    "wavlm_base_plus": "microsoft/wavlm-base-plus",
    "wavlm_large": "microsoft/wavlm-large",
    "hubert_base": "facebook/hubert-base-ls960",
    "hubert_large": "facebook/hubert-large-ll60k",
    "wav2vec2_base": "facebook/wav2vec2-base",
    "whisper_tiny": "openai/whisper-tiny",
    "whisper_tiny_en": "openai/whisper-tiny.en",
    "whisper_base": "openai/whisper-base",
    "whisper_small": "openai/whisper-small",
    "whisper_medium": "openai/whisper-medium",
    "whisper_large_v3": "openai/whisper-large-v3",
    "wavlm_nano": "models/wavlm-nano",
}
ACOUSTIC = "acoustic"  # the baseline without a network: its tag and its name for --model
EGEMAPS = "egemaps"  # the same for openSMILE's functionals
FEATURES = "features:"  # before the folder or file of features that somebody else computed
DEFAULT = "wavlm_base"
WITHOUT_HUB = f"take --model wavlm_nano or --model {ACOUSTIC}, which need no download"
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
POOLINGS = ("mean", "std", "max", "first", "last")
# What Whisper computes of a clip: the window of 30 s with silence after the clip, as published, or the clip alone.
CONTEXTS = ("window", "clip")
DEFAULT_CONTEXT = "window"


class Encoder(Protocol):
    """What step 2 and predict.py need of `PretrainedEncoder`, `Acoustic`, `Egemaps` and `Features`."""

    n_layers: int
    dim: int
    precision: str
    identity: dict[str, Any]  # what determines its output; with `window_s` where it cuts longer recordings
    workers: int  # batches computed at the same time
    batch_seconds: int  # seconds of audio per batch, unless the user sets it
    reads_audio: bool  # False: `embed` is given clip ids, not waveforms

    @property
    def own_pooling(self) -> list[str] | None:
        """The pooling if the encoder has one only; None: any of POOLINGS."""
        ...

    @property
    def settled(self) -> bool:
        """False: the first `embed` settles the precision and has to end before others start."""
        ...

    def start_worker(self) -> None:
        """To be called first in a thread that computes beside others."""
        ...

    def embed(self, waveforms: Sequence[Waveform], layers: list[int], methods: list[str]) -> np.ndarray:
        """(B, len(layers), dim * len(methods)) float32 of 16 kHz mono waveforms.

        Recordings that are read window by window are given only to encoders whose identity has `window_s`.
        """
        ...


# What the identities of two encoders that give the same output share. Names and revisions may differ: a folder may
# hold the weights of a hub model.
_OUTPUT = ("model_type", "weights_sha256", "config_sha256", "do_normalize", "forward", "context")


def tag_of(model: str, context: str | None = None) -> str:
    """The encoder's tag in file names, see `names.tag_of`."""
    from speechemb.encoders import names

    return names.tag_of(model, context)


def load(model: str, device: str = "auto", precision: str = "auto", context: str | None = None) -> Encoder:
    """The encoder that `--model` names: a tag, `acoustic`, `egemaps`, a folder, or a hub id with optional `@revision`.

    Features of one's own are not an encoder for any recording, see `features.load`.

    `context`: one of CONTEXTS for a Whisper (default: DEFAULT_CONTEXT), None for other encoders.

    Raises:
        InputError: the model is not there or not of a supported family, its weights do not fit, it has no `context`,
            or the device is missing or lacks `precision`.
    """
    found: Encoder
    if model == ACOUSTIC:
        from speechemb.encoders.acoustic import Acoustic

        found = Acoustic()
    elif model == EGEMAPS:
        from speechemb.encoders.egemaps import Egemaps

        found = Egemaps()
    else:
        from speechemb.encoders.encoder import load_pretrained

        found = load_pretrained(model, device, precision, context)
    if context and found.identity.get("context") != context:
        raise InputError(f"--context {context}: is for Whisper encoders only; leave it out with --model {model}")
    return found


def load_recorded(wanted: dict[str, Any], source: str, precision: str, device: str = "auto") -> Encoder:
    """The encoder with the identity `wanted`, as an artifact records it, to embed further recordings.

    `source` is what `--model` was then, or another place with the same weights; of a hub model the recorded commit is
    loaded. Where the device does not compute in the recorded precision, the encoder computes in fp32.

    Raises:
        InputError: as `load`, or the encoder found there is another one, or `wanted` are features of one's own.
    """
    if str(wanted.get("name")).startswith(FEATURES):
        raise InputError(
            f"the model was trained on {wanted['name']}, which this project did not compute and cannot compute for new "
            "recordings: compute them as before, and apply speechemb.classifiers.persistence.load(...) to them in "
            "Python; or train on an encoder of step 2"
        )
    if source in (ACOUSTIC, EGEMAPS):
        found = load(source)
    else:
        from speechemb.encoders import names
        from speechemb.encoders.encoder import available_precision, load_pretrained

        source = names.at_commit(source, wanted)
        found = load_pretrained(source, device, available_precision(precision, device), wanted.get("context"))
    if not same_output(wanted, found.identity):
        raise InputError(
            f"the model was trained on {wanted.get('name')} at {wanted.get('revision')}, but the encoder found is "
            f"{found.identity['name']} at {found.identity['revision']}: give the right one with --encoder"
        )
    return found


def same_output(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two encoders' identities stand for the same weights, settings and computation."""
    if "weights_sha256" in one and "weights_sha256" in other:
        return all(one.get(key) == other.get(key) for key in _OUTPUT)
    return one.get("revision") == other.get("revision")
