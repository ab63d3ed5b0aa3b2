"""What `--guess-speakers` is worth: how pure the guesses are, and the UAR of folds over them.

Reads   npz of step 2 of a corpus whose speakers are known, such as RAVDESS; the speakers are hidden from the guess
Writes  a table, and with --out a JSON file

    purity      share of clips that are of the most frequent real speaker of their guessed one, with as many guesses as
                speakers; the same of emotions; and each again with the guesses shuffled over the clips
    both        real speakers in both training and test of some fold over guessed speakers
    UAR         pooled over five folds over real speakers, over guessed speakers, and at random: the mean over seeds

Example: python benchmarks/guessed_speakers.py embeddings/ravdess8_acoustic.npz embeddings/ravdess8_wavlm_nano.npz
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

KINDS = ("speaker", "guessed", "random")


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("npz", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the folds and the classifier")
    parser.add_argument("--classifier", default="svm")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    rows = []
    for path in args.npz:
        rows.append(row_of(path, args.classifier, args.seeds))
        print(line_of(rows[-1]), flush=True)
    if args.out:
        args.out.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


def row_of(path: Path, classifier: str, seeds: int) -> dict:
    """The row of the table for the embeddings of one file."""
    from speechemb.artifacts import embeddings
    from speechemb.splits import guessing

    data = embeddings.read(path, layer="all").originals()
    n_speakers = len(np.unique(data.speakers))
    hidden = np.full_like(data.speakers, "")
    (guess,) = guessing.with_guesses([replace(data, speakers=hidden, sessions=hidden)], [path], n_speakers)
    columns = {"speaker": data.speakers, "emotion": data.labels}
    shuffled = np.random.default_rng(0).permutation(guess.speakers)
    tested = {kind: [tested_with(data, guess, kind, classifier, seed) for seed in range(seeds)] for kind in KINDS}
    return {
        "encoder": data.tag,
        "layer": guessing.layer_of(data.meta["layers"]),
        "speakers": n_speakers,
        "purity": {name: purity(of, guess.speakers) for name, of in columns.items()},
        "by chance": {name: purity(of, shuffled) for name, of in columns.items()},
        "both": max(both for _, both in tested["guessed"]),
        "uar": {kind: float(np.mean([uar for uar, _ in of])) for kind, of in tested.items()},
    }


def purity(real: np.ndarray, guessed: np.ndarray) -> float:
    """Share of clips (n,) that have the most frequent real value of their group."""
    number = np.unique(real, return_inverse=True)[1]
    return sum(int(np.bincount(number[guessed == one]).max()) for one in np.unique(guessed)) / len(real)


def tested_with(data, guess, kind: str, classifier: str, seed: int) -> tuple[float, int]:
    """Pooled UAR of folds of a kind, and the real speakers in both training and test of some fold."""
    from speechemb.metrics.classification import uar_of_numbers
    from speechemb.splits.protocols import Protocol, plan, speakers_on_both_sides
    from speechemb.training.cross_validation import Recipe, cross_validated, task_of

    guesses = len(np.unique(guess.speakers))
    protocol = Protocol(f"guessed{guesses}" if kind == "guessed" else kind, seed=seed)
    made = plan(guess if kind == "guessed" else data, protocol)
    recipe = Recipe(classifier, seed=seed, layer="all")
    task = task_of(made.data, recipe, made.group)
    results = cross_validated(recipe, task, made.folds, lambda rows: None).results
    true = np.concatenate([task.y[fold.test] for fold, _ in results])
    uar = uar_of_numbers(true, np.concatenate([p.argmax(axis=1) for _, p in results]))
    return uar, speakers_on_both_sides(data, made.folds) or 0


def line_of(row: dict) -> str:
    purities = [f"{row['purity'][name]:.3f} ({row['by chance'][name]:.3f})" for name in row["purity"]]
    uar = [f"{row['uar'][kind]:.3f}" for kind in KINDS]
    cells = [row["encoder"], row["layer"], *purities, f"{row['both']} of {row['speakers']}", *uar]
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
