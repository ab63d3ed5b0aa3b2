"""Metrics of a classification: pure functions of true and predicted labels, or of confusion matrices.

Every metric is computed from the confusion matrix. The functions whose name ends in `_of` take one matrix
`(K, K)` or a stack `(..., K, K)` and reduce the last two axes (`recall_of`, `precision_of`, `f1_of`: the last
one), so a bootstrap of 2,000 matrices is one call. Their namesakes without `_of` take labels.

`labels` is required wherever labels are given: it fixes the classes and their order. Without it, a fold that
lacks a class would be scored on fewer classes than its neighbours, unnoticed.

Zero division, the same as scikit-learn's `zero_division=0` with `labels=labels`: the precision of a class
never predicted, the recall of a class that does not occur, and the F1 of a class that is neither, are 0.
Macro precision and macro F1 are means over *all* of `labels`, these zeros included. UAR is the mean over
the classes that *occur* in `true`, as scikit-learn's `balanced_accuracy_score`: an answer cannot be
recalled where there was no question. An empty matrix has no metrics: functions of matrices give nan,
functions of labels raise ValueError.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def confusion(true: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """Confusion matrix: entry (i, j) counts the clips of class `labels[i]` answered with `labels[j]`.

    Args:
        true: true labels, N of them
        predicted: predicted labels, in the same order
        labels: the K classes, in the order of the rows and columns

    Returns:
        int64 `(K, K)`, rows are true classes

    Raises:
        ValueError: no clips, lengths that differ, a class listed twice, or a label that is not in `labels`

    Examples:
        >>> confusion(["a", "a", "b"], ["a", "b", "b"], ["a", "b"]).tolist()
        [[1, 1], [0, 1]]
    """
    rows, columns = indices(true, labels, "true"), indices(predicted, labels, "predicted")
    if len(rows) != len(columns):
        raise ValueError(f"{len(rows)} true labels but {len(columns)} predicted ones")
    k = len(labels)
    return np.bincount(rows * k + columns, minlength=k * k).reshape(k, k).astype(np.int64)


def indices(values: Sequence[str], labels: Sequence[str], name: str) -> NDArray[np.int64]:
    """Position in `labels` of each value, int64 `(N,)`.

    Raises:
        ValueError: no values, a class listed twice, or a value that is not in `labels`; `name` says whose

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


def accuracy_of(matrix: ArrayLike) -> Floats:
    r"""Share of right answers, $\sum_k c_{kk} / \sum_{kl} c_{kl}$.

    Args:
        matrix: confusion matrices `(..., K, K)`

    Returns:
        float64 `(...)`, nan for an empty matrix

    Examples:
        >>> float(accuracy_of([[1, 1], [0, 2]]))
        0.75
    """
    return _ratio(_hits(matrix).sum(-1), _support(matrix).sum(-1), np.nan)


def recall_of(matrix: ArrayLike) -> Floats:
    r"""Recall of each class, $c_{kk} / \sum_l c_{kl}$; 0 for a class that does not occur.

    Args:
        matrix: confusion matrices `(..., K, K)`

    Returns:
        float64 `(..., K)`

    Examples:
        >>> recall_of([[1, 1], [0, 2]]).tolist()
        [0.5, 1.0]
    """
    return _ratio(_hits(matrix), _support(matrix), 0.0)


def precision_of(matrix: ArrayLike) -> Floats:
    r"""Precision of each class, $c_{kk} / \sum_l c_{lk}$; 0 for a class that is never predicted.

    Args:
        matrix: confusion matrices `(..., K, K)`

    Returns:
        float64 `(..., K)`

    Examples:
        >>> precision_of([[1, 1], [0, 3]]).tolist()
        [1.0, 0.75]
    """
    return _ratio(_hits(matrix), _answers(matrix), 0.0)


def f1_of(matrix: ArrayLike) -> Floats:
    r"""F1 of each class, $2 c_{kk} / \sum_l (c_{kl} + c_{lk})$, harmonic mean of precision and recall.

    Args:
        matrix: confusion matrices `(..., K, K)`

    Returns:
        float64 `(..., K)`, 0 for a class that neither occurs nor is predicted

    Examples:
        >>> f1_of([[1, 2], [0, 3]]).tolist()
        [0.5, 0.75]
    """
    return _ratio(2 * _hits(matrix), _support(matrix) + _answers(matrix), 0.0)


def uar_of(matrix: ArrayLike) -> Floats:
    r"""Unweighted average recall: the mean recall over the classes that occur.

    Args:
        matrix: confusion matrices `(..., K, K)`

    Returns:
        float64 `(...)`, nan for an empty matrix

    Examples:
        >>> float(uar_of([[1, 1, 0], [0, 2, 0], [0, 0, 0]]))
        0.75
    """
    return _ratio(recall_of(matrix).sum(-1), (_support(matrix) > 0).sum(-1), np.nan)


def macro_precision_of(matrix: ArrayLike) -> Floats:
    """Mean precision over all K classes, float64 `(...)`, nan for an empty matrix.

    Examples:
        >>> float(macro_precision_of([[1, 1], [0, 3]]))
        0.875
    """
    return _unless_empty(precision_of(matrix).mean(-1), matrix)


