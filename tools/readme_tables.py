"""The README's tables of results, made from committed CSVs.

Reads:   docs/ravdess.csv, docs/audit_ravdess.csv; with --collect, results/ravdess and results/audit
Writes:  README.md; with --collect, first docs/ravdess.csv, docs/audit_ravdess.csv and docs/audit_ravdess.png
Example: python tools/readme_tables.py --collect
Prints:  the files that were written

`benchmarks/ravdess.sh` and `benchmarks/audit.sh` end with it. A test compares README.md with the CSVs.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
README, DOCS, RESULTS = ROOT / "README.md", ROOT / "docs", ROOT / "results"
ENCODERS = {
    "acoustic": "acoustic functionals (no network)",
    "wavlm_nano": "wavlm_nano, all layers, mean + std",
}
CLASSIFIERS = ("svm", "logistic", "mlp", "xgboost")
AUDIT = {
    "speaker+sentence": "disjoint by speaker and by sentence ({n_folds} folds, half of the training clips)",
    "speaker": "speaker-independent",
    "speaker 2": "speaker-independent, 2 augmented copies of each training clip",
    "speaker scaler": "deliberate leakage: features scaled on all clips, including test clips",
    "sentence": "disjoint by sentence ({n_folds} folds)",
    "random": "random",
    "random 2 copies": "deliberate leakage: random folds that separate augmented copies from their originals",
}
BETTER = "significantly better"


def collect() -> list[Path]:
    """Copy what the tables need from the results of the two benchmarks, as far as they were run."""
    written = []
    if (RESULTS / "ravdess" / "comparison.csv").is_file():
        runs = pd.read_csv(RESULTS / "ravdess" / "comparison.csv", keep_default_na=False)
        tests = pd.read_csv(RESULTS / "ravdess" / "ranking.csv", keep_default_na=False)
        runs = runs.merge(tests[["run", "reference", "p_holm", "verdict"]], on="run", how="left")
        runs.to_csv(DOCS / "ravdess.csv", index=False, lineterminator="\n")
        written.append(DOCS / "ravdess.csv")
    for name in ("audit.csv", "audit.png"):
        if (RESULTS / "audit" / name).is_file():
            written.append(DOCS / name.replace("audit", "audit_ravdess"))
            shutil.copyfile(RESULTS / "audit" / name, written[-1])
    return written


def span(row: Mapping[Any, Any]) -> str:
    """`0.616 [0.549, 0.679]`."""
    return f"{row['uar']:.3f} [{row['uar_low']:.3f}, {row['uar_high']:.3f}]"


def results_table() -> str:
    """UAR by encoder, classifier, number of classes and protocol."""
    runs = pd.read_csv(DOCS / "ravdess.csv", keep_default_na=False)
    runs["protocol"] = runs["protocol"].str.split().str[0]
    of = {(row["encoder"], row["classifier"], row["classes"], row["protocol"]): row for row in runs.to_dict("records")}
    head = ["encoder", "classifier"]
    head += [f"{classes} classes, {folds}" for classes in (4, 8) for folds in ("speaker-independent", "random folds")]
    lines = [head, ["---"] * len(head)]
    for encoder, name in ENCODERS.items():
        for classifier in CLASSIFIERS:
            if (encoder, classifier, 4, "speaker") not in of:
                continue  # not among the results that were collected
            cells = [name, classifier]
            for classes in (4, 8):
                row = of[encoder, classifier, classes, "speaker"]
                star = " *" if row["verdict"] == BETTER else ""
                cells += [span(row) + star, f"{of[encoder, classifier, classes, 'random']['uar']:.3f}"]
            lines.append(cells)
    lines.append(["chance", "", *(f"{1 / classes:.3f}" for classes in (4, 4, 8, 8))])
    return _table(lines)


def audit_table() -> str:
    """UAR by protocol and leakage, in points above the speaker-independent run."""
    head = ["folds", "UAR", "points", "speakers in both training and test"]
    lines, of = [head, ["---"] * len(head)], {}
    for row in pd.read_csv(DOCS / "audit_ravdess.csv", keep_default_na=False).to_dict("records"):
        words = (row["protocol"], row["augmented"] or "", row["leak"])
        of[" ".join(str(word) for word in words if word)] = row
    for key, words in AUDIT.items():
        row = of[key]
        points = f"{row['points']:+.1f}" if key != "speaker" else "0"
        lines.append([words.format(**row), span(row), points, str(row["speakers_on_both_sides"])])
    return _table(lines)


def _table(lines: list[list[str]]) -> str:
    # An empty cell is one space wide.
    rows = ("|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|\n" for cells in lines)
    return "".join(rows).replace(" --- ", "---")


def readme_of(text: str) -> str:
    """The README with the tables made anew whose results are there; each is found by its first line."""
    makers = {"ravdess.csv": results_table, "audit_ravdess.csv": audit_table}
    for table in (make() for name, make in makers.items() if (DOCS / name).is_file()):
        head = re.escape(table.splitlines()[0])
        text, n = re.subn(rf"^{head}\n(?:\|.*\n)*", lambda _, table=table: table, text, flags=re.MULTILINE)
        if n != 1:
            raise SystemExit(f"{README.name} has {n} tables that begin with: {table.splitlines()[0]}")
    return text


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collect", action="store_true", help="first copy the results of the benchmarks into docs/")
    args = parser.parse_args(argv)
    written = collect() if args.collect else []
    README.write_text(readme_of(README.read_text(encoding="utf-8")), encoding="utf-8")
    print("wrote", ", ".join(path.relative_to(ROOT).as_posix() for path in [*written, README]))


if __name__ == "__main__":
    sys.exit(main())
