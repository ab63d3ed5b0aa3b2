"""How time and peak memory of steps 1 to 3 grow with the number of clips: 1,000, 10,000 and 100,000 short ones.

With --train, time and peak memory of step 3 alone on planted embeddings of a given size, such as 100000 8192.

Writes  a table, and with --out a JSON file; clips and results go to a temporary folder (1 GB for 100,000 clips)

Clips are 0.2 to 0.4 s of noise, by `--speakers` in four classes; the encoder is a small WavLM of random weights with
hidden states of 768 numbers, so that the rows have their real size. What is measured is the cost of a clip beside the
network, and whether anything is held that grows. Every step runs in a process of its own.

Example: python benchmarks/scale.py --clips 1000 10000 100000 --out scale.json
         python benchmarks/scale.py --train 100000 8192 --classifiers mlp --steps 1 --n-folds 2
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

EMOTIONS = ("neutral", "happy", "sad", "angry")
RATE = 16_000


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="+", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--speakers", type=int, default=40)
    parser.add_argument("--classifier", default="mlp", help="of step 3")
    parser.add_argument("--train", nargs=2, type=int, metavar=("CLIPS", "FEATURES"), help="step 3 alone, of this size")
    parser.add_argument("--classifiers", nargs="+", default=["mlp", "logistic"], help="of --train")
    parser.add_argument("--steps", type=int, default=1000, help="of --train: epochs, iterations, rounds")
    parser.add_argument("--n-folds", type=int, default=5, help="of --train")
    parser.add_argument("--quick", action="store_true", help="200 and 400 clips")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args(argv)
    if args.quick:
        args.clips = [200, 400]
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    if args.train:
        return train(args)
    from processes import make_model

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "encoder"
        make_model(model, "wavlm", "tiny_group", hidden_size=768, num_attention_heads=12)
        for clips in args.clips:
            rows.append({"clips": clips, **measured(args, Path(folder) / str(clips), clips, model)})
            print_row(rows[-1])
    if args.out:
        args.out.write_text(json.dumps({"classifier": args.classifier, "rows": rows}, indent=2) + "\n")


def train(args: argparse.Namespace) -> None:
    """Print wall time and peak memory of step 3, a line per classifier. The npz goes to a temporary folder."""
    from processes import ROOT, timed

    clips, features = args.train
    limit = "; ".join(
        [
            "import runpy, sys",
            "from speechemb.classifiers import logistic, mlp",
            "from xgboost import XGBModel",
            f"mlp.MAX_EPOCHS, logistic.MAX_ITERATIONS = min({args.steps}, mlp.MAX_EPOCHS), {args.steps}",
            f"XGBModel.get_num_boosting_rounds = lambda self: min({args.steps}, self.n_estimators)",
            "del sys.argv[0]",
            "runpy.run_path(sys.argv[0], run_name='__main__')",
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        npz = Path(folder) / "embeddings.npz"
        # In a process of its own, whose memory is not counted.
        code = "import sys, scale; scale.make_npz(sys.argv[1], *map(int, sys.argv[2:]))"
        folders = os.pathsep.join(str(ROOT / name) for name in ("benchmarks", "tests/support"))
        making = [sys.executable, "-c", code, npz, clips, features, args.speakers]
        subprocess.run([str(word) for word in making], check=True, env={**os.environ, "PYTHONPATH": folders})
        for name in args.classifiers:
            flags = ["--npz-path", npz, "--classifier", name, "--n-folds", args.n_folds, "--results-dir", folder]
            script = ROOT / "src" / "3_train_classifiers.py"
            command = [script, *flags, "--models-dir", Path(folder) / "models"]
            seconds, megabytes = timed([sys.executable, "-c", limit, *map(str, command)])
            print(
                f"{clips} x {features}, {name}, {args.n_folds} folds: {seconds:.0f} s, {megabytes:.0f} MB", flush=True
            )


class Planted:
    """Rows (n, 1, features) float32 of noise with an offset for each class, made when they are read."""

    ndim, dtype = 3, np.dtype(np.float32)

    def __init__(self, numbers: np.ndarray, features: int) -> None:
        self.numbers, self.shape = numbers, (len(numbers), 1, features)
        self.means = 0.05 * np.random.default_rng(0).standard_normal((len(EMOTIONS), features), np.float32)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: slice) -> np.ndarray:
        numbers = self.numbers[rows]
        noise = np.random.default_rng(rows.start + 1).standard_normal((len(numbers), self.shape[2]), np.float32)
        return (noise + self.means[numbers])[:, None]


def make_npz(path: str | Path, clips: int, features: int, speakers: int) -> None:
    """An npz as step 2 writes it, of planted rows."""
    import made  # of tests/support

    order = np.arange(clips)
    rows = Planted(order // speakers % len(EMOTIONS), features)
    made.npz(Path(path), rows, np.array(EMOTIONS)[rows.numbers], [f"s{one}" for one in order % speakers])


def measured(args: argparse.Namespace, folder: Path, clips: int, model: Path) -> dict:
    """Audio seconds, the npz's size, and of every step seconds and peak memory."""
    from processes import run

    audio = make_corpus(folder, clips, args.speakers)
    npz, table = folder / "embeddings.npz", folder / "corpus.csv"
    steps = {
        "step 1": ("1_data_preprocessing.py", "--corpora", f"table:{table}", "--out-dir", folder / "out"),
        "step 2": ("2_wavlm_feature_extraction.py", "--metadata", folder / "out" / table.name, "--model", model,
                   "--out", npz),
        "step 3": ("3_train_classifiers.py", "--npz-path", npz, "--classifier", args.classifier,
                   "--results-dir", folder / "results", "--models-dir", folder / "models"),
    }  # fmt: skip
    found = {"audio seconds": audio}
    for step, command in steps.items():
        seconds, megabytes = run(*command)
        found[step] = {"seconds": seconds, "peak MB": megabytes}
    return {**found, "npz MB": npz.stat().st_size / 2**20}


def make_corpus(folder: Path, clips: int, speakers: int) -> float:
    """`corpus.csv` and its clips, all different; seconds of audio."""
    import soundfile as sf

    (folder / "clips").mkdir(parents=True)
    rng, total = np.random.default_rng(0), 0
    with open(folder / "corpus.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "emotion", "speaker"])
        for number in range(clips):
            wave = rng.integers(-3000, 3000, size=rng.integers(RATE // 5, 2 * RATE // 5), dtype=np.int16)
            name = f"clips/{number:06d}.wav"
            sf.write(folder / name, wave, RATE)
            table.writerow([name, EMOTIONS[number // speakers % len(EMOTIONS)], f"s{number % speakers}"])
            total += len(wave)
    return total / RATE


def print_row(row: dict) -> None:
    steps = "   ".join(
        f"{step}: {row[step]['seconds'] / row['clips'] * 1000:6.2f} ms a clip, {row[step]['peak MB']:6.0f} MB"
        for step in ("step 1", "step 2", "step 3")
    )
    print(f"{row['clips']:7} clips   {steps}   npz {row['npz MB']:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
