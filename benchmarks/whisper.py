"""Speed of Whisper's encoder in step 2, in both contexts, against transformers and against faster-whisper.

Reads   folders with Whispers (--models), the clip lengths of CREMA-D (--durations, as in extraction.py)
Writes  a table, and with --out a JSON file

Clips are noise of CREMA-D's real lengths. Every method sees the same clips and pools over the clip's own frames: the
mean of every layer, faster-whisper of the last one, because its encoder gives no other. The methods take turns, round
by round; figures are medians over the rounds.

    single          transformers fp32, one clip at a time; with `clip`, its modules over the log-mel of the clip alone
    padded          transformers fp32, batches of 8 in file order; `window` only, as Whisper masks nothing
    faster-whisper  its feature extractor and the encoder of CTranslate2 in fp32, one clip per core at a time
    ours            this project, --precision fp32

faster-whisper is left out where it is not installed (pip install faster-whisper). The limit is the rate of matrix
products alone over the FLOPs per second of audio that have to be computed: in the last layer those of the clip's own
frames, and no convolution over the silence.

Example: python benchmarks/whisper.py --models ../shared/encoder/whisper-base --rounds 3
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from extraction import RATE, ROOT, candidates, described_machine, made_clips

HOP, POSITIONS = 160, 1500  # samples per frame of the log-mel; frames of a window that the blocks see


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = ROOT.parent / "shared"
    folders = [shared / "encoder" / name for name in ("whisper-tiny.en", "whisper-base")]
    parser.add_argument("--models", nargs="+", type=Path, default=folders, help="folders of Whispers")
    parser.add_argument("--contexts", nargs="+", choices=("window", "clip"), default=["window", "clip"])
    parser.add_argument("--durations", type=Path, default=shared / "data" / "crema_d_metadata" / "durations.csv")
    parser.add_argument("--audio-seconds", type=float, default=60, help="audio in a round")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds; a short one before them warms up")
    parser.add_argument("--cpu-time", action="store_true", help="processor time of one thread, if others compute too")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args(argv)
    if missing := [str(path) for path in (*args.models, args.durations) if not path.exists()]:
        parser.error(f"{missing[0]} is not there: name another one with --models or --durations")
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    import torch
    from transformers.utils import logging

    if args.cpu_time:
        torch.set_num_threads(1)
    clock = time.process_time if args.cpu_time else time.perf_counter
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # folders may lack the decoder
    clips = made_clips(args.durations, args.audio_seconds)
    machine, results = described_machine(), []
    print("  ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    with tempfile.TemporaryDirectory() as converted:
        for model in args.models:
            peer = faster_whisper(model, Path(converted) / model.name)
            for context in args.contexts:
                results.append(measured(model, context, clips, peer, args.rounds, clock))
                print_result(results[-1])
    if args.out:
        args.out.write_text(json.dumps({**machine, "rounds": args.rounds, "models": results}, indent=2) + "\n")


def measured(model: Path, context: str, clips: list, peer, rounds: int, clock) -> dict:
    """Rates of all methods and of matrix products alone, each round in turn."""
    from speechemb import encoders

    encoder = encoders.load(str(model), "cpu", "fp32", context)
    runs = {**plain(model, context), "ours": partial(ours, encoder)}
    if peer:
        runs["faster-whisper"] = partial(peer, context)
    seconds, config = sum(map(len, clips)) / RATE, encoder._network.config
    flops = sum(flops_of(len(clip), config, context) for clip in clips) / seconds
    rates: dict[str, list[float]] = {method: [] for method in runs}
    limits = []
    for run in runs.values():
        run(clips[:2])
    for _ in range(rounds):
        limits.append(product_rate(config, clock) / flops)
        for method, run in runs.items():
            start = clock()
            run(clips)
            rates[method].append(seconds / (clock() - start))
    others = [max(values) for values in zip(*(rates[method] for method in runs if method != "ours"), strict=True)]
    return {
        "model": model.name,
        "context": context,
        "audio seconds per second": {method: statistics.median(values) for method, values in rates.items()},
        "GFLOP per audio second": flops / 1e9,
        "limit": statistics.median(limits),
        "ours / limit": statistics.median(a / b for a, b in zip(rates["ours"], limits, strict=True)),
        "ours / fastest other": statistics.median(a / b for a, b in zip(rates["ours"], others, strict=True)),
    }


def print_result(result: dict) -> None:
    rates = "  ".join(f"{method} {rate:.2f}" for method, rate in result["audio seconds per second"].items())
    print(f"{result['model']:16} {result['context']:7} audio s/s: {rates}")
    print(
        f"{'':24} {result['GFLOP per audio second']:.1f} GFLOP per audio s, limit {result['limit']:.2f}; ours: "
        f"{result['ours / limit']:.0%} of the limit, {result['ours / fastest other']:.2f} x the fastest other",
        flush=True,
    )


# ---------------------------------------------------------------------------------------------------- the methods


def ours(encoder, clips: list) -> None:
    """Step 2 without decoding and writing."""
    import numpy as np

    from speechemb.encoders.batching import in_order, plan_batches

    layers = list(range(encoder.n_layers + 1))
    batches = plan_batches(np.array([len(clip) / RATE for clip in clips]), encoder.batch_seconds)
    list(
        in_order(
            lambda batch: encoder.embed([clips[i] for i in batch], layers, ["mean"]),
            batches,
            encoder.workers,
            start=encoder.start_worker,
        )
    )


def plain(folder: Path, context: str) -> dict:
    """name -> function of the clips: transformers' encoder, as its documentation uses it."""
    import torch
    import transformers

    extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
    whole = transformers.WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    model = whole.model.encoder.eval()

    def run(size: int, clips: list) -> None:
        for start in range(0, len(clips), size):
            batch = clips[start : start + size]
            features = extractor(batch, sampling_rate=RATE, return_tensors="pt").input_features
            with torch.inference_mode():
                if context == "clip":
                    states = of_the_clip(model, features[..., : len(batch[0]) // HOP])
                else:
                    states = model(features, output_hidden_states=True).hidden_states
                for clip, *layers in zip(batch, *states, strict=True):
                    torch.stack([layer[: own_frames(len(clip))].mean(dim=0) for layer in layers]).numpy()

    return {"single": partial(run, 1)} | ({"padded": partial(run, 8)} if context == "window" else {})


def of_the_clip(model, features) -> list:
    """The hidden states of one clip alone; `forward` of transformers takes windows of 30 s only."""
    from torch.nn.functional import gelu

    x = gelu(model.conv2(gelu(model.conv1(features)))).transpose(1, 2)
    states = [x + model.embed_positions.weight[: x.shape[1]]]
    for layer in model.layers:
        states.append(layer(states[-1], None))
    return [*states[:-1], model.layer_norm(states[-1])]


def faster_whisper(folder: Path, converted: Path):
    """A function of context and clips: faster-whisper's features, CTranslate2's encoder; None where not installed."""
    if not (find_spec("faster_whisper") and find_spec("ctranslate2")):
        print("faster-whisper is not installed (pip install faster-whisper): its column is left out", file=sys.stderr)
        return None
    import ctranslate2
    import numpy as np
    import torch
    from faster_whisper.audio import pad_or_trim
    from faster_whisper.feature_extractor import FeatureExtractor

    bins, cores = convert(folder, converted), torch.get_num_threads()
    extractor = FeatureExtractor(bins)
    model = ctranslate2.models.Whisper(str(converted), "cpu", inter_threads=cores, intra_threads=1)

    def encode(context: str, clip) -> None:
        features = extractor(clip)
        features = pad_or_trim(features, 2 * POSITIONS) if context == "window" else features[:, : len(clip) // HOP]
        view = ctranslate2.StorageView.from_array(np.ascontiguousarray(features[None]))
        np.array(model.encode(view))[0, : own_frames(len(clip))].mean(axis=0)

    def run(context: str, clips: list) -> None:
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(partial(encode, context), clips))

    return run


def convert(folder: Path, converted: Path) -> int:
    """Write a CTranslate2 model; the number of mel bands. What ct2-transformers-converter does, which also needs a
    tokenizer: an encoder does not, and a decoder that the folder lacks stays random."""
    import torch
    import transformers
    from ctranslate2.converters.transformers import WhisperLoader

    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    spec = WhisperLoader().get_model_spec(model)
    spec.register_vocabulary([f"<{i}>" for i in range(model.config.vocab_size)])
    spec.validate()
    spec.optimize(quantization="float32")
    converted.mkdir()
    spec.save(str(converted))
    return model.config.num_mel_bins


# ------------------------------------------------------------------------------------------------------- the limit


def own_frames(samples: int) -> int:
    """Frames of a clip that the blocks see, without those of the silence after it."""
    return (samples // HOP - 1) // 2 + 1


def flops_of(samples: int, config, context: str) -> float:
    """Floating-point operations of one clip, as far as its pooled layers depend on them."""
    d, inner = config.d_model, config.encoder_ffn_dim
    own = own_frames(samples)
    frames = POSITIONS if context == "window" else own
    total = 2 * own * (2 * 3 * config.num_mel_bins * d + 3 * d * d)
    for n in range(config.encoder_layers):
        asking = own if n == config.encoder_layers - 1 else frames
        total += 2 * frames * 2 * d * d + 2 * asking * (2 * d * d + 2 * d * inner) + 4 * asking * frames * d
    return total


def product_rate(config, clock) -> float:
    """FLOP/s of the products of one block alone, with MKL (torch's own) or oneDNN's packed weights, on all cores."""
    import torch

    d, inner = config.d_model, config.encoder_ffn_dim
    flops = seconds = 0.0
    with torch.inference_mode():
        for n_in, n_out in ((d, 3 * d), (d, d), (d, inner), (inner, d)):
            x, weight = torch.randn(POSITIONS, n_in), torch.randn(n_out, n_in)
            best = float("inf")
            for product in candidates(weight):
                for _ in range(7):
                    start = clock()
                    product(x)
                    best = min(best, clock() - start)
            flops += 2 * POSITIONS * n_in * n_out
            seconds += best
    return flops / seconds


if __name__ == "__main__":
    main()
