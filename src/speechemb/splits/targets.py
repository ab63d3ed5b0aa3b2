"""What step 3 learns to tell (`--target`), and the folds that make sense for it.

| target | from | the folds hold out |
|---|---|---|
| `emotion` (default) | the corpus's label | speakers |
| `speaker` | | sentences; where they are unknown, single takes |
| `gender`, `sentence`, `intensity` | | speakers |
| numbers, as `arousal valence` | the corpus, see `artifacts.numbers` | speakers, in the folds of emotion |

All targets but emotion and numbers are probes: they measure what else an embedding knows, and no model is kept.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from speechemb.artifacts.embeddings import Embeddings
from speechemb.artifacts.predictions import EMOTION
from speechemb.errors import InputError, first
from speechemb.speakers import within_corpus
from speechemb.splits import PROBES, protocols
from speechemb.splits.protocols import Plan, Protocol

INTENSITY = "intensity"
MOST_CLASSES = 1000


def check(targets: list[str], numeric: bool) -> None:
    """Raise unless the targets are classes, each with runs of its own, or numbers, predicted together."""
    classes = [] if numeric else [target for target in targets if target in (EMOTION, *PROBES)]
    if classes and len(classes) < len(targets):
        other = next(target for target in targets if target not in classes)
        raise InputError(f"--target: {classes[0]} is classes and {other} numbers: give one kind at a time")
    if numeric and (bad := [target for target in targets if target in (EMOTION, *PROBES) and target != INTENSITY]):
        raise InputError(f"--regression: {bad[0]} is no number: drop the flag, or name a column of numbers")


def is_numeric(targets: list[str], asked: bool) -> bool:
    """Whether targets are numbers: where it was asked for, or they are no known classes."""
    return asked or not set(targets) <= {EMOTION, *PROBES}


def default_cv(target: str, data: Embeddings) -> str:
    """What the folds of a target hold out where `--cv` does not say."""
    if target != "speaker":
        return "speaker"
    return "sentence" if (data.sentences != "").all() else "random"


def plan(data: Embeddings, protocol: Protocol, emotions: list[str] | None, target: str, fixed: bool) -> Plan:
    """The clips of a target, their classes in place of emotions, and the folds.

    Args:
        emotions: the classes of emotion to keep, whatever the target
        fixed: whether the number of folds was asked for; else probes take fewer where there are too few groups

    Raises:
        InputError: as `protocols.plan`, or the target is unknown, or cannot be asked for with this protocol.
    """
    if target == EMOTION:
        return protocols.plan(data, protocol, emotions)
    _check_protocol(data, protocol, target)
    of_emotions = data if emotions is None else protocols.of_emotions(data, emotions)
    kept, groups = _in_two_groups(_labelled(of_emotions, target), protocol.cv, target)
    if not fixed:
        protocol = replace(protocol, n_folds=_folds(kept.labels, groups, protocol))
    found = protocols.plan(kept, protocol)
    return replace(found, target=target, left_out=len(data.labels) - len(of_emotions.labels))


def numeric_plan(data: Embeddings, protocol: Protocol, emotions: list[str] | None, targets: list[str]) -> Plan:
    """The clips of which all targets are known, in the folds of emotion.

    Where the emotions do not allow these folds, because one of them is too rare, they are not kept in balance.

    Raises:
        InputError: as `protocols.plan`, or a target is unknown or does not vary.
    """
    name = "+".join(targets)
    _check_protocol(data, protocol, name)
    held = ", ".join(data.numbers) or "no column of numbers"
    if lost := [target for target in targets if target not in data.numbers]:
        raise InputError(
            f"--target {lost[0]}: --npz-path has {held}: name one of these or of {EMOTION}, {', '.join(PROBES)}, "
            "or give the column in step 1's table"
        )
    chosen = data if emotions is None else protocols.of_emotions(data, emotions)
    kept = chosen
    for target in targets:
        known = ~np.isnan(kept.numbers[target])
        columns = (kept.clip_ids[~known].tolist(), kept.corpora[~known].tolist())
        lost = [
            {"clip_id": clip, "corpus": of, "reason": f"{target} unknown"} for clip, of in zip(*columns, strict=True)
        ]
        kept = replace(kept.take(known), dropped=[*kept.dropped, *lost])
    if flat := [target for target in targets if len(np.unique(kept.numbers[target])) < 2]:
        raise InputError(f"--target {flat[0]}: the {len(kept.labels)} clips that are left do not differ in it")
    try:
        found = protocols.plan(kept, protocol)
    except InputError:
        found = protocols.plan(replace(kept, labels=np.full(len(kept.labels), "any")), protocol)
    return replace(found, target=name, left_out=len(data.labels) - len(chosen.labels))


def _check_protocol(data: Embeddings, protocol: Protocol, target: str) -> None:
    if data.raters:
        raise InputError(f"--target {target}: drop --raters, whose votes are on emotions")
    if target in protocol.cv.split("+"):
        raise InputError(
            f"--cv {protocol.cv} holds out what --target {target} asks for: drop --cv, or hold out something else"
        )
    if protocol.cv == protocols.CROSS_CORPUS or protocol.leak:
        raise InputError(f"--target {target}: drop --cross-corpus and --leak, they are for emotions")
    if protocol.normalise and target in ("speaker", "gender"):
        raise InputError(f"--normalise speaker takes out what --target {target} asks for: drop one of them")


def _labelled(data: Embeddings, target: str) -> Embeddings:
    """The clips with the target's classes as labels; those of an unknown class are in `dropped`."""
    if target == INTENSITY:
        values = data.numbers.get(INTENSITY, np.full(len(data.labels), np.nan))
        labels = np.array(["" if np.isnan(value) else f"{value:g}" for value in values], dtype=np.str_)
    else:
        labels = {"speaker": data.speakers, "gender": data.genders, "sentence": data.sentences}[target]
        if target != "gender" and len(np.unique(data.corpora)) > 1:
            labels = within_corpus(data.corpora, labels)
    return _without(replace(data, labels=labels), lambda labels: labels != "", f"{target} unknown", target)


