"""All five steps on RAVDESS with wavlm_nano, each as a user runs it: wall time, share of the whole, peak memory.

Reads   RAVDESS (../shared/data/ravdess, or --data-dir)
Writes  a table, and with --out a JSON file; everything the steps write goes to a temporary folder

Example: python benchmarks/pipeline.py --out pipeline.json
"""

import argparse
import json
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=ROOT.parent / "shared" / "data" / "ravdess")
    parser.add_argument("--model", default="wavlm_nano", help="as in step 2")
    parser.add_argument("--quick", action="store_true", help="96 clips and the SVM only")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from processes import run

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for script, flags in commands(args, Path(folder)):
            seconds, megabytes = run(script, *flags)
            rows.append({"script": script, "seconds": seconds, "peak MB": megabytes})
    whole = sum(row["seconds"] for row in rows)
    for row in rows:
        share = f"{row['seconds']:7.1f} s {row['seconds'] / whole:5.0%}"
        print(f"{row['script']:34} {share} {row['peak MB']:7.0f} MB")
    print(f"{'all':34} {whole:7.1f} s")
    if args.out:
        args.out.write_text(json.dumps({"model": args.model, "quick": args.quick, "scripts": rows}, indent=2) + "\n")


def commands(args: argparse.Namespace, folder: Path) -> list[tuple[str, list]]:
    """The five scripts with their flags."""
    npz, results = folder / "embeddings.npz", ["--results-dir", folder / "results"]
    limit = ["--limit", 96] if args.quick else []
    classifier = ["--classifier", "svm"] if args.quick else []
    corpus = ["--corpora", "ravdess", "--data-dir", args.data_dir, "--emotions", "all"]
    extraction = ["--metadata", folder / "ravdess.csv", "--model", args.model, "--out", npz]
    training = ["--npz-path", npz, "--models-dir", folder / "models"]
    return [
        ("1_data_preprocessing.py", [*corpus, "--out-dir", folder]),
        ("2_wavlm_feature_extraction.py", [*extraction, *limit]),
        ("3_train_classifiers.py", [*training, *classifier, *results]),
        ("4_evaluation_metrics.py", results),
        ("5_visualization_umap.py", ["--npz-path", npz, *results]),
    ]


if __name__ == "__main__":
    main()
