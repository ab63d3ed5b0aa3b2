"""Targets that are numbers: choose, tune and fit inside each fold, predict its test clips, and write the run."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import regression, storage
from speechemb.artifacts.atomic import together
from speechemb.artifacts.embeddings import Embeddings
from speechemb.artifacts.predictions import write_excluded, write_log
from speechemb.classifiers import persistence, regressors
from speechemb.classifiers.novelty import Novelty
from speechemb.classifiers.rows import Rows, part
from speechemb.layers import take_layer
from speechemb.metrics import regression as metrics
from speechemb.speakers import within_corpus
from speechemb.splits.folds import Fold
from speechemb.splits.protocols import Plan, Protocol, voices_of
from speechemb.training import cross_validation, layer_selection, tuning
from speechemb.training.cross_validation import Fitted, Outcome, Recipe, Task
from speechemb.training.run import TrainingRun


def task_of(data: Embeddings, recipe: Recipe, group: np.ndarray, targets: list[str]) -> Task:
    """Features of the recipe's layer, and the targets' numbers (n, T) as `y`."""
    x = data.embeddings if recipe.layer == "auto" else data.features(recipe.layer)
    y = np.stack([data.numbers[name] for name in targets], axis=1)
    return Task(x, y, group, targets, data.layers.tolist(), data.corpora)


def inner_ccc(make: Callable[[], Any], x: np.ndarray | Rows, y: np.ndarray, group: np.ndarray, seed: int) -> float:
    """CCC on the validation part of the inner split, of a regressor fitted on the rest; mean over the targets."""
    train, valid = regressors.held_out(group, seed)
    fitted = make().fit(part(x, train), y[train], group[train])
    return metrics.ccc_of_numbers(y[valid], fitted.predict(part(x, valid)))


def fit(recipe: Recipe, task: Task, clips: np.ndarray) -> Fitted:
    """Fit on the clips with these indices, as the recipe says."""
    make = partial(regressors.make, recipe.classifier, len(task.classes), recipe.seed)
    draft = partial(make, **regressors.DRAFT.get(recipe.classifier, {}))
    y, group, layer = task.y[clips], task.group[clips], recipe.layer
    settings, choices, trials = {}, {}, []
    if layer == "auto":
        vectors = task.x[clips]
        found = {
            one: inner_ccc(draft, take_layer(vectors, task.layers, one), y, group, recipe.seed)
            for one in layer_selection.candidates(task.layers)
        }
        layer = max(found, key=found.__getitem__)
        choices |= {"layer": layer, "layer_inner_ccc": found[layer]}
    x = task.features(layer, clips)
    if recipe.trials:
        of = regressors.class_of(recipe.classifier)
        settings, trials = tuning.best_settings(
            recipe.classifier, draft, x, y, group, recipe.seed, recipe.trials, inner_ccc, of
        )
        choices |= {"settings": json.dumps(settings, sort_keys=True)}
    regressor = make(**settings).fit(x, y, group)
    choices |= getattr(regressor, "chosen", {})
    return Fitted(regressor, layer, settings, choices, trials)


def fit_and_test(recipe: Recipe, task: Task, fold: Fold) -> tuple[Fitted, np.ndarray]:
    """What was fitted on the fold's training part, and the predictions (n_test, T) of its test clips."""
    model = fit(recipe, task, fold.train)
    return model, model.classifier.predict(task.features(model.layer, fold.test))


def log_rows(fold: Fold, model: Fitted, predicted: np.ndarray, task: Task) -> list[dict[str, Any]]:
    """The fold's row of the log: clips, groups, CCC and RMSE of each target, their mean CCC, and what was chosen."""
    row: dict[str, Any] = {
        "fold": fold.name,
        "train_clips": len(fold.train),
        "test_clips": len(fold.test),
        "train_groups": len(np.unique(task.group[fold.train])),
        "test_groups": len(np.unique(task.group[fold.test])),
    }
    total = totals(task.y[fold.test], predicted)
    row["ccc"] = float(np.nan_to_num(metrics.ccc_of(total)).mean())
    for name, one in zip(task.classes, total, strict=True):
        row |= {f"ccc_{name}": float(metrics.ccc_of(one)), f"rmse_{name}": float(metrics.rmse_of(one))}
    return [row | {"epochs": getattr(model.classifier, "epochs", ""), **model.choices}]


