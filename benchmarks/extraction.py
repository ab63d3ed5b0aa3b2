"""Speed of the extraction against transformers used plainly, and against what the processor can do.

Reads   the clip lengths of CREMA-D (../shared/data/crema_d_metadata/durations.csv, or --durations CSV)
Writes  a table, and with --out a JSON file

Encoders have random weights of the true shapes (speed does not depend on the weights), clips are noise of CREMA-D's
real lengths. Every method sees the same clips and gives the mean over frames of every layer. The methods take turns,
round by round, so that whatever else the machine does hits them alike; figures are medians over the rounds.

    single    transformers fp32, one clip at a time
    padded    transformers fp32, padded batches of 8 in file order
    fp32      this project, --precision fp32
    auto      this project, --precision auto
    int8      this project, --precision int8, only if --methods names it

The limit is the rate of matrix products alone, at the precision of `auto` and the shapes of the model, over the
model's FLOPs per second of audio.

On a processor with AVX-512, `--isa avx2` keeps torch, oneDNN and MKL to the instructions that most laptops have.

Example: python benchmarks/extraction.py --models hubert-base --rounds 5 --out extraction.json
"""

import argparse
import csv
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

MODELS = {"wavlm-base": ("wavlm", "base"), "hubert-base": ("hubert", "base"), "hubert-large": ("hubert", "large")}
DEFAULT = ("single", "padded", "fp32", "auto")
METHODS = (*DEFAULT, "int8")
RATE = 16_000
# read by torch, oneDNN and MKL when they start
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    lengths = ROOT.parent / "shared" / "data" / "crema_d_metadata" / "durations.csv"
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(DEFAULT))
    parser.add_argument("--durations", type=Path, default=lengths, help="CSV with a column `seconds`, a row a clip")
    parser.add_argument("--audio-seconds", type=float, default=60, help="audio in a round")
    parser.add_argument("--batch-seconds", type=float, help="as in step 2")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds; one more warms up")
    parser.add_argument("--threads", type=int, help="default: torch's choice")
    parser.add_argument("--isa", choices=["avx2"], help="leave out newer instructions; default: all that there are")
    parser.add_argument("--cpu-time", action="store_true", help="count processor time: for a machine that is not quiet")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    os.environ.update(AVX2 if args.isa else {})
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    if args.threads:
        torch.set_num_threads(args.threads)
    clips = made_clips(args.durations, args.audio_seconds)
    machine, results = described_machine(), []
    print("  ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in args.models:
            results.append(measured(name, Path(folder) / name, clips, args))
            print_result(results[-1])
    if args.out:
        machine["rounds"] = args.rounds
        args.out.write_text(json.dumps({**machine, "models": results}, indent=2) + "\n")


def described_machine() -> dict:
    """What the figures depend on besides the code."""
    import torch
    import transformers

    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line for line in cpuinfo.splitlines() if line.startswith("model name")]
    return {
        "processor": names[0].partition(": ")[2] if names else platform.processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def made_clips(durations: Path, audio_seconds: float) -> list:
    """Noise of randomly drawn CREMA-D lengths, `audio_seconds` in total, in file order (that is, any order)."""
    import numpy as np

    with open(durations, newline="") as file:
        lengths = [float(row["seconds"]) for row in csv.DictReader(file)]
    rng = np.random.default_rng(0)
    clips = []
    while sum(map(len, clips)) < audio_seconds * RATE:
        clips.append(rng.normal(0, 0.1, int(rng.choice(lengths) * RATE)).astype("float32"))
    return clips


def measured(name: str, folder: Path, clips: list, args: argparse.Namespace) -> dict:
    """Rates of all methods and of matrix products alone, each round in turn."""
    from processes import make_model

    clock = time.process_time if args.cpu_time else time.perf_counter
    make_model(folder, *MODELS[name])
    runs, encoder = methods(folder, args)
    flops = flops_per_second(encoder, clips)
    seconds = sum(map(len, clips)) / RATE
    rates: dict[str, list[float]] = {method: [] for method in (*runs, "product GFLOP/s")}
    for number in range(args.rounds + 1):
        for method, run in runs.items():
            start = clock()
            run(clips)
            rates[method].append(seconds / (clock() - start))
        rates["product GFLOP/s"].append(product_rate(encoder, clock) / 1e9)
        if number == 0:  # a warm-up: kernels are generated, `auto` settles its precision
            rates = {method: [] for method in rates}
    return summary(name, rates, flops, encoder.precision if encoder else "")


def summary(name: str, rates: dict[str, list[float]], flops: float, precision: str) -> dict:
    middle = {method: statistics.median(values) for method, values in rates.items()}
    plain = [max(pair) for pair in zip(rates.get("single", []), rates.get("padded", []), strict=False)]
    limit = [rate * 1e9 / flops for rate in rates["product GFLOP/s"]]
    result = {
        "model": name,
        "precision of auto": precision,
        "audio seconds per second": {m: middle[m] for m in METHODS if m in middle},
        "GFLOP per audio second": flops / 1e9,
        "product GFLOP/s": middle["product GFLOP/s"],
        "limit": statistics.median(limit),
    }
    if "auto" in rates:
        result["auto / limit"] = statistics.median(a / b for a, b in zip(rates["auto"], limit, strict=True))
    for method in rates.keys() & {"auto", "int8"} if plain else ():
        faster = [a / b for a, b in zip(rates[method], plain, strict=True)]
        result[f"{method} / better plain"] = statistics.median(faster)
    return result


def print_result(result: dict) -> None:
    rates = "  ".join(f"{method} {rate:.1f}" for method, rate in result["audio seconds per second"].items())
    print(f"{result['model']:13} audio s/s: {rates}")
    products = f"products {result['product GFLOP/s']:.0f} GFLOP/s in {result['precision of auto']}"
    print(f"{'':13} {result['GFLOP per audio second']:.1f} GFLOP per audio s, {products}: limit {result['limit']:.1f}")
    if "auto / limit" in result:
        faster = result.get("auto / better plain", float("nan"))
        print(
            f"{'':13} auto: {result['auto / limit']:.0%} of the limit, {faster:.2f} x the better plain run", flush=True
        )
    if "int8 / better plain" in result:
        print(f"{'':13} int8: {result['int8 / better plain']:.2f} x the better plain run", flush=True)


def methods(folder: Path, args: argparse.Namespace):
    """name -> function of the clips; and the encoder of `auto`."""
    import torch
    import transformers

    from speechemb import encoders
    from speechemb.encoders.batching import in_order, plan_batches

    runs, model = {}, None
    if {"single", "padded"} & set(args.methods):
        model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)

    def plain(clips: list, size: int) -> None:
        for start in range(0, len(clips), size):
            batch = extractor(clips[start : start + size], sampling_rate=RATE, padding=True, return_tensors="pt")
            with torch.inference_mode():
                states = model(**batch, output_hidden_states=True).hidden_states
                torch.stack([state.mean(dim=1) for state in states]).numpy()

    def ours(encoder, clips: list) -> None:
        import numpy as np

        durations, layers = np.array([len(clip) / RATE for clip in clips]), list(range(encoder.n_layers + 1))
        batches = plan_batches(durations, args.batch_seconds or encoder.batch_seconds)

        def embed(batch):
            return encoder.embed([clips[i] for i in batch], layers, ["mean"])

        list(in_order(embed, batches, encoder.workers, not encoder.settled, encoder.start_worker))

    auto = encoders.load(str(folder), "cpu", "auto")
    fixed = {name: encoders.load(str(folder), "cpu", name) for name in ("fp32", "int8") if name in args.methods}
    runs = {
        "single": lambda clips: plain(clips, 1),
        "padded": lambda clips: plain(clips, 8),
        "fp32": lambda clips: ours(fixed["fp32"], clips),
        "auto": lambda clips: ours(auto, clips),
        "int8": lambda clips: ours(fixed["int8"], clips),
    }
    return {method: runs[method] for method in args.methods}, auto


