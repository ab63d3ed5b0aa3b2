"""Late fusion (step 4's `--fuse`): the mean of the out-of-fold probabilities of several runs, as one further run.

The runs have equal weights. Weights chosen by their figures would be chosen on test clips.
"""

import hashlib
import os.path
from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import provenance
from speechemb.errors import InputError, first

Run = tuple[pd.DataFrame, dict[str, Any]]  # predictions and their stamp, see `artifacts.predictions`
PREFIX = "mean_of-"  # begins the names of such runs
_LONGEST = 150  # characters of a name
# What the runs must share, as keys of their stamps; and what each may have of its own.
_SHARED = ("labels", "corpora", "protocol", "n_folds", "repeats", "leak", "normalise")
_OWN = ("precision", "layer", "classifier", "tune", "seed", "augmented")
_KEY = ["clip_id", "fold"]


def mean_of(runs: list[Run], tags: list[str]) -> Run:
    """The mean of the probabilities of the runs named `tags`, and a stamp for it. Rows are in the first run's order.

    Raises:
        InputError: fewer than two names, an unknown or repeated one, or runs that differ in clips, classes or folds.
    """
    of = {stamp["tag"]: (frame, stamp) for frame, stamp in runs}
    if unknown := [tag for tag in tags if tag not in of]:
        raise InputError(f"--fuse {unknown[0]}: there is no such run; choose among {first(sorted(of), 8)}")
    if len(tags) < 2 or len(set(tags)) < len(tags):
        raise InputError("--fuse: give the names of two or more different runs")
    frames, stamps = zip(*(of[tag] for tag in tags), strict=True)
    labels = stamps[0]["labels"]
    columns, aligned = [f"p_{label}" for label in labels], []
    for frame, stamp in zip(frames, stamps, strict=True):
        _check_shared(stamps[0], stamp)
        aligned.append(_aligned(frames[0], frame, tags[0], stamp["tag"]))
    p = np.mean([frame[columns].to_numpy(float) for frame in aligned], axis=0)
    fused = frames[0].assign(predicted=np.array(labels)[p.argmax(axis=1)])
    fused[columns] = p
    return fused, _stamp(list(stamps))


def mean_words(tags: list[str]) -> str:
    """`mean of probabilities of a, b`; empty where there are none."""
    return f"mean of probabilities of {', '.join(tags)}" if tags else ""


def _check_shared(one: dict[str, Any], other: dict[str, Any]) -> None:
    for key in _SHARED:
        if one[key] != other[key]:
            raise InputError(
                f"--fuse: {one['tag']} and {other['tag']} differ in {key} ({one[key]}, {other[key]}): name runs of the "
                "same clips, classes and folds"
            )


def _aligned(one: pd.DataFrame, other: pd.DataFrame, tag: str, other_tag: str) -> pd.DataFrame:
    """The rows of `other` in the order of `one`."""
    keys, other_keys = (pd.MultiIndex.from_frame(frame.loc[:, _KEY]) for frame in (one, other))
    alone: Any = keys.symmetric_difference(other_keys)
    if not len(alone):
        found = other.iloc[other_keys.get_indexer(keys)].reset_index(drop=True)
        differ = (found["true"].to_numpy() != one["true"].to_numpy()) | (
            found["speaker"].to_numpy() != one["speaker"].to_numpy()
        )
        alone = keys[differ]
    if len(alone):
        clips = first(alone.get_level_values(0).tolist())
        raise InputError(f"--fuse: {tag} and {other_tag} differ in clips, labels, speakers or folds: {clips}")
    return found


def _stamp(stamps: list[dict[str, Any]]) -> dict[str, Any]:
    """What `scores.evaluate` needs of the fused run; where the runs differ, the values joined by `+`."""
    tags = [stamp["tag"] for stamp in stamps]
    own = {key: _joined([stamp[key] for stamp in stamps]) for key in _OWN}
    poolings = ["+".join(stamp["pooling"]) for stamp in stamps]
    encoders = [part["encoder"] for stamp in stamps for part in stamp.get("fused") or [stamp]]
    return {
        **stamps[0],
        **own,
        "fused": [{"encoder": one} for i, one in enumerate(encoders) if one not in encoders[:i]],
        "tag": name_of(tags),
        # Of all runs, also where they are the same: the mean of two acoustic runs is no acoustic baseline.
        "encoder": {"tag": "+".join(stamp["encoder"]["tag"] for stamp in stamps)},
        "pooling": stamps[0]["pooling"] if len(set(poolings)) == 1 else [", ".join(poolings)],
        "genders": {name: gender for stamp in stamps for name, gender in stamp["genders"].items()},
        "mean_of": tags,
        "sha256": provenance.fingerprint(mean_of=[stamp["sha256"] for stamp in stamps]),
    }


def _joined(values: list[Any]) -> Any:
    different = list(dict.fromkeys(values))
    return different[0] if len(different) == 1 else "+".join(str(value) for value in different)


def name_of(tags: list[str]) -> str:
    """`mean_of-`, then what the names share once and what differs joined by `+`; of long names a hash.

    `a-ravdess-8emo-all-svm-speaker5` and `b-ravdess-...` give `mean_of-a+b-ravdess-8emo-all-svm-speaker5`.
    """
    words = [tag.split("-") for tag in tags]
    shortest = min(len(one) for one in words)
    begin = min(len(os.path.commonprefix(words)), shortest - 1)  # a word of each name is left
    end = min(len(os.path.commonprefix([one[::-1] for one in words])), shortest - begin - 1)
    middle = "+".join("-".join(one[begin : len(one) - end]) for one in words)
    name = PREFIX + "-".join(filter(None, [*words[0][:begin], middle, *words[0][len(words[0]) - end :]]))
    if len(name) <= _LONGEST:
        return name
    return f"{PREFIX}{len(tags)}_runs-{hashlib.sha256(' '.join(tags).encode()).hexdigest()[:16]}"
