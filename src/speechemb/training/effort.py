"""What the fits of a large run will take: how many fit into the memory side by side, and a warning of long ones.

The rates were measured with 8,192 features on one core of an AMD EPYC (AVX2), see `benchmarks/scale.py --train`. They
are meant to tell minutes from days, not to predict a run.
"""

import os
import shlex

import numpy as np

from speechemb.artifacts import embeddings
from speechemb.paths import STEP3

# Bytes that a fit holds, for each number of its training part: a standardised copy and those of pairs of classes; bins
# and the sketches that they are made from (measured).
_HELD = {"svm": 8, "xgboost": 5}
# Seconds of one core for each number (clips x features) of the training part; of the SVM, for each clip as well.
_SECONDS = {"svm": 1.6e-10, "logistic": 1.1e-6, "mlp": 2.7e-6, "xgboost": 1.5e-6}
LONG = 3600  # seconds from which a run is announced


def fits_at_once(name: str, x: np.ndarray) -> int:
    """How many fits run side by side: one per core, but of a large matrix no more than half of the memory can hold."""
    from joblib import cpu_count

    need = _HELD.get(name, 0) * x.size
    if x.nbytes < embeddings.LARGE or not need or not hasattr(os, "sysconf"):
        return cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cpu_count(), memory // 2 // need))


def seconds(name: str, clips: list[int], features: int, side_by_side: int) -> float:
    """A rough time of untuned fits on so many training clips each; 0 for a classifier of which no rate is known."""
    each = [_SECONDS.get(name, 0.0) * features * n ** (2 if name == "svm" else 1) for n in clips]
    return max(sum(each) / side_by_side, max(each, default=0.0))


def warning(name: str, clips: list[int], x: np.ndarray, files: list[str]) -> str:
    """A line about a run that will take long, with a command that takes less; empty for other runs.

    `clips`: of the training part of each fit. `x`: the features of all clips. `files`: the npz that they are in.
    """
    features, side_by_side = x.shape[-1], fits_at_once(name, x)
    expected = seconds(name, clips, features, side_by_side)
    if expected < LONG:
        return ""
    why = ", the square of the clips" if name == "svm" else ""
    return (
        f"{name}: {len(clips)} fits on up to {max(clips)} clips x {features} features take about {_words(expected)} on "
        f"{side_by_side} {'core' if side_by_side == 1 else 'cores'}{why}"
        + _cheaper(name, clips, x, f"{STEP3} --npz-path {shlex.join(files)}", expected)
    )


def _cheaper(name: str, clips: list[int], x: np.ndarray, command: str, expected: float) -> str:
    """The command with another classifier, or fewer folds, that takes half of the time at most; empty if none does."""
    others = {one: seconds(one, clips, x.shape[-1], fits_at_once(one, x)) for one in _SECONDS if one != name}
    other = min(others, key=others.__getitem__)
    if others[other] <= expected / 2:
        return f"; {command} --classifier {other} takes about {_words(others[other])}"
    if len(clips) > 5:
        return f"; {command} --classifier {name} --n-folds 2 takes about half"
    return ""


def _words(time: float) -> str:
    minutes = time / 60
    return f"{minutes:.0f} minutes" if minutes < 100 else f"{minutes / 60:.0f} hours"
