"""A coarser precision against fp32, on the same clips: the UAR of every run, and the cosine of the embeddings.

Reads   two results folders of step 3 with the same runs, the reference first; pairs of npz of step 2, the same
Writes  two tables as Markdown

    difference  UAR less that of the reference, in points
    p           of "both are equally good", by exchanging the two runs speaker by speaker; then corrected (Holm) for
                the number of runs
    cosine      of a clip's vector of a layer, all poolings, to that of the reference: the least of all clips, by layer

Example: python benchmarks/precision.py --results results/precision/fp32 results/precision/int8
"""

import argparse
from pathlib import Path

import numpy as np


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", nargs=2, type=Path, metavar=("REFERENCE", "OTHER"))
    parser.add_argument("--npz", nargs=2, type=Path, action="append", default=[], metavar=("REFERENCE", "OTHER"))
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    if args.results:
        print("\n".join(compared_runs(*args.results)), "\n")
    for pair in args.npz:
        print("\n".join(compared_embeddings(*pair)), "\n")


def compared_runs(reference: Path, other: Path) -> list[str]:
    """The lines of the table of runs, and their mean difference."""
    from speechemb.metrics import paired_tests

    names = sorted(path.name for path in reference.glob("predictions_*.csv") if (other / path.name).is_file())
    rows = [row_of(reference / name, other / name) for name in names]
    p = paired_tests.sign_flip_test(np.array([differences for *_, differences in rows]))
    names = f"{reference.name} | {other.name}"
    lines = [f"| encoder | classifier | {names} | difference | p | corrected p |", "|" + "---|" * 7]
    for (encoder, classifier, a, b, _), raw, corrected in zip(rows, p, paired_tests.holm(p), strict=True):
        figures = f"{a:.3f} | {b:.3f} | {100 * (b - a):+.1f} | {raw:.2g} | {corrected:.2g}"
        lines.append(f"| {encoder} | {classifier} | {figures} |")
    apart = 100 * np.array([b - a for _, _, a, b, _ in rows])
    return [
        *lines,
        "",
        f"difference: {apart.mean():+.2f} points in the mean of {len(rows)} runs, {abs(apart).mean():.2f} without sign",
    ]


def row_of(reference: Path, other: Path) -> tuple[str, str, float, float, np.ndarray]:
    """(encoder, classifier, UAR of the reference, of the other, difference (S,) by speaker)."""
    from speechemb.artifacts.predictions import read_predictions
    from speechemb.evaluation.counts import count
    from speechemb.metrics import classification, paired_tests

    (frame, meta), (other_frame, _) = read_predictions(reference), read_predictions(other)
    a, b = count(frame, meta["labels"]), count(other_frame, meta["labels"])
    differences = paired_tests.speaker_differences(b.by_unit, a.by_unit)
    uar = [float(classification.uar_of(run.total)) for run in (a, b)]
    return meta["encoder"]["tag"], meta["classifier"], *uar, differences


def compared_embeddings(reference: Path, other: Path) -> list[str]:
    """The lines of the table of one encoder's layers."""
    from speechemb.artifacts import embeddings

    a, b = embeddings.read(reference), embeddings.read(other)
    if a.clip_ids.tolist() != b.clip_ids.tolist():
        raise SystemExit(f"{reference} and {other} do not hold the same clips")
    x, y = a.embeddings, b.embeddings
    cosines = (x * y).sum(2) / np.linalg.norm(x, axis=2) / np.linalg.norm(y, axis=2)
    head = f"| {a.meta['encoder']['tag']}: layer | " + " | ".join(map(str, a.layers)) + " |"
    least = "| least cosine | " + " | ".join(f"{value:.4f}" for value in cosines.min(0)) + " |"
    return [head, "|" + "---|" * (1 + len(a.layers)), least]


if __name__ == "__main__":
    main()
