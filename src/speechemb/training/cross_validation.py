"""Out-of-fold predictions, fold by fold, and the final model fitted on all clips."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from speechemb import classifiers
from speechemb.artifacts.embeddings import Embeddings
from speechemb.classifiers import Classifier
from speechemb.classifiers.rows import Rows, taken
from speechemb.errors import InputError
from speechemb.labels import ordered
from speechemb.layers import take_layer
from speechemb.metrics import classification, raters
from speechemb.splits.folds import Fold
from speechemb.splits.protocols import voices_of
from speechemb.training import effort, layer_selection, tuning


@dataclass
class Task:
    """What a classifier is trained and tested on: `x` (n, d) float32, `y` (n,) class numbers, `group` (n,).

    Where the layer is chosen in each fold (`auto`) or learned (`weighted`), `x` is (n, n_layers, dim) of `layers`.
    """

    x: np.ndarray
    y: np.ndarray
    group: np.ndarray
    classes: list[str]
    layers: list[int] = field(default_factory=list)
    corpora: np.ndarray | None = None  # (n,); folds whose figures stand by corpus need it
    votes: np.ndarray | None = None  # (n, K) of raters, where labels are their majority
    hard: bool = False  # learn from the majority alone

    def features(self, layer: str, clips: np.ndarray) -> np.ndarray | Rows:
        """The features of these clips: rows of `x`, or of one layer (or mix of layers) where `x` has all of them."""
        return taken(take_layer(self.x, self.layers, layer) if self.x.ndim == 3 else self.x, clips)


@dataclass(frozen=True)
class Recipe:
    """What to do with a training part: choose a layer (`auto`), tune (`trials` > 0), fit the classifier."""

    classifier: str
    seed: int = 0
    layer: str = "mean"
    trials: int = 0
    leak: str = ""  # one of splits.LEAKS

    def make(self, n_classes: int, **settings) -> Classifier:
        """An unfitted classifier with these settings."""
        if self.leak == "scaler":
            settings["standardise"] = False  # `task_of` has done it, on all clips
        return classifiers.make(self.classifier, n_classes, self.seed, **settings)


@dataclass
class Fitted:
    """A fitted classifier, its layer and settings, and how they were chosen."""

    classifier: Any  # a `Classifier`, or of targets that are numbers a `Regressor`
    layer: str
    settings: dict[str, Any]
    choices: dict[str, Any]  # for the log
    trials: list[dict[str, Any]]

    def predict_proba(self, task: Task, clips: np.ndarray) -> np.ndarray:
        """(n_clips, K) of the clips with these indices."""
        return self.classifier.predict_proba(task.features(self.layer, clips))


@dataclass
class Outcome:
    """Of a cross-validation: probabilities (n_test, K) per fold, rows of the tables, and the final model, if any."""

    results: list[tuple[Fold, np.ndarray]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    trials: list[dict[str, Any]] = field(default_factory=list)
    weights: list[dict[str, Any]] = field(default_factory=list)
    final: Fitted | None = None

    def add_tables(self, name: str, model: Fitted, layers: list[int]) -> None:
        """Rows of a fold (or of the final model) for the tables of trials and of learned layer weights."""
        self.trials += [{"fold": name, **row} for row in model.trials]
        weights = getattr(model.classifier, "layer_weights", None)
        if weights is not None:
            rows = [{"layer": layer, "weight": float(one)} for layer, one in zip(layers, weights, strict=True)]
            self.weights += [{"fold": name, **row} for row in rows]


def task_of(data: Embeddings, recipe: Recipe, group: np.ndarray) -> Task:
    """The task of a recipe: features of its layer, and labels as numbers in the project's order of emotions.

    Raises:
        InputError: there is one class only, or the classifier does not scale its features (with the leak `scaler`).
    """
    classes = ordered(data.labels)
    if len(classes) < 2:
        raise InputError(f"all clips are {classes[0]}: a classifier needs at least two classes (--emotions in step 1)")
    x = data.embeddings if recipe.layer == "auto" else data.features(recipe.layer)
    if recipe.leak == "scaler":
        if recipe.classifier not in classifiers.STANDARDISED:
            raise InputError(
                f"--leak scaler: {recipe.classifier} does not scale its features: use --classifier "
                + " ".join(classifiers.STANDARDISED)
            )
        x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)  # the leak: mean and deviation include the test clips
    return Task(
        x,
        classification.indices(data.labels.tolist(), classes, "true"),
        group,
        classes,
        data.layers.tolist(),
        data.corpora,
        **({"votes": data.raters.votes_of(data, classes), "hard": data.raters.hard} if data.raters else {}),
    )


def fit(recipe: Recipe, task: Task, clips: np.ndarray) -> Fitted:
    """Fit on the clips with these indices, as the recipe says."""
    make = partial(recipe.make, len(task.classes))
    draft = partial(make, **classifiers.DRAFT.get(recipe.classifier, {}))
    y, group, layer = task.y[clips], task.group[clips], recipe.layer
    settings, choices, trials = {}, {}, []
    if recipe.layer == "auto":
        layer, uar = layer_selection.best_layer(draft, task.x[clips], task.layers, y, group, recipe.seed)
        choices |= {"layer": layer, "layer_inner_uar": uar}
    x = task.features(layer, clips)
    if recipe.trials:
        settings, trials = tuning.best_settings(recipe.classifier, draft, x, y, group, recipe.seed, recipe.trials)
        choices |= {"settings": json.dumps(settings, sort_keys=True)}
    classifier = make(**settings).fit(x, y, group, **shares_for(recipe, task, clips))
    choices |= getattr(classifier, "chosen", {})  # settings that the classifier chose itself
    return Fitted(classifier, layer, settings, choices, trials)


def shares_for(recipe: Recipe, task: Task, clips: np.ndarray) -> dict[str, np.ndarray]:
    """What `fit` is given of the raters' votes: their shares, where the classifier can learn them."""
    if task.votes is None or task.hard or recipe.classifier not in classifiers.FROM_SHARES:
        return {}
    return {"shares": raters.shares_of(task.votes[clips])}


