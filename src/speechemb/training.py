"""Out-of-fold predictions, fold by fold, and the final model on everything."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from speechemb import emotions, metrics
from speechemb.classifiers import CLASSIFIERS, Classifier
from speechemb.embeddings import Embeddings
from speechemb.errors import InputError
from speechemb.splits import Fold, within

PROTOCOL_NOTES = {
    "speaker": "speaker-disjoint folds",
    "session": "session-disjoint folds",
    "sentence": "sentence-disjoint folds, speakers on both sides",
    "random": "RANDOM folds, speakers on both sides: optimistic",
    "cross-corpus": "trained on one corpus, tested on another",
}


@dataclass
class Task:
    """What a classifier is trained and tested on: `x` (n, d) float32, `y` (n,) class numbers, `group` (n,)."""

    x: np.ndarray
    y: np.ndarray
    group: np.ndarray
    labels: list[str]


def task_of(data: Embeddings, layer: str, group: np.ndarray) -> Task:
    """The features of the chosen layer with the labels as numbers in the project's order of emotions."""
    labels = emotions.ordered(data.labels)
    if len(labels) < 2:
        raise InputError(f"all clips are {labels[0]}: a classifier needs at least two classes (--emotions in step 1)")
    return Task(data.features(layer), metrics.indices(data.labels, labels, "true"), group, labels)


def fitted(name: str, task: Task, clips: np.ndarray, seed: int, keep: bool = False) -> Classifier:
    """The classifier `name` fitted on the clips with these indices; `keep`: in a form that can be saved."""
    classifier = CLASSIFIERS[name](len(task.labels), seed)
    return classifier.fit(task.x[clips], task.y[clips], task.group[clips], keep)


def out_of_fold(
    name: str, task: Task, folds: list[Fold], seed: int, note: Callable[[dict[str, Any]], None]
) -> Iterator[tuple[Fold, np.ndarray]]:
    """Each fold with the probabilities (n_test, K) of its test clips; `note` is told every fold's figures."""
    labels = np.array(task.labels)
    for fold in folds:
        classifier = fitted(name, task, fold.train, seed)
        probabilities = classifier.predict_proba(task.x[fold.test])
        figures = metrics.summary(labels[task.y[fold.test]], labels[probabilities.argmax(axis=1)], task.labels)
        counts = {
            "train_clips": len(fold.train),
            "test_clips": len(fold.test),
            "train_groups": len(np.unique(task.group[fold.train])),
            "test_groups": len(np.unique(task.group[fold.test])),
        }
        note({"fold": fold.name, **counts, **figures, "epochs": getattr(classifier, "epochs", "")})
        yield fold, probabilities


def predictions(data: Embeddings, task: Task, results: list[tuple[Fold, np.ndarray]]) -> pd.DataFrame:
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


def cross_corpus_folds(data: Embeddings) -> tuple[Embeddings, list[Fold], int]:
    """Train on each corpus, test on every other: folds named by the training corpus, over the classes all share.

    Returns the clips of the shared classes, the folds, and how many clips of other classes were left out. Clips with
    audio that the training corpus holds too are not tested on.

    Raises:
        InputError: fewer than two corpora, or fewer than two classes in common.
    """
    names = np.unique(data.corpora).tolist()
    if len(names) < 2:
        raise InputError(f"--cross-corpus needs two corpora, but --npz-path holds {names[0]} only: give more files")
    shared = set.intersection(*(set(data.labels[data.corpora == name]) for name in names))
    if len(shared) < 2:
        raise InputError(f"--cross-corpus: {', '.join(names)} have {sorted(shared) or 'no class'} in common, not two")
    kept = data.take(np.isin(data.labels, sorted(shared)))
    folds = []
    for name in names:
        inside = kept.corpora == name
        elsewhere = ~inside & ~np.isin(kept.audio_sha256, kept.audio_sha256[inside])
        folds.append(Fold(name, np.flatnonzero(inside), np.flatnonzero(elsewhere)))
    return kept, folds, len(data.labels) - len(kept.labels)


def speakers_on_both_sides(data: Embeddings, folds: list[Fold]) -> int | None:
    """How many speakers are in the training and the test part of some fold; None where a speaker is unknown."""
    speakers = within(data.corpora, data.speakers)
    if (speakers == "").any():
        return None
    both: set[str] = set()
    for fold in folds:
        both |= set(speakers[fold.train]) & set(speakers[fold.test])
    return len(both)


def speaker_genders(data: Embeddings) -> dict[str, str]:
    """`<corpus>/<speaker>` -> gender, where both are known: step 4 compares groups of speakers with it."""
    known = (data.speakers != "") & (data.genders != "")
    speakers = within(data.corpora, data.speakers)[known].tolist()
    return dict(sorted(zip(speakers, data.genders[known].tolist(), strict=True)))
