"""Folds of cross-validation, and the check that training and test share nothing they must not share.

| protocol | a fold's test clips share no ... with its training clips |
|---|---|
| `speaker` (default) | speaker (where the speaker is unknown: session) |
| `session` | session |
| `sentence` | sentence |
| `speaker+sentence` | speaker and no sentence: every speaker fold is crossed with every sentence fold |
| `guessed<N>` | guessed speaker; real speakers are in both, so the figures are optimistic |
| `random` | identical audio; speakers are in both training and test, so the figures are optimistic |

Clips with identical audio are never divided between training and test, whatever the protocol. Augmented copies are
trained on wherever their original is, and are never tested on (`add_copies`).
"""

import logging
import warnings
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from speechemb.errors import InputError
from speechemb.splits import flag_of, is_guessed


@dataclass(frozen=True)
class Fold:
    """One fold: the indices (int64) of its training clips and of its test clips.

    `by_corpus`: the figures of each test corpus stand by themselves (cross-corpus runs).
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    by_corpus: bool = False


def make_folds(labels: np.ndarray, group: np.ndarray, n_folds: int, protocol: str, seed: int) -> list[Fold]:
    """Stratified, group-disjoint folds; every clip is tested exactly once.

    With as many groups as folds, each fold tests one group (leave-one-session-out for the five sessions of IEMOCAP).
    With two columns of groups, see `_crossed`.

    Raises:
        InputError: too few groups, or too few clips of a class; the message says what would work.
    """
    if group.ndim == 2:
        pairs = _crossed(labels, group, n_folds, protocol, seed)
    else:
        _check_enough(labels, group, n_folds, protocol)
        pairs = _divided(labels, group, n_folds, seed)
    result = [Fold(str(number), train, test) for number, (train, test) in enumerate(pairs, start=1)]
    check(result, labels, group, protocol)
    return result


def _divided(labels: np.ndarray, group: np.ndarray, n_folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test indices of each fold."""
    from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold, StratifiedKFold

    n_groups, largest_class = len(np.unique(group)), np.unique(labels, return_counts=True)[1].max()
    if n_groups == n_folds:
        return list(LeaveOneGroupOut().split(labels, labels, group))
    if largest_class < n_folds:  # scikit-learn refuses it
        return _dealt(labels, group, n_folds, seed)
    one_clip_each = n_groups == len(labels)
    splitter = (StratifiedKFold if one_clip_each else StratifiedGroupKFold)(n_folds, shuffle=True, random_state=seed)
    _quiet()
    pairs = list(splitter.split(labels, labels, None if one_clip_each else group))
    return pairs if all(len(test) for _, test in pairs) else _dealt(labels, group, n_folds, seed)


