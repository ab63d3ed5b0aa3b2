"""Time of step 5's maps, 2-D and 3-D, against UMAP used plainly, on vectors of CREMA-D's size.

Writes  a table, and with --out a JSON file

Made data: 7,442 vectors of 91 speakers in six classes. Both methods standardise the vectors and use UMAP's default
settings with the same seed; each runs in a new process, as a user's would, and they take turns. Trustworthiness
(Venna & Kaski 2001) says how far neighbours in the map are neighbours in the space.

    ours     exact neighbours once, for both maps
    plain    umap.UMAP twice

Example: python benchmarks/maps.py --rounds 3 --out maps.json
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

METHODS = ("ours", "plain")


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=7442)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="1,000 clips, 64 dimensions, one round")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--only", choices=METHODS, help=argparse.SUPPRESS)  # what a round's own process does
    args = parser.parse_args(argv)
    if args.quick:
        args.clips, args.dim, args.rounds = 1000, 64, 1
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    if args.only:
        print(json.dumps(one(args.only, made(args.clips, args.dim))))
        return
    found: dict[str, list[dict]] = {method: [] for method in METHODS}
    for _ in range(args.rounds):
        for method in METHODS:
            flags = ["--only", method, "--clips", str(args.clips), "--dim", str(args.dim)]
            done = subprocess.run([sys.executable, __file__, *flags], check=True, stdout=subprocess.PIPE, text=True)
            found[method].append(json.loads(done.stdout))
    medians = {
        method: {key: statistics.median(row[key] for row in rows) for key in rows[0]} for method, rows in found.items()
    }
    for method, row in medians.items():
        trust = f"trustworthiness {row['2-D']:.4f} (2-D), {row['3-D']:.4f} (3-D)"
        print(f"{method:6} {row['seconds']:6.1f} s   {trust}")
    print(f"plain / ours {medians['plain']['seconds'] / medians['ours']['seconds']:.2f} x")
    if args.out:
        args.out.write_text(json.dumps({"clips": args.clips, "dim": args.dim, "rounds": found}, indent=2) + "\n")


def made(clips: int, dim: int):
    """Vectors (clips, dim) float32: noise, a speaker and a class."""
    import numpy as np

    rng = np.random.default_rng(0)
    speaker, emotion = rng.integers(0, 91, clips), rng.integers(0, 6, clips)
    x = rng.normal(size=(clips, dim)) + 0.5 * rng.normal(size=(91, dim))[speaker] + rng.normal(size=(6, dim))[emotion]
    return x.astype(np.float32)


def one(method: str, x) -> dict[str, float]:
    """Seconds for both maps, imports and compilation included, and the trustworthiness of each."""
    start = time.perf_counter()
    found = (ours if method == "ours" else plain)(x)
    seconds = time.perf_counter() - start
    from sklearn.manifold import trustworthiness
    from sklearn.preprocessing import StandardScaler

    scaled = StandardScaler().fit_transform(x)
    trust = [float(trustworthiness(scaled, coordinates, n_neighbors=15)) for coordinates in found]
    return {"seconds": seconds, "2-D": trust[0], "3-D": trust[1]}


def ours(x) -> list:
    from speechemb.visualization import projection

    graph = projection.neighbours(x)
    return [projection.coordinates(x, graph, dims, 0) for dims in (2, 3)]


def plain(x) -> list:
    import warnings

    from sklearn.preprocessing import StandardScaler
    from umap import UMAP

    warnings.simplefilter("ignore")
    scaled = StandardScaler().fit_transform(x)
    return [UMAP(n_components=dims, random_state=0).fit_transform(scaled) for dims in (2, 3)]


if __name__ == "__main__":
    main()
