"""A pretrained speech encoder: recordings in, pooled hidden states of every layer out."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from speechemb.audio.decoding import SAMPLE_RATE
from speechemb.encoders import PRECISIONS, pretrained
from speechemb.encoders.kernels import quantises
from speechemb.encoders.names import locate
from speechemb.encoders.pooling import Statistics, frame_statistics, merge, pool
from speechemb.encoders.windows import WINDOW_S, Waveform, windows
from speechemb.errors import InputError

log = logging.getLogger(__name__)

REVISION = "1"  # of the forward pass and the pooling: raised when they give other numbers for the same model and clip
CPU_BATCH_S = 10  # seconds of audio per batch where every core takes a batch: the activations stay in its cache
FORWARD_S = 120  # seconds of audio in one pass of the network at most, however large the batch
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.int8}
_NEEDS = {  # precision -> what it needs; what to use without; what fp32 in its place does
    "fp16": ("a CUDA device", "auto, bf16 or fp32 here", "may change the last digits"),
    "int8": ("an x86 CPU", "auto, or --device cpu on such a machine", "changes the embeddings a little"),
}
CHECKED_CLIPS = 4  # of the first batch, in int8 and where `auto` has chosen half precision
MIN_COSINE = 0.999  # of a clip's hidden state to the fp32 one; below it `auto` continues in fp32, and int8 warns


class PretrainedEncoder:
    """A loaded model. `precision` is the one in use; with "auto" it is settled only after the first `embed`.

    To repeat the choice of an earlier run without a check, pass its `precision` to `load`.
    """

    own_pooling: list[str] | None = None
    reads_audio = True

    def __init__(self, model: Any, identity: dict[str, Any], device: torch.device, precision: str) -> None:
        self.identity = {**identity, "window_s": WINDOW_S, "forward": REVISION}
        self.n_layers = identity["n_layers"]
        self.dim = identity["dim"]
        self.device = device
        on_cpu = device.type == "cpu"
        self.workers = (
            torch.get_num_threads() if on_cpu else 2
        )  # elsewhere one batch is decoded while the other is computed
        self.batch_seconds = CPU_BATCH_S if on_cpu else FORWARD_S
        self.precision = _preferred(device) if precision == "auto" else precision
        self._reference: Any = None
        network = pretrained.network_of(identity)
        model = model.eval().requires_grad_(False).to(device)
        if self.precision == "int8" or (precision == "auto" and self.precision != "fp32"):
            self._reference = network(model, torch.float32)
        # Cast here, never under inference_mode: weights made there miss torch's fast bf16 paths.
        self._network = network(model, _DTYPES[self.precision])

    @property
    def settled(self) -> bool:
        """Whether the precision is final: with "auto" only after the first `embed`."""
        return self._reference is None or self.precision == "int8"

    def start_worker(self) -> None:
        """One thread of torch in this thread: a product on one core does not wait for others, and comes out the same
        on any number of cores."""
        torch.set_num_threads(1)

    def embed(self, waveforms: Sequence[Waveform], layers: list[int], methods: list[str]) -> np.ndarray:
        """Pooled hidden states (B, len(layers), dim * len(methods)) float32.

        `waveforms`: 16 kHz mono, as float32 arrays or as recordings that are read window by window. Layer n is
        `hidden_states[n]` in transformers. Layer 0: the projected CNN features, with the positional convolution added;
        layer n: the output of the n-th block. In models with `do_stable_layer_norm` the last layer is taken before the
        final layer norm, in Whisper and Moonshine after it.

        Raises:
            ValueError: a layer that the model does not have, or a clip too short for one frame.
        """
        missing = [n for n in layers if not 0 <= n <= self.n_layers]
        if missing:
            raise ValueError(f"the encoder has layers 0 to {self.n_layers}, not {missing[0]}")
        for wave in waveforms:
            if self._network.frames(len(wave)) < 1:
                raise ValueError(f"a clip of {len(wave)} samples is too short for one frame")
        with torch.inference_mode():
            statistics = self._statistics(waveforms, sorted(set(layers)), methods)
            pooled = {n: pool(s, methods).cpu() for n, s in statistics.items()}
        return torch.stack([pooled[n] for n in layers], dim=1).numpy()

    def _windows(self, waveforms: Sequence[Waveform]) -> Iterator[tuple[int, torch.Tensor]]:
        """The windows of all recordings in order, each with its recording's number."""
        for number, wave in enumerate(waveforms):
            for window in windows(wave, self.identity["do_normalize"]):
                yield number, torch.tensor(window, dtype=torch.float32)

    def _statistics(
        self, waveforms: Sequence[Waveform], layers: list[int], methods: list[str]
    ) -> dict[int, Statistics]:
        """Frame statistics of every recording at every layer in `layers`, one row per recording."""
        found: dict[int, list[Statistics | None]] = {n: [None] * len(waveforms) for n in layers}
        for numbers, waves in _passes(self._windows(waveforms), self._network.cost):
            self._check(waves, layers[-1])
            for n, stretches in enumerate(self._network.layers(waves, layers[-1])):
                if n in found:
                    rows = _rows(frame_statistics(hidden, None, methods) for hidden in stretches)
                    for number, row in zip(numbers, rows, strict=True):
                        before = found[n][number]
                        found[n][number] = row if before is None else merge([before, row])
        return {
            n: {key: torch.cat([row[key] for row in rows if row]) for key in rows[0] or ()} for n, rows in found.items()
        }

    def _check(self, waves: list[torch.Tensor], last: int) -> None:
        """Compare clips of the first batch with fp32. Where one differs too much, int8 warns, and "auto" continues in
        fp32."""
        reference, self._reference = self._reference, None
        if reference is None:
            return
        waves = waves[:CHECKED_CLIPS]
        pairs = zip(self._network.layers(waves, last), reference.layers(waves, last), strict=True)
        worst = [_least_cosine(low, full) for low, full in pairs]
        off = [n for n, cosine in enumerate(worst) if not cosine >= MIN_COSINE]  # also where one is NaN
        if not off:
            return
        if self.precision == "int8":
            by_layer = " ".join(f"{cosine:.4f}" for cosine in worst)
            log.warning("int8: the least cosine to fp32, by layer, is %s; compare with --precision fp32", by_layer)
            return
        log.warning("%s: cosine to fp32 is %.4f at layer %d; continuing in fp32", self.precision, worst[off[0]], off[0])
        self._network, self.precision = reference, "fp32"


