"""Out-of-fold predictions, fold by fold, and the final model on everything."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from speechemb import classifiers
from speechemb.artifacts.embeddings import Embeddings
from speechemb.classifiers import Classifier
from speechemb.errors import InputError
from speechemb.labels import ordered
from speechemb.layers import take_layer
from speechemb.metrics import classification
from speechemb.splits.folds import Fold
from speechemb.training import layer_selection, tuning


@dataclass
class Task:
    """What a classifier is trained and tested on: `x` (n, d) float32, `y` (n,) class numbers, `group` (n,).

    Where the layer is chosen in each fold (`auto`) or learned (`weighted`), `x` is (n, n_layers, dim) of `layers`.
    """

    x: np.ndarray
    y: np.ndarray
    group: np.ndarray
    labels: list[str]
    layers: list[int] = field(default_factory=list)

    def of(self, layer: str) -> "Task":
        """The same with the features of one layer or mix."""
        return replace(self, x=take_layer(self.x, self.layers, layer))


@dataclass(frozen=True)
class Recipe:
    """What is done with a training part: choose a layer (`auto`), tune (`trials` > 0), fit the classifier."""

    classifier: str
    seed: int = 0
    layer: str = "mean"
    trials: int = 0
    leak: str = ""  # see protocols.LEAKS

    @property
    def fixed(self) -> dict[str, Any]:
        """Settings of the classifier that are not tuned."""
        return {"standardise": False} if self.leak == "scaler" else {}


@dataclass
class Fitted:
    """A classifier, what it was decided to be, and the trials that decided it."""

    classifier: Classifier
    layer: str
    settings: dict[str, Any]
    choices: dict[str, Any]
    trials: list[dict[str, Any]]
    reads: Callable[[Task], Task]  # from the task's features to those it was fitted on

    def predict_proba(self, task: Task, clips: np.ndarray) -> np.ndarray:
        """(n_clips, K) of the clips with these indices."""
        return self.classifier.predict_proba(self.reads(task).x[clips])


@dataclass
class Outcome:
    """Of a cross-validation: probabilities (n_test, K) of each fold, rows for the log and the other tables, and what
    was fitted on all clips, if asked for."""

    results: list[tuple[Fold, np.ndarray]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    trials: list[dict[str, Any]] = field(default_factory=list)
    weights: list[dict[str, Any]] = field(default_factory=list)
    final: Fitted | None = None


def task_of(data: Embeddings, recipe: Recipe, group: np.ndarray) -> Task:
    """The features of the recipe's layer with the labels as numbers in the project's order of emotions."""
    labels = ordered(data.labels)
    if len(labels) < 2:
        raise InputError(f"all clips are {labels[0]}: a classifier needs at least two classes (--emotions in step 1)")
    x = data.embeddings if recipe.layer == "auto" else data.features(recipe.layer)
    if recipe.leak == "scaler":
        if recipe.classifier not in ("svm", "mlp"):
            raise InputError(
                f"--leak scaler: {recipe.classifier} does not scale its features: use --classifier svm mlp"
            )
        x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)  # the mistake: test clips are in the mean and the deviation
    return Task(x, classification.indices(data.labels, labels, "true"), group, labels, data.layers.tolist())


def fitted(recipe: Recipe, task: Task, clips: np.ndarray) -> Fitted:
    """The recipe done with the clips with these indices."""
    y, group, layer, choices = task.y[clips], task.group[clips], recipe.layer, {}

    def make(**settings) -> Classifier:
        return classifiers.make(recipe.classifier, len(task.labels), recipe.seed, **recipe.fixed, **settings)

    def reads(task: Task) -> Task:
        return task.of(layer) if recipe.layer == "auto" else task

    if recipe.layer == "auto":
        layer, uar = layer_selection.best_layer(make, task.x[clips], task.layers, y, group, recipe.seed)
        choices |= {"layer": layer, "layer_inner_uar": uar}
    x, settings, trials = reads(task).x[clips], {}, []
    if recipe.trials:
        settings, trials = tuning.best_settings(recipe.classifier, make, x, y, group, recipe.seed, recipe.trials)
        choices |= {"settings": json.dumps(settings, sort_keys=True)}
    classifier = make(**settings).fit(x, y, group)
    return Fitted(classifier, layer, settings, choices, trials, reads)


def out_of_fold(recipe: Recipe, task: Task, folds: list[Fold]) -> Iterator[tuple[Fold, Fitted, np.ndarray]]:
    """Each fold with what was fitted on its training part and the probabilities (n_test, K) of its test clips.

    As many folds at once as there are cores. Every fit draws its random numbers from a generator of its own, so that
    what runs beside it does not matter.
    """
    from joblib import cpu_count

    def one(fold: Fold) -> tuple[Fold, Fitted, np.ndarray]:
        model = fitted(recipe, task, fold.train)
        nothing = np.empty((0, len(task.labels)))
        return fold, model, model.predict_proba(task, fold.test) if len(fold.test) else nothing

    with ThreadPoolExecutor(cpu_count()) as pool:
        yield from pool.map(one, folds)


def cross_validated(
    recipe: Recipe, task: Task, folds: list[Fold], note: Callable[[dict[str, Any]], None], final: bool = False
) -> Outcome:
    """All folds, and with `final` the recipe done with all clips; `note` is told every fold's figures."""
    outcome, labels, everything = Outcome(), np.array(task.labels), np.arange(len(task.y))
    whole = Fold("final", everything, everything[:0])
    for fold, model, probabilities in out_of_fold(recipe, task, folds + [whole] * final):
        add_tables(outcome, fold.name, model, task)
        if fold is whole:
            outcome.final = model
            continue
        figures = classification.summary(labels[task.y[fold.test]], labels[probabilities.argmax(axis=1)], task.labels)
        counts = {
            "train_clips": len(fold.train),
            "test_clips": len(fold.test),
            "train_groups": len(np.unique(task.group[fold.train])),
            "test_groups": len(np.unique(task.group[fold.test])),
        }
        epochs = {"epochs": getattr(model.classifier, "epochs", "")}
        outcome.log.append({"fold": fold.name, **counts, **figures, **epochs, **model.choices})
        outcome.results.append((fold, probabilities))
        note(outcome.log[-1])
    return outcome


def add_tables(outcome: Outcome, name: str, model: Fitted, task: Task) -> None:
    """The rows of a fold (or of the final model) for the tables of trials and of learned layer weights."""
    outcome.trials += [{"fold": name, **row} for row in model.trials]
    weights = getattr(model.classifier, "layer_weights", [])
    outcome.weights += [
        {"fold": name, "layer": layer, "weight": float(w)} for layer, w in zip(task.layers, weights, strict=False)
    ]


def predictions_frame(data: Embeddings, task: Task, results: list[tuple[Fold, np.ndarray]]) -> pd.DataFrame:
    """One row a clip and fold, in the order of the embeddings within each fold's name."""
    labels = np.array(task.labels)
    frames = []
    for fold, probabilities in results:
        columns = {
            "clip_id": data.clip_ids[fold.test],
            "corpus": data.corpora[fold.test],
            "speaker": data.speakers[fold.test],
            "fold": fold.name,
            "true": labels[task.y[fold.test]],
            "predicted": labels[probabilities.argmax(axis=1)],
        }
        scores = {f"p_{label}": probabilities[:, i] for i, label in enumerate(task.labels)}
        frames.append(pd.DataFrame({**columns, **scores}))
    return pd.concat(frames, ignore_index=True)
