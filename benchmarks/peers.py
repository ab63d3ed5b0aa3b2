"""One part of the comparison with nkululeko: a program on RAVDESS's 8 classes, with its wall time and what it leaves.

Reads   RAVDESS, for `whisper` also a folder with Whisper's encoder; `nkululeko` also what `ours` wrote
Writes  into --work: the program's own files and PART.PROGRAM.json; `table` with --out the CSV of all parts

`ours` runs steps 1 to 4 (SVM, 5 folds by speaker). `nkululeko` runs nkululeko.train from an INI and a CSV that are
written here, in the same folds: a column `fold` of its CSV is taken for that. Parts:

    acoustic       ours only: the acoustic functionals
    egemaps        openSMILE's eGeMAPSv02 functionals
    egemaps-c10    nkululeko only, features taken from egemaps: our SVM's C and class weights in place of its defaults
    egemaps-own    the same with its defaults and the folds that nkululeko draws
    egemaps-train  the same, with `split_strategy = train`
    whisper        Whisper's last layer, mean over frames, 30 s window

UAR of `ours` is computed by scikit-learn from its predictions, that of nkululeko is the macro recall of scikit-learn's
classification report, the only out-of-fold result that it leaves in plain text.

Example: python benchmarks/peers.py ours egemaps --corpus data/RAVDESS --work benchmarks/.peers/work
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("acoustic", "egemaps", "egemaps-c10", "egemaps-own", "egemaps-train", "whisper")
OURS = {
    "acoustic": ["--model", "acoustic"],
    "egemaps": ["--model", "egemaps"],
    "whisper": ["--layers", "last", "--pooling", "mean", "--context", "window"],
}
FEATURES = {"egemaps": "os", "whisper": "whisper-tiny.en"}
INI = """[EXP]
root = {root}
name = {name}
[DATA]
databases = ['ravdess']
ravdess = {csv}
ravdess.type = csv
ravdess.absolute_path = True
ravdess.split_strategy = {split}
target = emotion
labels = {labels}
[FEATS]
type = ['{features}']
set = eGeMAPSv02
scale = standard
[MODEL]
type = svm
logo = 5
n_jobs = {cores}
{settings}
"""


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", choices=["ours", "nkululeko", "table"])
    parser.add_argument("part", nargs="?", choices=PARTS)
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is written")
    parser.add_argument("--corpus", type=Path, help="folder with RAVDESS's Actor_NN")
    parser.add_argument("--encoder", type=Path, help="folder with Whisper tiny.en (default: from the hub)")
    parser.add_argument("--speakers", type=int, default=24, help="take only the first N actors")
    parser.add_argument("--peer", type=Path, help="Python of the environment with nkululeko")
    parser.add_argument("--out", type=Path, help="CSV file to write")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    args.work = args.work.resolve()
    if args.program == "table":
        rows = pd.DataFrame([json.loads(path.read_text()) for path in sorted(args.work.glob("*.*.json"))])
        print(rows.to_string(index=False))
        if args.out:
            rows.to_csv(args.out, index=False, lineterminator="\n")
        return
    row = {"part": args.part, "program": args.program} | (ours if args.program == "ours" else nkululeko)(args)
    print(row, flush=True)
    (args.work / f"{args.part}.{args.program}.json").write_text(json.dumps(row, indent=2) + "\n")


def ours(args: argparse.Namespace) -> dict:
    """Steps 1 to 4 in a folder of their own, started again from nothing."""
    work = args.work / f"ours-{args.part}"
    shutil.rmtree(work, ignore_errors=True)
    csv, npz, results = work / "processed/ravdess.csv", work / "embeddings.npz", work / "results"
    encoder = ["--model", str(args.encoder or "whisper_tiny_en")] if args.part == "whisper" else []
    corpus = part_of(args.corpus, args.speakers, work / "corpus")
    steps = {
        "1_data_preprocessing": f"--corpora ravdess --data-dir {corpus} --emotions all --out-dir {csv.parent}".split(),
        "2_wavlm_feature_extraction": ["--metadata", csv, *encoder, *OURS[args.part], "--out", npz],
        "3_train_classifiers": f"--npz-path {npz} --classifier svm --models-dir {work / 'models'}".split(),
        "4_evaluation_metrics": [],
    }
    commands = [[sys.executable, str(ROOT / "src" / f"{step}.py"), *map(str, flags)] for step, flags in steps.items()]
    for command in commands[2:]:
        command += ["--results-dir", str(results)]
    printed = args.work / f"ours-{args.part}.txt"
    seconds, processor = sum(timed(command, ROOT, dict(os.environ), printed) for command in commands)
    from sklearn.metrics import recall_score

    (path,) = results.glob("predictions_*.csv")
    predictions = pd.read_csv(path)
    run = pd.read_csv(results / "comparison.csv").iloc[0]
    return {
        "version": "",
        "clips": len(predictions),
        "speakers": predictions["speaker"].nunique(),
        "seconds": round(float(seconds), 1),
        "processor_seconds": round(float(processor), 1),
        "headline": f"{run['uar']:.3f} [{run['uar_low']:.3f}, {run['uar_high']:.3f}]",
        "uar": round(recall_score(predictions["true"], predictions["predicted"], average="macro"), 6),
        "fold_mean": round(run["uar_fold_mean"], 6),
    } | left_by(work, results, "confusion_matrix_*.csv")


def nkululeko(args: argparse.Namespace) -> dict:
    """nkululeko.train in a folder of its own; the variants of egemaps take the features that are there."""
    kind, _, variant = args.part.partition("-")
    work = args.work / f"nkululeko-{args.part}"
    shutil.rmtree(work, ignore_errors=True)
    (work / "run/store").mkdir(parents=True)
    if variant:
        shutil.copy(args.work / f"nkululeko-{kind}/run/store/ravdess_os_all.pkl", work / "run/store")
    clips = clips_of(args.work / f"ours-{kind}")
    clips.drop(columns=["fold"] if variant in ("own", "train") else []).to_csv(work / "ravdess.csv", index=False)
    split = "train" if variant == "train" else "random"
    values = {"root": work, "name": "run", "csv": work / "ravdess.csv", "split": split, "features": FEATURES[kind]}
    values["settings"] = "C_val = 10\nclass_weight = True" if variant == "c10" else ""
    labels = sorted(clips["emotion"].unique())
    (work / "run.ini").write_text(INI.format(**values, labels=labels, cores=os.cpu_count()))
    environment = dict(os.environ)
    if kind == "whisper" and args.encoder:
        float32_copy(args.encoder, work / "openai" / FEATURES[kind])
        environment["HF_HUB_OFFLINE"] = "1"
    command = [str(args.peer), "-m", "nkululeko.train", "--config", "run.ini"]
    seconds, processor = timed(command, work, environment, work / "printed.txt")
    return {
        "version": re.search(r"nkululeko version ([0-9.]+)", (work / "printed.txt").read_text())[1],
        "clips": len(clips),
        "speakers": clips["speaker"].nunique(),
        "seconds": None if variant else round(float(seconds), 1),
        "processor_seconds": None if variant else round(float(processor), 1),
        **reported(work / "printed.txt", work / "run/results"),
    } | left_by(work / "run", work / "run", "*_last_*.png")


def reported(printed: Path, results: Path) -> dict:
    """The figures of nkululeko's cross-validation: headline as printed, pooled UAR (or None), mean of the folds.

    Args:
        printed: what it prints
        results: its folder with `logo_results.txt` and, if any, scikit-learn's classification report as JSON
    """
    text = printed.read_text()
    headline = [re.search(r"best \(TEST\) result=[0-9.]+", text), re.search(r"Confusion matrix result[^\r\n]*", text)]
    reports = [
        re.search(r'"macro avg": \{[^}]*"recall": ([0-9.]+)', path.read_text()) for path in results.rglob("*.txt")
    ]
    folds = json.loads(re.search(r"\[.*\]", next(results.rglob("logo_results.txt")).read_text())[0])
    return {
        "headline": "; ".join(found[0] for found in headline if found),
        "uar": next((round(float(found[1]), 6) for found in reports if found), None),
        "fold_mean": round(float(np.mean(folds)), 6),
    }


def left_by(folder: Path, results: Path, confusion: str) -> dict:
    """What a program leaves behind: files, their size, and whether there are predictions and a confusion matrix."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {
        "files": len(files),
        "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 1),
        "predictions": any(path.name.startswith(("pred", "predictions_")) and path.suffix == ".csv" for path in files),
        "confusion_matrix": any(results.rglob(confusion)),
    }