def _dealt(labels: np.ndarray, group: np.ndarray, n_folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds of few clips: the groups are shuffled, ordered by class, and dealt to the folds one by one."""
    _, first_clip, number = np.unique(group, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(first_clip))
    order = order[np.argsort(labels[first_clip[order]], kind="stable")]
    fold_of = np.empty(len(order), int)
    fold_of[order] = np.arange(len(order)) % n_folds
    tested = [fold_of[number] == fold for fold in range(n_folds)]
    return [(np.flatnonzero(~test), np.flatnonzero(test)) for test in tested]


def _crossed(
    labels: np.ndarray, group: np.ndarray, n_folds: int, protocol: str, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """One fold per speaker fold and sentence fold: its test clips are in both of them, its training clips in neither.

    A clip that is in only one of the two is not used in that fold. There are `n_folds` speaker folds, and as many
    sentence folds unless there are fewer sentences.
    """
    n_sentences = min(n_folds, len(np.unique(group[:, 1])))
    parts = []
    for column, one, n in zip(group.T, protocol.split("+"), (n_folds, max(n_sentences, 2)), strict=True):
        _check_enough(labels, column, n, one)
        parts.append([test for _, test in _divided(labels, column, n, seed)])
    everything, pairs = np.arange(len(labels)), []
    for speakers in parts[0]:
        for sentences in parts[1]:
            train = np.setdiff1d(everything, np.union1d(speakers, sentences))
            pairs.append((train, np.intersect1d(speakers, sentences)))
    return [(train, test) for train, test in pairs if len(test)]


def repeated(labels: np.ndarray, group: np.ndarray, n_folds: int, protocol: str, seed: int, repeats: int) -> list[Fold]:
    """The folds of seeds `seed` .. `seed + repeats - 1`, named `r1.1`, `r1.2`, ...; with one repeat `1`, `2`, ...

    Raises:
        InputError: as `make_folds`, or another seed gives the same folds.
    """
    rounds = [make_folds(labels, group, n_folds, protocol, seed + number) for number in range(repeats)]
    if repeats == 1:
        return rounds[0]
    if all(np.array_equal(a.test, b.test) for a, b in zip(rounds[0], rounds[1], strict=False)):
        few = f"so few {_group_word(protocol)}s"
        raise InputError(f"--repeats: there is only one way to make {n_folds} folds of {few}: drop the flag")
    return [replace(fold, name=f"r{i}.{fold.name}") for i, made in enumerate(rounds, start=1) for fold in made]


def add_copies(folds: list[Fold], origin: np.ndarray) -> list[Fold]:
    """Turn folds over the originals into folds over all clips, with the copies of training clips in training too.

    `origin` (n,) int64 holds the index of each clip's original (its own index for an original). The indices in `folds`
    count the originals only.
    """
    originals = np.flatnonzero(origin == np.arange(len(origin)))
    made = []
    for fold in folds:
        train = np.flatnonzero(np.isin(origin, originals[fold.train]))
        made.append(replace(fold, train=train, test=originals[fold.test]))
    return made


def _check_enough(labels: np.ndarray, group: np.ndarray, n_folds: int, protocol: str) -> None:
    if n_folds < 2:
        raise InputError("--n-folds: cross-validation needs at least 2 folds")
    what = "groups of different audio" if protocol == "random" else f"{_group_word(protocol)}s"
    n_groups = len(np.unique(group))
    if n_groups < 2:
        raise InputError(f"{flag_of(protocol)}: all clips belong to one of the {what}, nothing can be held out")
    if n_groups < n_folds:
        raise InputError(
            f"{flag_of(protocol)}: {n_groups} {what} are too few for {n_folds} folds: use --n-folds {n_groups}"
        )
    for label in np.unique(labels):
        n = len(np.unique(group[labels == label]))
        if n < 2:
            raise InputError(
                f"{flag_of(protocol)}: class {label} occurs in {n} of the {what} only, so it cannot be in training and "
                f"test: exclude it with --emotions in step 1, or use another --cv"
            )
        if n < n_folds and protocol == "random":
            raise InputError(f"class {label} has {n} clips, too few for {n_folds} folds: use --n-folds {n}")


def _group_word(protocol: str) -> str:
    return "guessed speaker" if is_guessed(protocol) else protocol


def check(folds: list[Fold], labels: np.ndarray, group: np.ndarray, protocol: str) -> None:
    """Check the folds: no group in both training and test, every clip tested once, every class in every training part.

    `group` is (n,), or (n, 2) where there are two kinds of groups.

    Raises:
        InputError: a training part lacks a class (the data do not allow these folds).
        AssertionError: a group is in both training and test, or a clip is not tested exactly once (a bug here).
    """
    tested = np.zeros(len(labels), int)
    kinds = list(zip(group.reshape(len(labels), -1).T, protocol.split("+"), strict=True))
    for fold in folds:
        tested[fold.test] += 1
        for column, kind in kinds:
            if set(column[fold.train]) & set(column[fold.test]) or np.intersect1d(fold.train, fold.test).size:
                raise AssertionError(f"fold {fold.name} has a {kind} in both training and test")
        if not len(fold.test):
            raise AssertionError(f"fold {fold.name} has no test clip")
        if missing := sorted(set(labels) - set(labels[fold.train])):
            raise InputError(
                f"{flag_of(protocol)}: fold {fold.name} has no {missing[0]} to train on: use a smaller --n-folds, "
                "another --seed, or exclude the class with --emotions in step 1"
            )
    if (tested != 1).any():
        raise AssertionError("a clip is not tested exactly once")


def inner_split(labels: np.ndarray, group: np.ndarray, seed: int, share: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation indices inside a training part: 1 of `share` stratified, group-disjoint parts validates.

    Every class stays in training. Where there is a single group, or no such split keeps every class in training, clips
    of the same groups validate; classes with one clip are then not validated. Where every class has one clip, the
    training clips themselves validate. Both are logged, once. No test clip is used in any case.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    classes, counts = np.unique(labels, return_counts=True)
    n = min(share, len(np.unique(group)), counts.max())
    if n >= 2:
        splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
        _quiet()
        for train, valid in splitter.split(labels, labels, group):
            if len(valid) and len(np.unique(labels[train])) == len(classes):
                return train, valid
    if counts.max() < 2:
        _log_once("a training part has one clip of each class: classifiers are validated on the clips they learn from")
        everything = np.arange(len(labels))
        return everything, everything
    _log_once(
        "a training part has too few groups for every class: inside it, clips of the same speakers are in training and "
        "validation (no test clip is in either)"
    )
    rng, valid = np.random.default_rng(seed), np.zeros(len(labels), bool)
    for label, count in zip(classes, counts, strict=True):
        chosen = rng.permutation(np.flatnonzero(labels == label))[: max(1, count // share)]
        valid[chosen] = count > 1
    return np.flatnonzero(~valid), np.flatnonzero(valid)


def _quiet() -> None:
    """Drop scikit-learn's warning of small classes. Not `catch_warnings`, which threads cannot use side by side."""
    warnings.filterwarnings("ignore", "The least populated class", UserWarning)


@cache
def _log_once(message: str) -> None:
    logging.getLogger("speechemb").warning(message)