def totals(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The sums (T, 6) of all clips; about the mean of the true numbers, so that no digits are lost."""
    everything, means = np.zeros(len(true), np.int64), true.mean(axis=0)
    pairs = zip((true - means).T, (predicted - means).T, strict=True)
    return np.stack([metrics.sums(t, p, everything, 1)[0] for t, p in pairs])


def run_of(plan: Plan, recipe: Recipe, protocol: Protocol, command: str, targets: list[str]) -> TrainingRun:
    """The run of a recipe on a plan's clips: on these targets as numbers, or without any on the plan's classes."""
    if not targets:
        return TrainingRun(plan, cross_validation.task_of(plan.data, recipe, plan.group), recipe, protocol, command)
    return RegressionRun(plan, task_of(plan.data, recipe, plan.group, targets), recipe, protocol, command)


@dataclass
class RegressionRun(TrainingRun):
    """A run on targets that are numbers, whose names are the `classes` of its task."""

    @property
    def tag(self) -> str:
        """`<encoder>[-<pooling>]-<corpora>-<targets>-<layer>-<regressor>[-tune<N>]-<protocol>[-seed<N>]`."""
        return self.tag_with(self.plan.target)

    @property
    def name(self) -> str:
        return regression.name_of(self.tag)

    def stamp(self) -> dict[str, Any]:
        meta = regression.RegressionMeta(**self.settings(), labels=[], targets=self.task.classes)
        return meta.stamp(self.command)

    @property
    def makes_model(self) -> bool:
        return True

    def cross_validated(self, note: Callable[[list[dict[str, Any]]], None], final: bool) -> Outcome:
        """As `cross_validation.cross_validated`, with the predictions (n_test, T) of each fold as results."""
        work = fit, fit_and_test, log_rows
        return cross_validation.fitted_by_fold(work, self.recipe, self.task, self.plan.folds, note, final)

    def headline(self, outcome: Outcome) -> str:
        """`CCC pooled arousal 0.612, valence 0.341`."""
        predicted = np.concatenate([of for _, of in outcome.results])
        ccc = metrics.ccc_of(totals(np.concatenate([self.task.y[fold.test] for fold, _ in outcome.results]), predicted))
        words = [f"{name} {value:.3f}" for name, value in zip(self.task.classes, ccc, strict=True)]
        return "CCC pooled " + ", ".join(words)

    def fold_words(self, row: dict[str, Any]) -> str:
        """A fold's figures for `--verbose`."""
        return ", ".join(f"CCC {name} {row[f'ccc_{name}']:.3f}" for name in self.task.classes)

    def write(self, outcome: Outcome, stamp: dict[str, Any], results: Path, models: Path) -> Path:
        """Model, log, trials and, last, the predictions; all files appear together."""
        path = results / self.name
        with together() as files:
            files.remove(storage.sidecar(path))
            if outcome.final:
                folder = models / self.tag
                persistence.save(folder, *self.model_of(outcome.final, outcome, stamp), files)
            write_log(results / f"training_{self.tag}.csv", outcome.log, stamp, files)
            if self.plan.dropped:
                write_excluded(results / f"excluded_{self.tag}.csv", self.plan.dropped, stamp, files)
            if outcome.trials:
                rows = pd.DataFrame(outcome.trials).round(6)
                storage.write_csv(results / f"tuning_{self.tag}.csv", rows, {**stamp, "kind": "tuning"}, files)
            regression.write(path, self.frame(outcome), stamp, files)
        return path

    def model_of(self, final: Fitted, outcome: Outcome, stamp: dict[str, Any]) -> tuple[Any, Novelty, dict[str, Any]]:
        """The regressor, what its training speech is like, and `model.json`."""
        data = self.plan.data
        speakers = np.unique(within_corpus(data.corpora, data.speakers))
        figures = {"protocol": stamp["protocol_note"], "n_folds": self.n_folds, "ccc": [r["ccc"] for r in outcome.log]}
        meta = {**stamp, "kind": regression.MODEL_KIND, "cross_validation": figures, "layer": final.layer}
        meta |= {"settings": final.settings, "clips": len(self.task.y), "speakers": int((speakers != "").sum())}
        if chosen := getattr(final.classifier, "chosen", {}):
            meta["chosen"] = chosen
        everything = np.arange(len(self.task.y))
        unlike = Novelty().fit(self.task.features(final.layer, everything), voices_of(data))
        return final.classifier, unlike, meta

    def frame(self, outcome: Outcome) -> pd.DataFrame:
        """One row per clip and fold: fold after fold, each in the order of the embeddings."""
        data, voices, frames = self.plan.data, voices_of(self.plan.data), []
        for fold, predicted in outcome.results:
            columns = cross_validation.clip_columns(data, voices, fold)
            for i, name in enumerate(self.task.classes):
                columns |= {f"true_{name}": self.task.y[fold.test, i], f"predicted_{name}": predicted[:, i]}
            frames.append(pd.DataFrame(columns))
        return pd.concat(frames, ignore_index=True)