def fit_and_test(recipe: Recipe, task: Task, fold: Fold) -> tuple[Fitted, np.ndarray]:
    """What was fitted on the fold's training part, and the probabilities (n_test, K) of its test clips."""
    model = fit(recipe, task, fold.train)
    return model, model.predict_proba(task, fold.test)


def cross_validated(
    recipe: Recipe, task: Task, folds: list[Fold], note: Callable[[list[dict[str, Any]]], None], final: bool = False
) -> Outcome:
    """`fitted_by_fold` of a classifier: its results are the probabilities (n_test, K) of each fold."""
    return fitted_by_fold((fit, fit_and_test, log_rows), recipe, task, folds, note, final)


def fitted_by_fold(
    work: tuple[Callable[..., Fitted], Callable[..., tuple[Fitted, np.ndarray]], Callable[..., list[dict[str, Any]]]],
    recipe: Recipe,
    task: Task,
    folds: list[Fold],
    note: Callable[[list[dict[str, Any]]], None],
    final: bool,
) -> Outcome:
    """Fit and test every fold and, with `final`, fit on all clips; `note` is called with each fold's rows of the log.

    As many fits run in parallel as there are cores, fewer where the memory does not hold them. Each draws from its own
    random generator, so the result does not depend on what runs beside it. `work`: functions as `fit`, `fit_and_test`
    and `log_rows` here.
    """
    fit_on, fit_and_predict, rows_of = work
    outcome = Outcome()
    executor = ThreadPoolExecutor(effort.fits_at_once(recipe.classifier, task.x))
    try:
        tested = executor.map(partial(fit_and_predict, recipe, task), folds)
        whole = executor.submit(fit_on, recipe, task, np.arange(len(task.y))) if final else None
        for fold, (model, predicted) in zip(folds, tested, strict=True):
            outcome.results.append((fold, predicted))
            outcome.add_tables(fold.name, model, task.layers)
            rows = rows_of(fold, model, predicted, task)
            outcome.log += rows
            note(rows)
        if whole:
            outcome.final = whole.result()
            outcome.add_tables("final", outcome.final, task.layers)
    finally:
        executor.shutdown(cancel_futures=True)  # after an error, start nothing more
    return outcome


def log_rows(fold: Fold, model: Fitted, probabilities: np.ndarray, task: Task) -> list[dict[str, Any]]:
    """The fold's rows of the training log: one, or for cross-corpus runs one for each corpus that is tested."""
    if not fold.by_corpus or task.corpora is None:
        return [log_row(fold.name, fold, np.ones(len(fold.test), bool), model, probabilities, task)]
    corpora = task.corpora[fold.test]
    return [
        log_row(f"train {fold.name}, test {name}", fold, corpora == name, model, probabilities, task)
        for name in np.unique(corpora)
    ]


def log_row(
    name: str, fold: Fold, tested: np.ndarray, model: Fitted, probabilities: np.ndarray, task: Task
) -> dict[str, Any]:
    """A row of the training log: clips and groups, figures of the `tested` (n_test,) clips, and what was chosen."""
    classes, test = np.array(task.classes), fold.test[tested]
    true, predicted = classes[task.y[test]], classes[probabilities[tested].argmax(axis=1)]
    return {
        "fold": name,
        "train_clips": len(fold.train),
        "test_clips": len(test),
        "train_groups": len(np.unique(task.group[fold.train])),
        "test_groups": len(np.unique(task.group[test])),
        **classification.summary(true.tolist(), predicted.tolist(), task.classes),
        "epochs": getattr(model.classifier, "epochs", ""),
        **model.choices,
    }


def predictions_frame(data: Embeddings, task: Task, results: list[tuple[Fold, np.ndarray]]) -> pd.DataFrame:
    """One row per clip and fold: fold after fold, each in the order of the embeddings. `group`: see `groups.voices`."""
    classes, voices, frames = np.array(task.classes), voices_of(data), []
    for fold, probabilities in results:
        answers = {"true": classes[task.y[fold.test]], "predicted": classes[probabilities.argmax(axis=1)]}
        scores = {f"p_{label}": probabilities[:, i] for i, label in enumerate(task.classes)}
        if task.votes is not None:
            scores |= {f"votes_{label}": task.votes[fold.test, i] for i, label in enumerate(task.classes)}
        frames.append(pd.DataFrame({**clip_columns(data, voices, fold), **answers, **scores}))
    return pd.concat(frames, ignore_index=True)


def clip_columns(data: Embeddings, voices: np.ndarray, fold: Fold) -> dict[str, Any]:
    """The columns of predictions that say which clips of a fold they are for; `voices` (n,): see `groups.voices`."""
    return {
        "clip_id": data.clip_ids[fold.test],
        "path": data.paths[fold.test],
        "corpus": data.corpora[fold.test],
        "speaker": data.speakers[fold.test],
        "group": voices[fold.test],
        "fold": fold.name,
    }