def _least_cosine(low: list[torch.Tensor], full: list[torch.Tensor]) -> float:
    """The least cosine of a clip's hidden states, in stretches (n, T, D), to those of the reference; NaN if one is."""
    cosines = [F.cosine_similarity(a.flatten(1).float(), b.flatten(1), dim=1) for a, b in zip(low, full, strict=True)]
    return torch.cat(cosines).min().item()


def _passes(
    windows: Iterable[tuple[int, torch.Tensor]], cost: Callable[[int], int]
) -> Iterator[tuple[list[int], list[torch.Tensor]]]:
    """The numbered windows in order, divided into passes of at most FORWARD_S of audio: their numbers, the windows.

    `cost`: the number of samples that the network computes for a window of so many.
    """
    numbers: list[int] = []
    waves: list[torch.Tensor] = []
    total = 0
    for number, window in windows:
        size = cost(len(window))
        if waves and total + size > FORWARD_S * SAMPLE_RATE:
            yield numbers, waves
            numbers, waves, total = [], [], 0
        numbers.append(number)
        waves.append(window)
        total += size
    if waves:
        yield numbers, waves


def _rows(stretches: Iterable[Statistics]) -> Iterator[Statistics]:
    """The statistics of each window alone, (1, D), from those of stretches of windows."""
    for statistics in stretches:
        for i in range(len(statistics["n"])):
            yield {key: value[i : i + 1] for key, value in statistics.items()}


def _preferred(device: torch.device) -> str:
    """The precision that `auto` tries: on a CPU, bf16 only if the processor has bf16 arithmetic."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type != "cpu" or not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return "fp32"  # ATEN_CPU_CAPABILITY=avx2 keeps torch from using what the processor has
    capable = torch.cpu.get_capabilities()
    return "bf16" if capable.get("avx512_bf16") or capable.get("amx_bf16") else "fp32"


def load_pretrained(model: str, device: str, precision: str, context: str | None = None) -> PretrainedEncoder:
    """The encoder named by a tag, a hub id with optional `@revision`, or a folder (an existing folder wins).

    Raises:
        InputError: see `encoders.load`.
    """
    chosen = _device(device)
    if precision not in ("auto", *PRECISIONS):
        raise InputError(f"--precision {precision}: choose from auto, {', '.join(PRECISIONS)}")
    if not _computes_in(precision, chosen):
        need, instead, _ = _NEEDS[precision]
        raise InputError(f"--precision {precision} needs {need}: use --precision {instead}")
    place = locate(model)
    if isinstance(place, Path):
        loaded = pretrained.from_folder(place, context)
    else:
        loaded = pretrained.from_hub(*place, context)
    if precision == "int8":
        pretrained.check_quantises(loaded[1]["model_type"])
    return PretrainedEncoder(*loaded, chosen, precision)


def available_precision(precision: str, device: str) -> str:
    """`precision`, or fp32 where the device does not compute in it."""
    if _computes_in(precision, _device(device)):
        return precision
    need, _, effect = _NEEDS[precision]
    log.warning("%s needs %s; computing in fp32 here, which %s", precision, need, effect)
    return "fp32"


def _computes_in(precision: str, device: torch.device) -> bool:
    if precision == "fp16":
        return device.type == "cuda"
    return precision != "int8" or quantises(device)


def _device(device: str) -> torch.device:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = next(name for name, there in available.items() if there)
    if not available.get(device.partition(":")[0]):
        raise InputError(f"--device {device} is not available here: use --device auto or cpu")
    return torch.device(device)