def macro_f1_of(matrix: ArrayLike) -> Floats:
    """Mean F1 over all K classes, float64 `(...)`, nan for an empty matrix.

    Examples:
        >>> float(macro_f1_of([[1, 2], [0, 3]]))
        0.625
    """
    return _unless_empty(f1_of(matrix).mean(-1), matrix)


def weighted_precision_of(matrix: ArrayLike) -> Floats:
    """Mean precision weighted by how often each class occurs, float64 `(...)`, nan for an empty matrix.

    Examples:
        >>> float(weighted_precision_of([[1, 1], [0, 3]]))
        0.85
    """
    return _weighted(precision_of(matrix), matrix)


def weighted_f1_of(matrix: ArrayLike) -> Floats:
    """Mean F1 weighted by how often each class occurs, float64 `(...)`, nan for an empty matrix.

    Examples:
        >>> float(weighted_f1_of([[1, 2], [0, 3]]))
        0.625
    """
    return _weighted(f1_of(matrix), matrix)


# Weighted recall is left out: it is the accuracy.
STATISTICS = {
    "accuracy": accuracy_of,
    "uar": uar_of,
    "macro_f1": macro_f1_of,
    "weighted_f1": weighted_f1_of,
    "macro_precision": macro_precision_of,
    "weighted_precision": weighted_precision_of,
}
"""The headline metrics: name -> function of confusion matrices `(..., K, K)`."""


def uar_of_numbers(true: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """`uar` of class numbers (N,), as classifiers see them: for choosing inside a training part.

    Examples:
        >>> uar_of_numbers(np.array([0, 0, 2]), np.array([0, 1, 2]))
        0.75
    """
    return float(np.mean([(predicted[true == k] == k).mean() for k in np.unique(true)]))


def per_class_of(matrix: ArrayLike, labels: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """The same from a confusion matrix `(K, K)`, which may be a mean of several with the same clips.

    Examples:
        >>> per_class_of([[1, 0], [1, 0]], ["a", "b"])["b"]["support"]
        1
    """
    support = np.asarray(matrix).sum(1).round().astype(int)
    columns = zip(labels, precision_of(matrix), recall_of(matrix), f1_of(matrix), support, strict=True)
    return {
        str(label): {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for label, p, r, f, n in columns
    }


def summary(true: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """Every metric of `STATISTICS`, by its name there. Arguments and errors: `confusion`.

    Examples:
        >>> summary(["a", "b"], ["a", "a"], ["a", "b"])["uar"]
        0.5
    """
    matrix = confusion(true, predicted, labels)
    return {name: float(statistic(matrix)) for name, statistic in STATISTICS.items()}


def chance_uar(labels: Sequence[str]) -> float:
    """Expected UAR of an answer that does not depend on the clip: one over the number of classes.

    Examples:
        >>> chance_uar(["neutral", "happy", "sad", "angry"])
        0.25
    """
    return 1 / len(labels)


def majority(true: Sequence[str], labels: Sequence[str]) -> dict[str, str | float]:
    """What the constant answer "the most frequent class" scores: `label`, `accuracy` and `uar`.

    Of classes equally frequent, the first in `labels`. Errors: `confusion`.

    Examples:
        >>> majority(["a", "b", "b", "b"], ["a", "b"])
        {'label': 'b', 'accuracy': 0.75, 'uar': 0.5}
    """
    label = str(labels[int(np.argmax(np.bincount(indices(true, labels, "true"), minlength=len(labels))))])
    matrix = confusion(true, [label] * len(true), labels)
    return {"label": label, "accuracy": float(accuracy_of(matrix)), "uar": float(uar_of(matrix))}


def _hits(matrix: ArrayLike) -> Floats:
    return np.diagonal(np.asarray(matrix, dtype=np.float64), axis1=-2, axis2=-1)


# einsum, because ndarray.sum over such short axes takes seven times longer on the stacks of a bootstrap.
def _support(matrix: ArrayLike) -> Floats:
    """How often each class occurs, `(..., K)`."""
    return np.einsum("...kl->...k", np.asarray(matrix, dtype=np.float64))


def _answers(matrix: ArrayLike) -> Floats:
    """How often each class is predicted, `(..., K)`."""
    return np.einsum("...kl->...l", np.asarray(matrix, dtype=np.float64))


def _ratio(top: ArrayLike, bottom: ArrayLike, otherwise: float) -> Floats:
    """top / bottom, `otherwise` where bottom is 0; no warnings."""
    return np.divide(top, bottom, out=np.full(np.shape(bottom), otherwise), where=np.asarray(bottom) > 0)


def _weighted(values: Floats, matrix: ArrayLike) -> Floats:
    support = _support(matrix)
    return _ratio((values * support).sum(-1), support.sum(-1), np.nan)


def _unless_empty(values: Floats, matrix: ArrayLike) -> Floats:
    return np.where(_support(matrix).sum(-1) > 0, values, np.nan)
