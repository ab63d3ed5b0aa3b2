"""Run the steps at two revisions and compare every file that they write, byte by byte.

The revisions are exported without git, so that their files do not differ in the commit they name. The steps run on the
bundled corpus (acoustic and wavlm_nano, every classifier and protocol) and, with --ravdess, on real speech (acoustic,
SVM). For JSON that differs, the keys that differ are named; pictures are not compared.

Example: python tools/compare_artifacts.py 7230a2b --ravdess ../shared/data/ravdess
Ends with: 61 files are the same, 0 differ
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPARED = (".csv", ".json", ".npz", ".safetensors", ".txt")
DEMO = """
1_data_preprocessing --corpora demo --out-dir out/processed
2_wavlm_feature_extraction --model acoustic --metadata out/processed/demo.csv --out out/acoustic.npz
2_wavlm_feature_extraction --model wavlm_nano --pooling mean std --metadata out/processed/demo.csv --out out/nano.npz
2_wavlm_feature_extraction --model wavlm_nano --metadata out/processed/demo.csv --out out/mean.npz
2_wavlm_feature_extraction --model acoustic --augment 1 --metadata out/processed/demo.csv --out out/augmented.npz
3_train_classifiers --npz-path out/acoustic.npz
3_train_classifiers --npz-path out/nano.npz --layer all
3_train_classifiers --npz-path out/nano.npz --layer each --classifier svm
3_train_classifiers --npz-path out/nano.npz --layer auto --classifier svm --tune 2
3_train_classifiers --npz-path out/nano.npz --layer mean --classifier svm --cv random --repeats 2
3_train_classifiers --npz-path out/nano.npz --layer mean --classifier svm --leak scaler
3_train_classifiers --npz-path out/augmented.npz --classifier svm
3_train_classifiers --npz-path out/mean.npz --protocol superb --cv speaker
5_visualization_umap --npz-path out/nano.npz
4_evaluation_metrics
"""
RAVDESS = """
1_data_preprocessing --corpora ravdess --emotions all --data-dir {ravdess} --out-dir out/processed
2_wavlm_feature_extraction --model acoustic --metadata out/processed/ravdess.csv --out out/ravdess.npz
3_train_classifiers --npz-path out/ravdess.npz --classifier svm
"""


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    commands = DEMO + (RAVDESS.format(ravdess=args.ravdess.resolve()) if args.ravdess else "")
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        return report(*(artifacts(run_steps(export(revision, work), commands)) for revision in (args.old, args.new)))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="a revision")
    parser.add_argument("new", nargs="?", default="HEAD", help="another one (default: HEAD)")
    parser.add_argument("--ravdess", type=Path, metavar="DIR", help="RAVDESS's folder")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep the files here; what ran there is not run again")
    return parser.parse_args(argv)


def export(revision: str, work: Path) -> Path:
    """The revision's files in a folder of their own, named by the commit."""
    commit = git("rev-parse", "--short", f"{revision}^{{commit}}").decode().strip()
    folder = work / commit
    if not folder.exists():
        folder.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", str(folder)], input=git("archive", commit), check=True)
    return folder


def git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=True).stdout


def run_steps(checkout: Path, commands: str) -> Path:
    done = checkout / "commands.txt"
    if done.exists() and done.read_text() == commands:
        return checkout
    for command in filter(None, commands.splitlines()):
        script, *flags = command.split()
        if script.startswith(("3", "4", "5")):
            flags += ["--results-dir", "out/results"]
        if script.startswith("3"):
            flags += ["--models-dir", "out/models"]
        print(f"{checkout.name}: {script} {' '.join(flags)}", flush=True)
        line = [sys.executable, f"src/{script}.py", *flags]
        ended = subprocess.run(line, cwd=checkout, capture_output=True, text=True)
        if ended.returncode:
            sys.exit(f"{' '.join(line)} failed:\n{ended.stderr}")
    done.write_text(commands)
    return checkout


def artifacts(checkout: Path) -> dict[str, Path]:
    out = checkout / "out"
    return {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.suffix in COMPARED}


def report(old: dict[str, Path], new: dict[str, Path]) -> int:
    """Print what differs; 1 where anything does."""
    same = [name for name in old if name in new and old[name].read_bytes() == new[name].read_bytes()]
    for name in sorted({*old, *new} - set(same)):
        if name not in new or name not in old:
            print(f"only {'before' if name in old else 'after'}: {name}")
        elif name.endswith(".json"):
            keys = differing(json.loads(old[name].read_text()), json.loads(new[name].read_text()))
            print(f"differs: {name}: {', '.join(keys)}")
        else:
            print(f"differs: {name}")
    n_differing = len({*old, *new}) - len(same)
    print(f"{len(same)} files are the same, {n_differing} differ")
    return 1 if n_differing else 0


def differing(old, new, name: str = "") -> list[str]:
    """The paths of the keys whose values differ."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [name]
    return [path for key in sorted({*old, *new}) for path in differing(old.get(key), new.get(key), f"{name}/{key}")]


if __name__ == "__main__":
    sys.exit(main())
