"""A coarser precision against fp32, on the same clips: the UAR of every run, and the cosine of the embeddings.

Reads   two results folders of step 3 with the same runs, the reference first; pairs of npz of step 2, the same
Writes  two tables as Markdown, and with --out a JSON file

    difference  UAR less that of the reference, in points
    p           of "both are equally good", by exchanging the two runs speaker by speaker; then corrected (Holm) for
                the number of runs
    cosine      of a clip's vector of a layer, all poolings, to that of the reference: the least of all clips, by layer

Example: python benchmarks/precision.py --results results/precision/fp32 results/precision/int8 --out precision.json
"""

import argparse
import json
from pathlib import Path

import numpy as np


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", nargs=2, type=Path, metavar=("REFERENCE", "OTHER"))
    parser.add_argument("--npz", nargs=2, type=Path, action="append", default=[], metavar=("REFERENCE", "OTHER"))
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    runs = compared_runs(*args.results) if args.results else []
    if runs:
        print_runs(runs, [folder.name for folder in args.results])
    encoders = [least_cosines(*pair) for pair in args.npz]
    for found in encoders:
        print(f"\n| {found['encoder']}: layer | " + " | ".join(map(str, found["layers"])) + " |")
        print("|" + "---|" * (1 + len(found["layers"])))
        print("| least cosine | " + " | ".join(f"{value:.4f}" for value in found["least cosine"]) + " |")
    if args.out:
        args.out.write_text(json.dumps({"runs": runs, "encoders": encoders}, indent=2) + "\n")


def print_runs(runs: list[dict], names: list[str]) -> None:
    print("| encoder | classifier | " + " | ".join(names) + " | difference | p | corrected p |")
    print("|" + "---|" * 7)
    for run in runs:
        a, b = run["uar"]
        figures = f"{a:.3f} | {b:.3f} | {100 * (b - a):+.1f} | {run['p']:.2g} | {run['corrected p']:.2g}"
        print(f"| {run['encoder']} | {run['classifier']} | {figures} |")
    apart = 100 * np.array([run["uar"][1] - run["uar"][0] for run in runs])
    print(f"\nmean difference of {len(runs)} runs: {apart.mean():+.2f} points, {abs(apart).mean():.2f} without sign")


def compared_runs(reference: Path, other: Path) -> list[dict]:
    """The runs that both folders hold: UAR of both, and the test between them."""
    from speechemb.artifacts.predictions import read_predictions
    from speechemb.evaluation.counts import count
    from speechemb.metrics import classification, paired_tests

    runs, differences = [], []
    for name in sorted(path.name for path in reference.glob("predictions_*.csv") if (other / path.name).is_file()):
        (frame, meta), (other_frame, _) = read_predictions(reference / name), read_predictions(other / name)
        a, b = count(frame, meta["labels"]), count(other_frame, meta["labels"])
        differences.append(paired_tests.speaker_differences(b.by_unit, a.by_unit))
        uar = [float(classification.uar_of(one.total)) for one in (a, b)]
        runs.append({"encoder": meta["encoder"]["tag"], "classifier": meta["classifier"], "uar": uar})
    p = paired_tests.sign_flip_test(np.array(differences))
    return [
        {**run, "p": float(raw), "corrected p": corrected}
        for run, raw, corrected in zip(runs, p, paired_tests.holm(p), strict=True)
    ]


def least_cosines(reference: Path, other: Path) -> dict:
    """The least cosine of a clip's vector, by layer, of one encoder."""
    from speechemb.artifacts import embeddings

    a, b = embeddings.read(reference), embeddings.read(other)
    if a.clip_ids.tolist() != b.clip_ids.tolist():
        raise SystemExit(f"{reference} and {other} do not hold the same clips")
    x, y = a.embeddings, b.embeddings
    cosines = (x * y).sum(2) / np.linalg.norm(x, axis=2) / np.linalg.norm(y, axis=2)
    return {"encoder": a.meta["encoder"]["tag"], "layers": a.layers.tolist(), "least cosine": cosines.min(0).tolist()}


if __name__ == "__main__":
    main()
