"""Confusion matrices, counted from class indices: every metric is computed from them.

Labels become class indices once (`indices`), and indices become matrices (`matrix`, `matrices`). The list of classes is
always given. Without it, a fold that lacks a class would silently be scored over fewer classes than the other folds.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def indices(values: Sequence[str], labels: Sequence[str], name: str) -> Indices:
    """Position in `labels` of each value, int64 `(N,)`.

    Raises:
        ValueError: no values, a class listed twice, or a value that is not in `labels`; `name` ("true", "predicted")
            says which values

    Examples:
        >>> indices(["b", "a"], ["a", "b"], "true").tolist()
        [1, 0]
    """
    position = {str(label): i for i, label in enumerate(labels)}
    if len(position) != len(labels):
        raise ValueError(f"a class is listed twice in labels: {', '.join(map(str, labels))}")
    if len(values) == 0:
        raise ValueError(f"no {name} labels: there is nothing to measure")
    found = [position.get(value, -1) for value in values]
    if -1 in found:
        stray = sorted({str(value) for value in values if value not in position})
        raise ValueError(f"{name} label {', '.join(stray[:3])} is not in labels: {', '.join(position)}")
    return np.array(found, dtype=np.int64)


def matrix(true: Indices, predicted: Indices, n_classes: int) -> NDArray[np.int64]:
    """Confusion matrix: entry (i, j) counts the clips of class i that were predicted as class j.

    Args:
        true: true class indices `(N,)`
        predicted: predicted class indices, in the same order
        n_classes: K

    Returns:
        int64 `(K, K)`, rows are true classes

    Raises:
        ValueError: lengths that differ

    Examples:
        >>> matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    return matrices(true, predicted, np.zeros(len(true), dtype=np.int64), 1, n_classes)[0]


def matrices(true: Indices, predicted: Indices, unit: Indices, n_units: int, n_classes: int) -> NDArray[np.int64]:
    """Confusion matrix of each unit: of each speaker, fold or clip.

    Args:
        true: true class indices `(N,)`
        predicted: predicted class indices, in the same order
        unit: index of the unit that each prediction belongs to, `(N,)`
        n_units: U
        n_classes: K

    Returns:
        int64 `(U, K, K)`; the sum over U is `matrix`

    Raises:
        ValueError: lengths that differ

    Examples:
        >>> matrices(np.array([0, 1]), np.array([0, 0]), np.array([1, 0]), 2, 2).tolist()
        [[[0, 0], [1, 0]], [[1, 0], [0, 0]]]
    """
    if not len(true) == len(predicted) == len(unit):
        raise ValueError(f"{len(true)} true but {len(predicted)} predicted labels, of {len(unit)} units")
    cell = (unit * n_classes + true) * n_classes + predicted
    counts = np.bincount(cell, minlength=n_units * n_classes**2)
    return counts.reshape(n_units, n_classes, n_classes).astype(np.int64)
