"""One run of step 3: its tag in file names, what its files record about it, and writing them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import predictions, schemas, storage
from speechemb.artifacts.atomic import Together, together
from speechemb.classifiers import persistence
from speechemb.classifiers.novelty import Novelty
from speechemb.metrics import calibration, classification
from speechemb.speakers import genders_of, known, within_corpus
from speechemb.splits.protocols import Plan, Protocol, speakers_on_both_sides, voices_of
from speechemb.training import effort
from speechemb.training.cross_validation import (
    Fitted,
    Outcome,
    Recipe,
    Task,
    cross_validated,
    predictions_frame,
)


@dataclass
class TrainingRun:
    """The clips and folds of a run, what is fitted on them, and the files they come from."""

    plan: Plan
    task: Task
    recipe: Recipe
    protocol: Protocol
    command: str

    @property
    def corpora(self) -> list[str]:
        """The corpora of the clips, sorted."""
        return np.unique(self.plan.data.corpora).tolist()

    @property
    def n_folds(self) -> int:
        """Folds of one repeat."""
        return len(self.plan.folds) // self.protocol.repeats

    @property
    def tag(self) -> str:
        """`<encoder>[-<pooling>]-<corpora>-<K>emo-<layer>-<classifier>[-tune<N>]-<protocol>[-seed<N>]`."""
        target = "emo" if self.plan.target == predictions.EMOTION else self.plan.target
        return self.tag_with(f"{len(self.task.classes)}{target}")

    def tag_with(self, what: str) -> str:
        """The tag, with a word for what is recognised."""
        recipe = self.recipe
        layer = f"layer{recipe.layer}" if recipe.layer.isdecimal() else recipe.layer
        name = recipe.classifier + (f"-tune{recipe.trials}" if recipe.trials else "")
        parts = [self.plan.data.tag, "+".join(self.corpora), what, layer, name]
        parts += [self.protocol.tag(self.n_folds)] + ([f"raters_{self.raters}"] if self.raters else [])
        return "-".join(parts) + (f"-seed{recipe.seed}" if recipe.seed else "")

    @property
    def raters(self) -> str:
        """The name of the raters whose votes give the labels; empty where the corpus does."""
        return self.plan.data.raters.name if self.plan.data.raters else ""

    def stamp(self) -> dict[str, Any]:
        """The provenance of the run's files, with the settings that step 4's tables show."""
        return predictions.RunMeta(**self.settings(), labels=self.task.classes).stamp(self.command)

    def settings(self) -> dict[str, Any]:
        """What `predictions.RunMeta` holds, without the classes."""
        data, recipe, protocol = self.plan.data, self.recipe, self.protocol
        return dict(
            embeddings=[source["sha256"] for source in data.sources],
            classifier=recipe.classifier,
            layer=recipe.layer,
            tune=recipe.trials,
            protocol=protocol.cv,
            n_folds=self.n_folds,
            repeats=protocol.repeats,
            leak=protocol.leak,
            normalise=protocol.normalise,
            seed=recipe.seed,
            raters=self.raters,
            target=self.plan.target,
            inputs=[schemas.Source(**source) for source in data.sources],
            tag=self.tag,
            encoder=data.meta["encoder"],
            encoder_source=data.meta["encoder_source"],
            pooling=data.meta["pooling"],
            precision=data.meta["precision"],
            layers=data.meta["layers"],
            fused=[predictions.EncoderPart.of(meta) for meta in data.parts],
            augmented=data.copies,
            features=self.task.x.shape[-1],
            corpora=self.corpora,
            protocol_note="; ".join(filter(None, [self.plan.note, data.raters and data.raters.note])),
            groups=len(np.unique(self.task.group)),
            speakers_on_both_sides=speakers_on_both_sides(data, self.plan.folds),
            dropped=len(self.plan.dropped),
            left_out=self.plan.left_out,
        )

    @property
    def name(self) -> str:
        """The name of the file of predictions."""
        return predictions.name_of(self.tag, self.plan.target)

    @property
    def makes_model(self) -> bool:
        """Whether a final model is fitted on all clips: not for cross-corpus runs, deliberate leakage and probes."""
        of_emotions = self.plan.target == predictions.EMOTION
        return self.protocol.cv != "cross-corpus" and not self.protocol.leak and of_emotions

    def warning(self, final: bool) -> str:
        """A line that says beforehand that the fits, with `final` also that of the model, will take long, or nothing.

        A trial of `--tune` counts as a fit.
        """
        clips = [len(fold.train) for fold in self.plan.folds] + [len(self.task.y)] * final
        clips *= 1 + self.recipe.trials
        files = [source["path"] for source in self.plan.data.sources]
        return effort.warning(self.recipe.classifier, clips, self.task.x, files)

    def cross_validated(self, note: Callable[[list[dict[str, Any]]], None], final: bool) -> Outcome:
        """See `cross_validation.cross_validated`."""
        return cross_validated(self.recipe, self.task, self.plan.folds, note, final)

    def headline(self, outcome: Outcome) -> str:
        """See `headline` below."""
        return headline(outcome, self.task)

    def fold_words(self, row: dict[str, Any]) -> str:
        """A fold's figures for `--verbose`."""
        return f"UAR {row['uar']:.3f}, accuracy {row['accuracy']:.3f}"

    def write(self, outcome: Outcome, stamp: dict[str, Any], results: Path, models: Path) -> Path:
        """Model, log, the tables of trials and layer weights where there are any, and the predictions; their path.

        All files appear together, the predictions last: they vouch for the others.
        """
        path = results / self.name
        data = self.plan.data
        with together() as files:
            files.remove(storage.sidecar(path))
            if outcome.final:
                self.write_model(models / self.tag, outcome.final, stamp, outcome, files)
            predictions.write_log(results / f"training_{self.tag}.csv", outcome.log, stamp, files)
            if self.plan.dropped:
                predictions.write_excluded(results / f"excluded_{self.tag}.csv", self.plan.dropped, stamp, files)
            if outcome.trials:
                rows = pd.DataFrame(outcome.trials).round(6)
                storage.write_csv(results / f"tuning_{self.tag}.csv", rows, {**stamp, "kind": "tuning"}, files)
            if outcome.weights:
                self.write_weights(pd.DataFrame(outcome.weights).round(6), stamp, results, files)
            frame = predictions_frame(data, self.task, outcome.results)
            genders = genders_of(data.corpora, data.speakers, data.genders)
            predictions.write_predictions(path, frame, {**stamp, "genders": genders}, files)
        return path

    def write_weights(self, weights: pd.DataFrame, stamp: dict[str, Any], results: Path, files: Together) -> None:
        """Learned layer weights of each fold, as a table and as a picture."""
        from speechemb.visualization import evaluation_figures

        path = results / f"layer_weights_{self.tag}.csv"
        storage.write_csv(path, weights, {**stamp, "kind": "layer weights"}, files)
        title = f"{self.plan.data.tag}, {'+'.join(self.corpora)}: learned layer weights\n{self.plan.note}"
        storage.write_figure(path.with_suffix(".png"), evaluation_figures.layer_weights(weights, title), files)

    def write_model(
        self, folder: Path, final: Fitted, stamp: dict[str, Any], outcome: Outcome, files: Together
    ) -> None:
        """The model's folder; `model.json` is the run's stamp, what was chosen, and what cross-validation says.

        Of the people it was trained on it holds their number only.
        """
        uar = [row["uar"] for row in outcome.log]
        figures = {"protocol": stamp["protocol_note"], "n_folds": self.n_folds, "uar": uar}
        data = self.plan.data
        speakers = np.unique(within_corpus(data.corpora, known(data.speakers)))
        found = {"layer": final.layer, "settings": final.settings, "clips": len(self.task.y)}
        found["speakers"] = int((speakers != "").sum())
        found["risk_coverage"] = risk_coverage_of(outcome, self.task)
        if chosen := getattr(final.classifier, "chosen", {}):
            found["chosen"] = chosen
        everything = np.arange(len(self.task.y))
        unlike = Novelty().fit(self.task.features(final.layer, everything), voices_of(data))
        meta = {**stamp, "kind": "model", "cross_validation": figures, **found}
        persistence.save(folder, final.classifier, unlike, meta, files)


