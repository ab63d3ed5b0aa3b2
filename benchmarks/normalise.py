"""What `--normalise speaker` gains, and how much of it is left where speakers do not have every emotion equally often.

Reads   npz of step 2 of a corpus whose speakers have every class equally often, such as RAVDESS
Writes  a table, and with --out a JSON file

Standardising within a speaker is transductive, uses the test speaker's unlabelled clips. In a balanced corpus the mean
of a speaker's clips is the mean over emotions, which real recordings do not grant. So the same runs are made on parts
of the corpus that are drawn at random for each speaker, with several seeds:

    all            every clip
    balanced half  half of the clips of each class of each speaker: as many clips as in the two next rows
    half classes   all clips of half of the classes of each speaker, other classes for each
    skewed half    half of the clips of each speaker, drawn with weights of the classes that vary by speaker
                   (log-normal, deviation 1)

UAR is pooled over speaker-independent folds, of the logistic classifier with all layers concatenated. `gain` is with
minus without normalisation on the same clips and folds, in points.

Example: python benchmarks/normalise.py embeddings/ravdess8_acoustic.npz embeddings/ravdess8_wavlm_nano.npz
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

N_FOLDS = 5


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("npz", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3, help="random draws of clips")
    parser.add_argument("--classifier", default="logistic")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from speechemb.artifacts import embeddings

    rows = []
    for path in args.npz:
        data = embeddings.read(path, layer="all").originals()
        for name, draw in DRAWS.items():
            clips = [draw(data.labels, data.speakers, seed) for seed in range(1 if name == "all" else args.seeds)]
            uar = np.array(
                [[uar_of(data.take(chosen), how, args.classifier) for how in (False, True)] for chosen in clips]
            )
            rows.append(row_of(data.tag, name, len(clips[0]), uar))
            print(line_of(rows[-1]), flush=True)
    if args.out:
        args.out.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


def row_of(encoder: str, mix: str, clips: int, uar: np.ndarray) -> dict:
    """The row of a table of UAR (n_seeds, 2), without and with normalisation."""
    (without, with_), gain = uar.mean(axis=0).tolist(), 100 * (uar[:, 1] - uar[:, 0])
    figures = {"without": without, "with": with_, "gain": float(gain.mean())}
    return {
        "encoder": encoder,
        "mix": mix,
        "clips": clips,
        **figures,
        "gain_range": [float(gain.min()), float(gain.max())],
    }


def line_of(row: dict) -> str:
    low, high = row["gain_range"]
    return (
        f"| {row['encoder']} | {row['mix']} | {row['clips']} | {row['without']:.3f} | {row['with']:.3f} | "
        f"{row['gain']:+.1f} ({low:+.1f} to {high:+.1f}) |"
    )


def uar_of(data, normalised: bool, classifier: str) -> float:
    """Pooled UAR of speaker-independent folds."""
    from speechemb.metrics.classification import uar_of_numbers
    from speechemb.splits.protocols import Protocol, plan
    from speechemb.training.cross_validation import Recipe, cross_validated, task_of
    from speechemb.training.normalisation import within_speakers

    made = plan(within_speakers(data) if normalised else data, Protocol("speaker", N_FOLDS))
    recipe = Recipe(classifier, layer="all")
    task = task_of(made.data, recipe, made.group)
    results = cross_validated(recipe, task, made.folds, lambda row: None).results
    true = np.concatenate([task.y[fold.test] for fold, _ in results])
    return uar_of_numbers(true, np.concatenate([p.argmax(axis=1) for _, p in results]))


def everything(labels: np.ndarray, speakers: np.ndarray, seed: int) -> np.ndarray:
    """Indices of all clips."""
    return np.arange(len(labels))


def balanced_half(labels: np.ndarray, speakers: np.ndarray, seed: int) -> np.ndarray:
    """Half of the clips of each class of each speaker."""
    rng, chosen = np.random.default_rng(seed), []
    for speaker in np.unique(speakers):
        for label in np.unique(labels):
            clips = np.flatnonzero((speakers == speaker) & (labels == label))
            chosen.append(rng.permutation(clips)[: len(clips) // 2])
    return np.sort(np.concatenate(chosen))


def half_classes(labels: np.ndarray, speakers: np.ndarray, seed: int) -> np.ndarray:
    """The clips of half of the classes of each speaker."""
    rng, classes = np.random.default_rng(seed), np.unique(labels)
    kept = np.zeros(len(labels), bool)
    for speaker in np.unique(speakers):
        kept |= (speakers == speaker) & np.isin(labels, rng.permutation(classes)[: len(classes) // 2])
    return np.flatnonzero(kept)


def skewed_half(labels: np.ndarray, speakers: np.ndarray, seed: int) -> np.ndarray:
    """Half of the clips of each speaker, with classes that vary in frequency by speaker."""
    rng, chosen = np.random.default_rng(seed), []
    classes, number = np.unique(labels, return_inverse=True)
    for speaker in np.unique(speakers):
        clips = np.flatnonzero(speakers == speaker)
        weight = rng.lognormal(0.0, 1.0, len(classes))[number[clips]]
        chosen.append(rng.choice(clips, len(clips) // 2, replace=False, p=weight / weight.sum()))
    return np.sort(np.concatenate(chosen))


DRAWS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "all": everything,
    "balanced half": balanced_half,
    "half classes": half_classes,
    "skewed half": skewed_half,
}

if __name__ == "__main__":
    main()
