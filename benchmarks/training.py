"""Time and accuracy of step 3's classifiers against the same kinds used plainly, on planted classes.

Writes  a table, and with --out a JSON file

Made data of CREMA-D's size: 7,442 clips of 91 speakers in six classes. A vector is a mixture of 64 hidden numbers:
noise, the speaker, the class, and how this speaker shows this class. Folds are speaker-disjoint, the same for all.

    ours       the folds of step 3, without the model on all clips
    + final    the same with that model, as step 3 runs it
    plain      scikit-learn's SVC, MLPClassifier and LogisticRegressionCV (C from the same six values, on three splits)
               behind a StandardScaler, and XGBClassifier, with their default settings, fold by fold, as many threads
               as they take by themselves; the SVC also with the settings of this project (C = 10, balanced classes)

Example: python benchmarks/training.py --dims 768 --out training.json
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

CLASSIFIERS = ("svm", "logistic", "mlp", "xgboost")
HIDDEN = 64
CLASSES = 6


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", nargs="+", type=int, default=[768, 1024], help="of the vectors")
    parser.add_argument("--classifiers", nargs="+", choices=CLASSIFIERS, default=list(CLASSIFIERS))
    parser.add_argument("--clips", type=int, default=7442)
    parser.add_argument("--speakers", type=int, default=91)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--effect", type=float, default=0.3, help="of the class on a hidden number, in its deviations")
    parser.add_argument("--no-plain", action="store_true", help="only this project's times")
    parser.add_argument("--quick", action="store_true", help="600 clips of 12 speakers, 64 dimensions, 2 folds")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args(argv)
    if args.quick:
        args.dims, args.clips, args.speakers, args.folds = [64], 600, 12, 2
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from speechemb.splits.folds import make_folds

    warnings.simplefilter("ignore")
    results = []
    for dim in args.dims:
        x, y, speaker = planted(args, dim)
        folds = make_folds(y.astype(str), speaker, args.folds, "speaker", 0)
        for name in args.classifiers:
            warm_up(name, x, y, speaker, not args.no_plain)
            results.append({"dim": dim, "classifier": name, **measured(name, x, y, speaker, folds, not args.no_plain)})
            print_result(results[-1])
        print_sum(dim, [row for row in results if row["dim"] == dim])
    if args.out:
        settings = {key: getattr(args, key) for key in ("clips", "speakers", "folds", "effect")}
        args.out.write_text(json.dumps({**settings, "results": results}, indent=2) + "\n")


def warm_up(name: str, x: np.ndarray, y: np.ndarray, speaker: np.ndarray, with_plain: bool) -> None:
    """Imports and first calls do not count."""
    from speechemb.splits.folds import make_folds

    some = slice(0, 500)
    folds = make_folds(y[some].astype(str), speaker[some], 2, "speaker", 0)
    measured(name, x[some, :8], y[some], speaker[some], folds, with_plain)


def planted(args: argparse.Namespace, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors (n, dim) float32, classes (n,), speakers (n,)."""
    rng = np.random.default_rng(0)
    speaker, y = rng.integers(0, args.speakers, args.clips), rng.integers(0, CLASSES, args.clips)
    hidden = rng.normal(size=(args.clips, HIDDEN)) + 0.7 * rng.normal(size=(args.speakers, HIDDEN))[speaker]
    hidden += args.effect * rng.normal(size=(CLASSES, HIDDEN))[y]
    hidden += args.effect * rng.normal(size=(args.speakers, CLASSES, HIDDEN))[speaker, y]
    x = hidden @ rng.normal(size=(HIDDEN, dim)) / HIDDEN**0.5 + 0.3 * rng.normal(size=(args.clips, dim))
    return x.astype(np.float32), y, speaker


def measured(name: str, x: np.ndarray, y: np.ndarray, speaker: np.ndarray, folds: list, with_plain: bool) -> dict:
    """Seconds and UAR over all test clips."""
    from speechemb.metrics.classification import uar_of_numbers
    from speechemb.training import cross_validation

    task, recipe = cross_validation.Task(x, y, speaker, [str(k) for k in range(CLASSES)]), cross_validation.Recipe(name)
    result = {}
    for final in (False, True):
        start = time.perf_counter()
        outcome = cross_validation.cross_validated(recipe, task, folds, lambda figures: None, final=final)
        result["seconds with final" if final else "seconds"] = time.perf_counter() - start
    predicted = np.empty_like(y)
    for fold, probabilities in outcome.results:
        predicted[fold.test] = probabilities.argmax(axis=1)
    result["uar"] = uar_of_numbers(y, predicted)
    result["plain"] = []
    for label, make in plain(name, x.shape[1]).items() if with_plain else ():
        start = time.perf_counter()
        for fold in folds:
            predicted[fold.test] = make().fit(x[fold.train], y[fold.train]).predict(x[fold.test])
        seconds = time.perf_counter() - start
        result["plain"].append({"settings": label, "seconds": seconds, "uar": uar_of_numbers(y, predicted)})
    return result


def plain(name: str, dim: int) -> dict[str, Callable]:
    """The classifier as a newcomer would write it down, by settings; `dim` of the vectors."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from xgboost import XGBClassifier

    from speechemb.classifiers.logistic import GRID

    return {
        "svm": {
            "same settings": lambda: make_pipeline(
                StandardScaler(), SVC(C=10, gamma=0.3 / dim, class_weight="balanced")
            ),
            "defaults": lambda: make_pipeline(StandardScaler(), SVC()),
        },
        "logistic": {
            "same choice of C": lambda: make_pipeline(
                StandardScaler(), LogisticRegressionCV(Cs=np.array(GRID) / dim, cv=3, class_weight="balanced")
            )
        },
        "mlp": {"defaults": lambda: make_pipeline(StandardScaler(), MLPClassifier(random_state=0))},
        "xgboost": {"defaults": lambda: XGBClassifier(random_state=0)},
    }[name]


def print_result(row: dict) -> None:
    ours = f"ours {row['seconds']:6.1f} s (+ final {row['seconds with final']:6.1f} s), UAR {row['uar']:.3f}"
    print(f"{row['dim']:5} {row['classifier']:8} {ours}", flush=True)
    for one in row["plain"]:
        ratio = one["seconds"] / row["seconds"]
        print(
            f"{'':14} plain, {one['settings']}: {one['seconds']:.1f} s ({ratio:.1f} x), UAR {one['uar']:.3f}",
            flush=True,
        )


def print_sum(dim: int, rows: list[dict]) -> None:
    without, with_final = (sum(row[key] for row in rows) for key in ("seconds", "seconds with final"))
    print(f"{dim:5} {'all':8} ours {without:6.1f} s (+ final {with_final:6.1f} s)", flush=True)


if __name__ == "__main__":
    main()