def risk_coverage_of(outcome: Outcome, task: Task) -> dict[str, np.ndarray]:
    """What abstaining gains, of all out-of-fold predictions; with the confidences as tables have them."""
    right = [probabilities.argmax(axis=1) == task.y[fold.test] for fold, probabilities in outcome.results]
    confidence = [probabilities.max(axis=1).round(6) for _, probabilities in outcome.results]
    curve = calibration.risk_coverage(np.concatenate(right), np.concatenate(confidence))
    return {name: values.round(6) for name, values in curve.items()}


def headline(outcome: Outcome, task: Task) -> str:
    """`UAR pooled 0.486, mean of folds 0.512 ± 0.031 (chance 0.125)`, in step 4's words; `UAR 0.486` of one fold.

    Of a cross-corpus run, the UAR of each direction. Pooled and mean differ where classes are distributed unevenly over
    the folds.
    """
    chance = f"(chance {classification.chance_uar(task.classes):.3f})"
    uar = np.array([row["uar"] for row in outcome.log])
    if any(fold.by_corpus for fold, _ in outcome.results):
        return "UAR " + "; ".join(f"{row['fold']}: {row['uar']:.3f}" for row in outcome.log) + f" {chance}"
    true = np.concatenate([task.y[fold.test] for fold, _ in outcome.results])
    predicted = np.concatenate([probabilities.argmax(axis=1) for _, probabilities in outcome.results])
    pooled = classification.uar_of_numbers(true, predicted)
    if len(uar) < 2:
        return f"UAR {pooled:.3f} {chance}"
    return f"UAR pooled {pooled:.3f}, mean of folds {uar.mean():.3f} ± {uar.std(ddof=1):.3f} {chance}"