def products(encoder) -> list[tuple[int, int, int, float]]:
    """(rows for 20 s of audio, in, out, how often) of the model's large matrix products."""
    config = encoder._network.config
    d, inner, frames, rows = config.hidden_size, config.intermediate_size, 1000, 1000
    blocks = config.num_hidden_layers
    found = [(frames, d, 3 * d, blocks), (frames, d, d, blocks), (frames, d, inner, blocks), (frames, inner, d, blocks)]
    for kernel, stride, n_in, n_out in reversed(
        list(zip(config.conv_kernel[1:], config.conv_stride[1:], config.conv_dim, config.conv_dim[1:], strict=False))
    ):
        found.append((min(rows, 8000), kernel * n_in, n_out, rows / min(rows, 8000)))
        rows *= stride
    return found


def product_rate(encoder, clock) -> float:
    """FLOP/s of the model's matrix products alone, weighted as the model has them: the better of torch's plain product
    and oneDNN's with packed weights."""
    import torch

    dtype = encoder._network.dtype
    flops = seconds = 0.0
    for rows, n_in, n_out, times in products(encoder):
        x, weight = torch.randn(rows, n_in).to(dtype), torch.randn(n_out, n_in).to(dtype)
        best = float("inf")
        with torch.inference_mode():
            for product in candidates(weight):
                for _ in range(7):
                    start = clock()
                    product(x)
                    best = min(best, clock() - start)
        flops += times * 2 * rows * n_in * n_out
        seconds += times * best
    return flops / seconds


def candidates(weight) -> list:
    """The functions that multiply by this weight: torch's, and oneDNN's on the processors that it is made for."""
    import torch

    found = [lambda x: torch.nn.functional.linear(x, weight)]
    if platform.machine() in ("x86_64", "AMD64"):
        packed = torch.ops.mkldnn._reorder_linear_weight(weight)
        found.append(lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], ""))
    return found


def flops_per_second(encoder, clips: list) -> float:
    """Floating-point operations of one forward pass over the clips, counted from the shapes, per second of audio."""
    config = encoder._network.config
    d, inner = config.hidden_size, config.intermediate_size
    total = 0
    for clip in clips:
        length, n_in = len(clip), 1
        for kernel, stride, n_out in zip(config.conv_kernel, config.conv_stride, config.conv_dim, strict=True):
            length = (length - kernel) // stride + 1
            total += 2 * length * kernel * n_in * n_out
            n_in = n_out
        total += 2 * length * n_in * d
        total += 2 * length * d * (d // config.num_conv_pos_embedding_groups) * config.num_conv_pos_embeddings
        total += config.num_hidden_layers * (2 * length * (4 * d * d + 2 * d * inner) + 4 * length * length * d)
    return total / (sum(map(len, clips)) / RATE)


if __name__ == "__main__":
    main()
