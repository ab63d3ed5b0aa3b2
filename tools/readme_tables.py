"""The tables of results in README.md and benchmarks/README.md, made from committed CSVs.

Reads:   docs/*.csv; with --collect, results/{ravdess,ravdess_layers,emobox,audit,robustness}
Writes:  README.md, benchmarks/README.md; with --collect, first docs/*.csv and docs/{audit,robustness}_ravdess.png
Example: python tools/readme_tables.py --collect
Prints:  the files that were written

`benchmarks/ravdess.sh`, `emobox.sh`, `audit.sh`, `robustness.sh` and `peers.sh` end with it. A test compares the pages
with the CSVs.
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
DOCS, RESULTS = ROOT / "docs", ROOT / "results"
ENCODERS = {
    "acoustic": "acoustic functionals (no network)",
    "wavlm_nano": "wavlm_nano (bundled, 3 M parameters)",
    "whisper_tiny_en": "Whisper tiny.en (published, 8 M parameters)",
    "whisper_tiny_en_clip": "the same, `--context clip`",
    "whisper_base": "Whisper base (published, 20 M parameters)",
    "whisper_base_clip": "the same, `--context clip`",
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
PEERS = {
    "acoustic": "acoustic functionals",
    "egemaps": "eGeMAPSv02",
    "egemaps-c10": "eGeMAPSv02, C = 10, balanced classes",
    "egemaps-own": "eGeMAPSv02, folds drawn by nkululeko",
    "egemaps-train": "the same, `split_strategy = train`",
    "whisper": "Whisper tiny.en, last layer",
}


def collect() -> list[Path]:
    """Copy what the tables need from the results of the benchmarks, as far as they were run."""
    written = []
    for name in ("ravdess", "emobox", "ravdess_layers"):
        folder = RESULTS / name
        if (folder / "comparison.csv").is_file():
            runs = rows_of(folder / "comparison.csv")
            if name == "ravdess":
                tests = rows_of(folder / "ranking.csv")
                runs = runs.merge(tests[["run", "reference", "p_holm", "verdict"]], on="run", how="left")
            written.append(DOCS / f"{name}.csv")
            if written[-1].is_file():
                runs = completed(runs, rows_of(written[-1]))
            runs.to_csv(written[-1], index=False, lineterminator="\n")
    for kind in ("audit", "robustness"):
        for ending in ("csv", "png"):
            if (RESULTS / kind / f"{kind}.{ending}").is_file():
                written.append(DOCS / f"{kind}_ravdess.{ending}")
                shutil.copyfile(RESULTS / kind / f"{kind}.{ending}", written[-1])
    return written


def rows_of(path: Path) -> pd.DataFrame:
    """A CSV with every cell as it is written."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def completed(runs: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """The rows of `runs` and, unchanged, those of `before` whose run is not among them, in step 4's order.

    So a benchmark can be run for some encoders or classifiers only.
    """
    rows = pd.concat([before[~before["run"].isin(runs["run"])], runs], ignore_index=True)
    order = rows.assign(classes=rows["classes"].astype(int), uar=-rows["uar"].astype(float))
    return rows.loc[order.sort_values(["corpora", "classes", "protocol", "uar", "run"]).index]


def span(row: Mapping[Any, Any]) -> str:
    """`0.616 [0.549, 0.679]`."""
    return f"{row['uar']:.3f} [{row['uar_low']:.3f}, {row['uar_high']:.3f}]"


def starred(row: Mapping[Any, Any] | None) -> str:
    """`span`, with an asterisk where the run is significantly better than its reference; empty without a run."""
    return span(row) + (" *" if row["verdict"] == BETTER else "") if row else ""


def runs_of(name: str) -> dict[tuple, dict[Any, Any]]:
    """(encoder, classifier, classes, protocol) -> row of a committed CSV."""
    runs = pd.read_csv(DOCS / name, keep_default_na=False)
    runs["protocol"] = runs["protocol"].str.split().str[0]
    return {
        (row["encoder"], row["classifier"], row["classes"], row["protocol"]): row for row in runs.to_dict("records")
    }


def headline_table() -> str:
    """UAR with 8 classes and speaker-independent folds, by encoder and classifier."""
    of = runs_of("ravdess.csv")
    lines = [["encoder", *CLASSIFIERS], ["---"] * (1 + len(CLASSIFIERS))]
    lines += [
        [name, *(starred(of.get((encoder, classifier, 8, "speaker"))) for classifier in CLASSIFIERS)]
        for encoder, name in ENCODERS.items()
    ]
    return _table(lines)


def results_table() -> str:
    """UAR by encoder, classifier, number of classes and protocol."""
    of = runs_of("ravdess.csv")
    head = ["encoder", "classifier"]
    head += [f"{classes} classes, {folds}" for classes in (4, 8) for folds in ("speaker-independent", "random folds")]
    lines = [head, ["---"] * len(head)]
    for encoder in ENCODERS:
        for classifier in CLASSIFIERS:
            cells = []
            for classes in (4, 8):
                random = of.get((encoder, classifier, classes, "random"))
                cells += [starred(of.get((encoder, classifier, classes, "speaker")))]
                cells += [f"{random['uar']:.3f}" if random else ""]
            if any(cells):
                lines.append([encoder, classifier, *cells])
    lines.append(["chance", "", *(f"{1 / classes:.3f}" for classes in (4, 4, 8, 8))])
    return _table(lines)


def emobox_table() -> str:
    """Mean of the UARs of EmoBox's folds, in percent: this project's, and what EmoBox publishes."""
    runs = pd.read_csv(DOCS / "emobox.csv", keep_default_na=False)
    of = {(row["encoder"], row["classifier"]): f"{100 * row['uar_fold_mean']:.1f}" for row in runs.to_dict("records")}
    published = pd.read_csv(ROOT / "data" / "published_figures.csv", keep_default_na=False)
    published = published[(published["corpus"] == "RAVDESS") & published["source"].str.startswith("EmoBox")]
    lines = [["encoder", *CLASSIFIERS, "EmoBox: last layer, MLP"], ["---"] * (2 + len(CLASSIFIERS))]
    lines += [
        [name, *(of.get((encoder, classifier), "") for classifier in CLASSIFIERS), ""]
        for encoder, name in ENCODERS.items()
    ]
    lines += [[row["encoder"], *[""] * len(CLASSIFIERS), str(row["value"])] for row in published.to_dict("records")]
    return _table(lines)


def layers_table() -> str:
    """UAR of each layer alone, by encoder."""
    runs = pd.read_csv(DOCS / "ravdess_layers.csv", keep_default_na=False)
    of = {(row["encoder"], int(row["layer"])): f"{row['uar']:.3f}" for row in runs.to_dict("records")}
    layers = sorted({layer for _, layer in of})
    lines = [["one layer alone", *map(str, layers)], ["---"] * (1 + len(layers))]
    for encoder in dict.fromkeys(encoder for encoder, _ in of):
        lines.append([encoder, *(of.get((encoder, layer), "") for layer in layers)])
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


def changes_table() -> str:
    """What each change of the recordings does to the runs that were measured."""
    rows = pd.read_csv(DOCS / "robustness_ravdess.csv")
    runs = dict.fromkeys(zip(rows["encoder"], rows["classifier"], strict=True))
    of = {(row["encoder"], row["classifier"], row["change"]): row for row in rows.to_dict("records")}
    cell = "{difference:+.3f} [{difference_low:+.3f}, {difference_high:+.3f}], {unchanged:.0%}"
    clean = [f"{next(row for key, row in of.items() if key[:2] == run)['uar_clean']:.3f}" for run in runs]
    head = ["change of the recordings", *(f"{encoder}, {classifier}" for encoder, classifier in runs)]
    lines = [head, ["---"] * len(head), ["none: UAR", *clean]]
    for change, words in rows.drop_duplicates("change")[["change", "words"]].itertuples(index=False):
        lines.append([words, *(cell.format(**of[(*run, change)]) for run in runs)])
    return _table(lines)


def peers_table() -> str:
    """Time, UAR and headline of this project and of nkululeko; an empty cell was not measured."""
    head = ["features", "program", "wall time", "processor time", "UAR", "mean of folds", "its own headline"]
    lines, rows = [head, ["---"] * len(head)], pd.read_csv(DOCS / "peers.csv", keep_default_na=False, dtype=str)
    for row in sorted(
        rows.to_dict("records"), key=lambda row: (list(PEERS).index(row["part"]), row["program"] != "ours")
    ):
        program = "this project" if row["program"] == "ours" else f"nkululeko {row['version']}"
        seconds = [f"{float(row[name]):.0f} s" if row[name] else "" for name in ("seconds", "processor_seconds")]
        uar = [f"{float(row[name]):.3f}" if row[name] else "none" for name in ("uar", "fold_mean")]
        lines.append([PEERS[row["part"]], program, *seconds, *uar, row["headline"]])
    return _table(lines)


def _table(lines: list[list[str]]) -> str:
    # An empty cell is one space wide.
    rows = ("|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|\n" for cells in lines)
    return "".join(rows).replace(" --- ", "---")


def filled(text: str, name: str) -> str:
    """A page with the tables made anew whose results are there; each is found by its first line.

    Args:
        name: of the page in `TABLES`
    """
    for table in (make() for csv, make in TABLES[name] if (DOCS / csv).is_file()):
        head = re.escape(table.splitlines()[0])
        text, n = re.subn(rf"^{head}\n(?:\|.*\n)*", lambda _, table=table: table, text, flags=re.MULTILINE)
        if n != 1:
            raise SystemExit(f"{name} has {n} tables that begin with: {table.splitlines()[0]}")
    return text


TABLES = {
    "README.md": [
        ("ravdess.csv", headline_table),
        ("emobox.csv", emobox_table),
        ("audit_ravdess.csv", audit_table),
    ],
    "benchmarks/README.md": [
        ("ravdess.csv", results_table),
        ("ravdess_layers.csv", layers_table),
        ("robustness_ravdess.csv", changes_table),
        ("peers.csv", peers_table),
    ],
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collect", action="store_true", help="first copy the results of the benchmarks into docs/")
    args = parser.parse_args(argv)
    written = collect() if args.collect else []
    pages = {ROOT / name: filled((ROOT / name).read_text(encoding="utf-8"), name) for name in TABLES}
    for page, text in pages.items():
        page.write_text(text, encoding="utf-8")
    print("wrote", ", ".join(path.relative_to(ROOT).as_posix() for path in [*written, *pages]))


if __name__ == "__main__":
    sys.exit(main())
