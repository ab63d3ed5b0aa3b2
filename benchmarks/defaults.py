"""The classifiers' defaults against other settings, by UAR on inner speaker-independent splits, never on test folds.

Writes  a table as Markdown, and with --out a JSON file

Every training part of the five speaker folds is divided once more, by speaker. A setting is fitted on one part of it
and its UAR is taken on the other, for every fold. The column `mean` is what a default is chosen by.

Example: python benchmarks/defaults.py --npz-path embeddings/ravdess8_{acoustic,whisper_base}.npz --out defaults.json
"""

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

# Keyword arguments of the classifiers; {} are the defaults; gamma is in 1/d. The MLP is one network of its committee.
SETTINGS = {
    "svm": [{"C": C, "gamma": gamma} for C in (1.0, 10.0, 100.0) for gamma in (0.1, 0.3, 1.0, 3.0)],
    "logistic": [{}, *({"C": C} for C in (3.0, 10.0, 30.0, 100.0))],
    "mlp": [
        {"networks": 1} | other for other in [{}, {"dropout": 0.2}, {"dropout": 0.6}, {"width": 512}, {"rate": 3e-4}]
    ],
    "xgboost": [{}, {"depth": 2}, {"depth": 5}, {"columns": 0.3}, {"rounds": 400, "rate": 0.05}],
}


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--npz-path", nargs="+", type=Path, required=True, help="files of step 2; all layers are used")
    parser.add_argument("--classifier", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument(
        "--parts", type=int, default=5, help="how many of the five training parts are used (default: all)"
    )
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    rows: dict[str, dict[str, float]] = {}
    for path in args.npz_path:
        for setting, uar in measured(path, args.classifier, args.parts):
            rows.setdefault(setting, {})[path.stem] = uar
            print(f"{path.stem} {setting}: {uar:.3f}", flush=True)
    print(table(rows, [path.stem for path in args.npz_path]))
    if args.out:
        args.out.write_text(json.dumps(rows, indent=2) + "\n")


def measured(path: Path, classifiers: list[str], parts: int) -> Iterator[tuple[str, float]]:
    """Each setting in words, and the mean of its inner UARs."""
    from speechemb.artifacts import embeddings
    from speechemb.splits import protocols
    from speechemb.training import cross_validation, layer_selection

    plan = protocols.plan(embeddings.read(path, "all"), protocols.Protocol("speaker", 5, 0, 1, ""))
    for name in classifiers:
        recipe = cross_validation.Recipe(name, layer="all")
        task = cross_validation.task_of(plan.data, recipe, plan.group)

        def inner(settings, fold, recipe=recipe, task=task) -> float:
            make = partial(recipe.make, len(task.classes), **settings)
            clips = fold.train
            return layer_selection.inner_uar(make, task.x[clips], task.y[clips], task.group[clips], recipe.seed)

        with ThreadPoolExecutor(2) as executor:
            for settings in SETTINGS[name]:
                words = ", ".join(f"{key} {value:g}" for key, value in settings.items()) or "defaults"
                uars = list(executor.map(partial(inner, settings), plan.folds[:parts]))
                yield f"{name}: {words}", float(np.mean(uars))


def table(rows: dict[str, dict[str, float]], names: list[str]) -> str:
    """Settings by encoders, as Markdown."""
    lines = [["classifier: settings", *names, "mean"], ["---"] * (len(names) + 2)]
    for setting, uars in rows.items():
        lines.append([setting, *(f"{uars[name]:.3f}" for name in names), f"{np.mean(list(uars.values())):.3f}"])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    main()
