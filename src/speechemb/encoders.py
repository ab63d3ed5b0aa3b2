"""Encoders: WavLM, HuBERT and wav2vec 2.0 from the hub or a folder; waveforms in, pooled hidden states out.

An embedding does not depend on the clips it was batched with (see `forward`). transformers loads the weights; its
own forward pass is not used, because it pads base models into different results and has no fast attention for WavLM.
"""

import hashlib
import logging
import os
import re
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch

from speechemb.errors import InputError, first
from speechemb.forward import Network
from speechemb.paths import existing, shown
from speechemb.pooling import Statistics, frame_statistics, merge, pool
from speechemb.provenance import sha256_file

log = logging.getLogger(__name__)

SAMPLE_RATE = 16_000
WINDOW_S = 30  # recordings longer than this are cut into equal windows: attention costs grow with the square
FORWARD_S = 120  # audio seconds in one pass of the network at most, whatever the caller's batch
MODEL_TYPES = ("wavlm", "hubert", "wav2vec2")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MIN_COSINE = 0.999  # of a half-precision hidden state to the fp32 one, or `auto` goes on in fp32

# Short names for --model and for file names. Paths count from the project's root.
TAGS = {
    "wavlm_base": "microsoft/wavlm-base",
    "wavlm_base_plus": "microsoft/wavlm-base-plus",
    "wavlm_large": "microsoft/wavlm-large",
    "hubert_base": "facebook/hubert-base-ls960",
    "hubert_large": "facebook/hubert-large-ll60k",
    "wav2vec2_base": "facebook/wav2vec2-base",
    "wavlm_nano": "models/wavlm-nano",
}
DEFAULT = "wavlm_base"


def tag_of(model: str) -> str:
    """The encoder's tag in file names: the tag itself, that of a known hub id, else a slug of the last part."""
    name, _, revision = model.partition("@")
    tag = name if name in TAGS else {hub_id: tag for tag, hub_id in TAGS.items()}.get(name)
    tag = tag or re.sub(r"[^a-z0-9]+", "_", Path(name).name.lower()).strip("_") or "encoder"
    return f"{tag}_{re.sub(r'[^a-z0-9]+', '_', revision.lower())}" if revision else tag