def _in_two_groups(data: Embeddings, cv: str, target: str) -> tuple[Embeddings, np.ndarray]:
    """The clips of classes that can be in training and test, and the groups (n,) that the folds divide."""
    if cv not in ("speaker", "session", "sentence", "random"):
        return data, np.arange(len(data.labels))
    group = protocols.groups_of(data, cv)
    pairs = np.unique(np.stack([np.unique(data.labels, return_inverse=True)[1], group]), axis=1)
    found, counts = np.unique(pairs[0], return_counts=True)
    enough = np.unique(data.labels)[found[counts > 1]]
    kept = _without(
        data, lambda labels: np.isin(labels, enough), f"only one {_group_word(cv)} has its {target}", target
    )
    return kept, protocols.groups_of(kept, cv)


def _group_word(cv: str) -> str:
    return "clip" if cv == "random" else cv


def _without(data: Embeddings, keep: Callable[[np.ndarray], np.ndarray], reason: str, target: str) -> Embeddings:
    """The clips whose labels are to be kept; the others are in `dropped`."""
    kept = keep(data.labels)
    columns = (data.clip_ids[~kept].tolist(), data.corpora[~kept].tolist())
    dropped = [{"clip_id": clip, "corpus": corpus, "reason": reason} for clip, corpus in zip(*columns, strict=True)]
    classes = np.unique(data.labels[kept])
    if len(classes) < 2:
        lacking = first([row["clip_id"] for row in dropped]) if dropped else f"all are {first(classes.tolist())}"
        raise InputError(
            f"--target {target}: {int(kept.sum())} clips of {len(classes)} classes are left ({lacking}: {reason}): "
            f"give the column {target} in step 1's table, or another --target or --cv"
        )
    if len(classes) > MOST_CLASSES:
        raise InputError(f"--target {target}: {len(classes)} classes, at most {MOST_CLASSES} can be told apart")
    return replace(data.take(kept), dropped=[*data.dropped, *dropped])


def _folds(labels: np.ndarray, groups: np.ndarray, protocol: Protocol) -> int:
    """As many folds as asked for, or as groups and classes allow."""
    if groups.ndim > 1 or protocol.published:
        return protocol.n_folds
    most = min(protocol.n_folds, len(np.unique(groups)))
    if protocol.cv == "random":
        most = min(most, int(np.unique(labels, return_counts=True)[1].min()))
    return max(2, most)