def clips_of(work: Path) -> pd.DataFrame:
    """The clips of one of our runs as nkululeko's CSV: file, speaker, gender, emotion and our test fold."""
    clips = pd.read_csv(work / "processed/ravdess.csv", dtype=str)
    (path,) = (work / "results").glob("predictions_*.csv")
    folds = pd.read_csv(path, dtype=str).set_index("clip_id")["fold"]
    clips["file"] = [str((ROOT / path).resolve()) for path in clips["path"]]
    clips["fold"] = clips["clip_id"].map(folds)
    return clips[["file", "speaker", "gender", "emotion", "fold"]]


def part_of(corpus: Path, speakers: int, links: Path) -> Path:
    """The corpus, or a folder of links to its first speakers."""
    actors = sorted(path for path in corpus.resolve().glob("Actor_*") if path.is_dir())
    if speakers >= len(actors):
        return corpus.resolve()
    links.mkdir(parents=True)
    for actor in actors[:speakers]:
        (links / actor.name).symlink_to(actor)
    return links


def float32_copy(encoder: Path, to: Path) -> None:
    """The encoder's folder for nkululeko: with the name of the hub, which it opens, and without half-precision weights.

    nkululeko gives a model the float32 spectrogram, so that float16 weights end in an error.
    """
    from safetensors.torch import load_file, save_file

    to.mkdir(parents=True)
    weights = {name: values.float() for name, values in load_file(encoder / "model.safetensors").items()}
    save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((encoder / "config.json").read_text()) | {"dtype": "float32"}
    (to / "config.json").write_text(json.dumps(config))
    shutil.copy(encoder / "preprocessor_config.json", to)


def timed(command: list[str], folder: Path, environment: dict[str, str], printed: Path) -> np.ndarray:
    """Wall and processor seconds of a command; what it prints goes to a file."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with printed.open("a") as out:
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=out, stderr=subprocess.STDOUT)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime])


if __name__ == "__main__":
    main()