class Encoder:
    """A loaded model. `precision` is what is used; with "auto" it is settled only after the first `embed`.

    Pass a recorded `precision` ("fp32", "bf16", "fp16") to `load` to repeat an earlier choice without a check.
    """

    def __init__(self, model, identity: dict, device: torch.device, precision: str) -> None:
        self.identity = identity
        self.n_layers = identity["n_layers"]
        self.dim = identity["dim"]
        self.device = device
        self.precision = _preferred(device) if precision == "auto" else precision
        self._reference = None
        model = model.eval().requires_grad_(False).to(device)
        if precision == "auto" and self.precision != "fp32":
            self._reference = Network(model, torch.float32)
        # Cast here, never under inference_mode: weights made there fall off torch's fast bf16 paths.
        self._network = Network(model, PRECISIONS[self.precision])

    def embed(self, waveforms: list[np.ndarray], layers: list[int], methods: list[str]) -> np.ndarray:
        """Pooled hidden states (B, len(layers), dim * len(methods)) float32.

        `waveforms`: 16 kHz mono float32. Layer 0 is the transformer's input, layer n the output of its n-th block:
        transformers' `hidden_states[n]`, so for models with `do_stable_layer_norm` before the final layer norm.
        Raises ValueError for a layer the model does not have and for a clip too short to make one frame.
        """
        missing = [n for n in layers if not 0 <= n <= self.n_layers]
        if missing:
            raise ValueError(f"the encoder has layers 0 to {self.n_layers}, not {missing[0]}")
        windows, counts = self._windows(waveforms)
        with torch.inference_mode():
            statistics = self._statistics(windows, sorted(set(layers)), methods)
            pooled = {n: pool(_by_recording(s, counts), methods).cpu() for n, s in statistics.items()}
        return torch.stack([pooled[n] for n in layers], dim=1).numpy()

    def _windows(self, waveforms: list[np.ndarray]) -> tuple[list[torch.Tensor], list[int]]:
        """The windows of all recordings, normalised as the model's feature extractor does, and how many each has."""
        windows, counts = [], []
        for wave in waveforms:
            wave = np.asarray(wave, dtype=np.float32)
            if self._network.frames(len(wave)) < 1:
                raise ValueError(f"a clip of {len(wave)} samples is too short for one frame")
            if self.identity["do_normalize"]:  # over the whole recording, not window by window
                wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
            parts = np.array_split(wave, -(-len(wave) // (WINDOW_S * SAMPLE_RATE)))
            windows += [torch.from_numpy(part) for part in parts]
            counts.append(len(parts))
        return windows, counts

    def _statistics(self, windows: list[torch.Tensor], layers: list[int], methods: list[str]) -> dict[int, Statistics]:
        """Frame statistics of every window at every layer asked for, pass by pass."""
        found: dict[int, list[Statistics]] = {n: [] for n in layers}
        for waves in _passes(windows):
            self._check(waves, layers[-1])
            for n, runs in enumerate(self._network.layers(waves, layers[-1])):
                if n in found:
                    found[n] += [frame_statistics(hidden, None, methods) for hidden in runs]
        return {n: {key: torch.cat([s[key] for s in parts]) for key in parts[0]} for n, parts in found.items()}

    def _check(self, waves: list[torch.Tensor], last: int) -> None:
        """With "auto", compare the first batch with fp32, layer by layer; fall back to fp32 when it is too far off."""
        if self._reference is None:
            return
        reference, self._reference = self._reference, None
        pairs = zip(self._network.layers(waves, last), reference.layers(waves, last), strict=True)
        for n, (low, full) in enumerate(pairs):
            low, full = (torch.cat([hidden.flatten() for hidden in runs]).float() for runs in (low, full))
            cosine = torch.nn.functional.cosine_similarity(low, full, dim=0)
            if not cosine >= MIN_COSINE:
                log.warning("%s: cosine to fp32 is %.4f at layer %d; going on in fp32", self.precision, cosine, n)
                self._network, self.precision = reference, "fp32"
                return


def _passes(windows: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Consecutive windows, cut where their audio would exceed FORWARD_S."""
    passes, total = [[]], 0
    for window in windows:
        if passes[-1] and total + len(window) > FORWARD_S * SAMPLE_RATE:
            passes.append([])
            total = 0
        passes[-1].append(window)
        total += len(window)
    return passes


def _by_recording(statistics: Statistics, counts: list[int]) -> Statistics:
    """One row a window -> one row a recording."""
    if max(counts) == 1:
        return statistics
    rows, start = [], 0
    for count in counts:
        rows.append(merge([{k: v[i : i + 1] for k, v in statistics.items()} for i in range(start, start + count)]))
        start += count
    return {key: torch.cat([row[key] for row in rows]) for key in rows[0]}


def _preferred(device: torch.device) -> str:
    """The precision `auto` tries: bf16 on a CPU only where the processor computes in it."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    capable = device.type == "cpu" and torch.cpu.get_capabilities()
    return "bf16" if capable and (capable.get("avx512_bf16") or capable.get("amx_bf16")) else "fp32"


def load(model: str, device: str = "auto", precision: str = "auto") -> Encoder:
    """The encoder named by a tag, a hub id with optional `@revision`, or a folder (an existing folder wins).

    Raises InputError when it cannot be had, is not a WavLM, HuBERT or wav2vec 2.0, or its weights do not fit.
    """
    chosen = _device(device)
    if precision not in ("auto", *PRECISIONS):
        raise InputError(f"--precision {precision}: choose from auto, {', '.join(PRECISIONS)}")
    if precision == "fp16" and chosen.type != "cuda":
        raise InputError("--precision fp16 needs a CUDA device: use --precision auto, bf16 or fp32 here")
    name, _, revision = model.partition("@")
    source = TAGS.get(name, name)
    folder = next((path for path in (existing(model), existing(source)) if path.is_dir()), None)
    if folder is None and source == TAGS["wavlm_nano"]:
        raise InputError(f"--model {model}: the folder {source} is missing; get it back with `git checkout {source}`")
    network, identity = _from_folder(folder) if folder else _from_hub(source, revision or "main")
    return Encoder(network, identity, chosen, precision)


def _device(device: str) -> torch.device:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = next(name for name, there in available.items() if there)
    if not available.get(device.partition(":")[0]):
        raise InputError(f"--device {device} is not available here: use --device auto or cpu")
    return torch.device(device)


def _from_folder(folder: Path):
    """(model, identity); the identity's revision is a hash over what decides the output."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # there is no download to watch
    given, instead = f"--model {shown(folder)}", "give a folder written by save_pretrained"
    weights = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])
    files = [
        folder / "config.json",
        folder / "preprocessor_config.json",
        *(weights or [folder / "model.safetensors"]),
    ]
    if missing := [path.name for path in files if not path.is_file()]:
        raise InputError(f"{given}: has no {' and no '.join(missing)}; {instead}")
    try:
        model, config, extractor = _pretrained(given, str(folder), None)
    except (OSError, ValueError) as error:
        raise InputError(f"{given}: {_first_line(error)}; {instead}") from error
    lines = "".join(f"{sha256_file(path)}  {path.name}\n" for path in files)
    return model, _identity(folder.name, hashlib.sha256(lines.encode()).hexdigest(), config, extractor)


def _from_hub(hub_id: str, revision: str):
    """(model, identity); the identity's revision is the hub's commit."""
    from speechemb import hub

    given = f"--model {hub_id}" + (f"@{revision}" if revision != "main" else "")
    with hub.readable(given, hub_id, "model", "give a folder written by save_pretrained"):
        commit = hub.commit(hub_id, "model", revision)
        model, config, extractor = _pretrained(given, hub_id, commit)
    return model, _identity(hub_id, commit, config, extractor)


def _identity(name: str, revision: str, config, extractor) -> dict:
    return {
        "name": name,
        "revision": revision,
        "model_type": config.model_type,
        "n_layers": config.num_hidden_layers,
        "dim": config.hidden_size,
        "do_normalize": extractor.do_normalize,
        "sampling_rate": extractor.sampling_rate,
    }


def _pretrained(given: str, source: str, revision: str | None):
    """(model in fp32, config, feature extractor) through transformers, which runs no code of the repository.

    Raises InputError for what was found and cannot be used; a source that cannot be had stays transformers' error.
    """
    # transformers would ask the hub, in a thread, to convert a repository that only has a .bin
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    import transformers
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    transformers.logging.set_verbosity_error()  # what it would warn of is checked here
    try:
        config = transformers.AutoConfig.from_pretrained(source, revision=revision)
        if config.model_type not in MODEL_TYPES:
            raise InputError(f"{given}: is a {config.model_type} model; give one of type {', '.join(MODEL_TYPES)}")
        model, info = transformers.AutoModel.from_pretrained(
            source, config=config, revision=revision, dtype=torch.float32, output_loading_info=True
        )
        extractor = transformers.AutoFeatureExtractor.from_pretrained(source, revision=revision)
    except SafetensorError as error:
        raise InputError(f"{given}: weights are truncated ({_first_line(error)}); get them again") from error
    except (UnpicklingError, EOFError) as error:
        raise InputError(f"{given}: pytorch_model.bin holds something other than weights; get it again") from error
    except RuntimeError as error:  # shapes that differ, a truncated .bin
        raise InputError(f"{given}: weights do not fit config.json or are truncated; get both files again") from error
    except (StrictDataclassError, KeyError) as error:
        raise InputError(f"{given}: config.json is not valid ({_first_line(error)}); get it again") from error
    _check_weights(given, info)
    _check_extractor(given, extractor)
    return model, config, extractor


def _check_weights(given: str, info: dict) -> None:
    """transformers only warns of weights that are missing, and makes random ones."""
    missing = sorted(key for key in info["missing_keys"] if key != "masked_spec_embed")  # it serves training only
    too_many = sorted(key for key in info["unexpected_keys"] if "encoder.layers." in key)
    if missing or too_many:
        what = (
            f"lack {first(missing, 2)}" if missing else f"hold {first(too_many, 2)}, which config.json does not ask for"
        )
        raise InputError(f"{given}: weights do not fit config.json: they {what}; get both files again")


def _check_extractor(given: str, extractor) -> None:
    if type(extractor).__name__ != "Wav2Vec2FeatureExtractor" or not isinstance(extractor.do_normalize, bool):
        raise InputError(f"{given}: preprocessor_config.json is not a Wav2Vec2FeatureExtractor's; get it again")
    if extractor.sampling_rate != SAMPLE_RATE:
        raise InputError(f"{given}: expects {extractor.sampling_rate} Hz audio; give an encoder for {SAMPLE_RATE} Hz")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(":. ")
