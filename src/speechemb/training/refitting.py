"""The models of a run's folds, fitted once more, to test them on other versions of their test clips.

Step 3 keeps predictions and the model that was fitted on all clips, which has heard every speaker. The models of the
folds are fitted anew from what the predictions' stamp says, and have to give the stored predictions.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import embeddings, fusion
from speechemb.artifacts.embeddings import Embeddings
from speechemb.artifacts.storage import ArtifactError
from speechemb.errors import InputError, first
from speechemb.paths import ROOT, STEP3
from speechemb.splits import CROSS_CORPUS, PROTOCOLS, is_guessed
from speechemb.splits.folds import Fold
from speechemb.splits.protocols import Protocol, by_corpora, plan
from speechemb.splits.published import Published
from speechemb.training import cross_validation, effort
from speechemb.training.cross_validation import Fitted, Recipe, Task, predictions_frame

CLOSE = 1e-4  # by so much a probability may differ from the stored one, which another processor may do


def unsuitable(stamp: dict[str, Any]) -> str:
    """Why the folds of a run cannot be fitted anew, in words that follow its name; empty where they can."""
    if stamp["leak"]:
        return "leaks deliberately: take a run without --leak"
    if stamp["normalise"]:
        return "standardises with the test speaker's clips: take a run without --normalise"
    if stamp.get("raters"):
        return "has labels by raters' votes, which are not read here: take a run without --raters"
    if is_guessed(stamp["protocol"]):
        return "has folds over guessed speakers, which are not made anew here: take a run without --guess-speakers"
    if stamp["protocol"] == "speaker+sentence":
        return "has folds by speaker and sentence, which are not made anew here: take a run with --cv speaker"
    if stamp["protocol"] == CROSS_CORPUS:
        return "is a cross-corpus run, which has no held-out folds: take a run without --cross-corpus"
    return ""


def check_suitable(stamps: list[dict[str, Any]]) -> None:
    """Raise an InputError where the folds of a run cannot be fitted anew."""
    for stamp in stamps:
        if why := unsuitable(stamp):
            raise InputError(f"{stamp['tag']} {why}")


@dataclass
class Refitted:
    """A run of step 3 with the models of its folds, in their order."""

    stamp: dict[str, Any]
    data: Embeddings
    task: Task
    folds: list[Fold]
    models: list[Fitted]

    def predictions(self, changed: Embeddings) -> pd.DataFrame:
        """As step 3 writes them, of the changed versions of the test clips, where there is one.

        `changed`: rows whose `augmented_from` are clips of the run.
        """
        place = {name: i for i, name in enumerate(changed.augmented_from.tolist())}
        task = replace(self.task, x=features_of(changed, self.stamp["layer"]))
        results = []
        for fold, model in zip(self.folds, self.models, strict=True):
            there = np.isin(self.data.clip_ids[fold.test], changed.augmented_from)
            fold = replace(fold, test=fold.test[there])
            rows = np.array([place[name] for name in self.data.clip_ids[fold.test].tolist()], dtype=np.int64)
            if len(rows):
                results.append((fold, model.predict_proba(task, rows)))
        if not results:
            raise InputError(f"{self.stamp['tag']}: no test clip was drawn: give a larger --limit")
        return predictions_frame(self.data, self.task, results)


def refit(frame: pd.DataFrame, stamp: dict[str, Any], table: Published | None, note: Callable[[], None]) -> Refitted:
    """Fit the models of a run's folds anew; `note` is called after each.

    Args:
        frame, stamp: of `read_predictions`
        table: the published folds, where the run has such

    Raises:
        InputError: the run is of a kind that cannot be fitted anew, or lacks its table of folds.
        ArtifactError: the npz are gone, or the models do not give the stored predictions.
    """
    check_suitable([stamp])
    data = read(stamp, [ROOT / item["path"] for item in stamp["inputs"]])
    parts = by_corpora(data, ["+".join(stamp["corpora"])], together=True)
    made = plan(parts[0], protocol_of(stamp, table), stamp["labels"])
    recipe = Recipe(stamp["classifier"], stamp["seed"], stamp["layer"], stamp["tune"])
    task = cross_validation.task_of(made.data, recipe, made.group)
    models, results = [], []
    with ThreadPoolExecutor(effort.fits_at_once(recipe.classifier, task.x)) as executor:
        tested = executor.map(partial(cross_validation.fit_and_test, recipe, task), made.folds)
        for fold, (model, probabilities) in zip(made.folds, tested, strict=True):
            models.append(model)
            results.append((fold, probabilities))
            note()
    check_same(stamp, frame, predictions_frame(made.data, task, results))
    return Refitted(stamp, made.data, task, made.folds, models)


def read(stamp: dict[str, Any], npz: list[Path]) -> Embeddings:
    """The embeddings of these files as a run with this stamp takes them, pooled or fused."""
    if stamp["fused"]:
        return fusion.fused(npz, stamp["layer"])
    return embeddings.concatenated(npz, layer="" if stamp["layer"] in ("auto", "weighted") else stamp["layer"])


def features_of(data: Embeddings, layer: str) -> np.ndarray:
    """What `task_of` takes for `x`."""
    return data.embeddings if layer == "auto" else data.features(layer)


def protocol_of(stamp: dict[str, Any], table: Published | None) -> Protocol:
    """The protocol that the stamp tells.

    Raises:
        InputError: the folds are those of a table that is not given, or of another one.
    """
    if stamp["protocol"] in PROTOCOLS:
        return Protocol(stamp["protocol"], stamp["n_folds"], stamp["seed"], stamp["repeats"])
    if table is None or table.name != stamp["protocol"]:
        raise InputError(f"{stamp['tag']} has published folds: give the table that step 3 was given with --folds")
    return Protocol(table.name, len(table.uses), stamp["seed"], stamp["repeats"], published=table)


def check_same(stamp: dict[str, Any], stored: pd.DataFrame, found: pd.DataFrame) -> None:
    """Raise `ArtifactError` unless two tables of predictions hold the same clips, answers and probabilities."""
    stored = stored.set_index(["clip_id", "fold"])
    found = found.set_index(["clip_id", "fold"])
    remedy = f"rerun {stamp['command'] or STEP3} --overwrite with this version on this machine"
    if sorted(stored.index) != sorted(found.index):
        raise ArtifactError(f"{stamp['tag']}: its folds cannot be made anew: {remedy}")
    found = found.loc[stored.index]
    columns = [f"p_{label}" for label in stamp["labels"]]
    far = (np.abs(stored[columns].to_numpy(float) - found[columns].to_numpy(float)) > CLOSE).any(axis=1)
    if (wrong := far | (stored["predicted"] != found["predicted"]).to_numpy()).any():
        clips = first([clip for clip, _ in stored.index[wrong]])
        raise ArtifactError(
            f"{stamp['tag']}: the models of its folds, fitted anew, answer differently ({clips}): {remedy}"
        )
