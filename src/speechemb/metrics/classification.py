"""Classification metrics: pure functions of confusion matrices.

Functions whose name ends in `_of` take one matrix `(K, K)` (rows are true classes) or a stack `(..., K, K)` and reduce
the last two axes (`recall_of`, `precision_of`, `f1_of`: only the last), so a bootstrap of 2,000 matrices is one call.

Zero division follows scikit-learn's `zero_division=0` with `labels=labels`: the precision of a class that is never
predicted, the recall of a class that does not occur, and the F1 of a class that does neither, are 0. Macro precision
and macro F1 are means over *all* classes, these zeros included. UAR is the mean over the classes that *occur*, as in
scikit-learn's `balanced_accuracy_score`. An empty matrix has no metrics: the result is nan.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speechemb.metrics import confusion
from speechemb.metrics.confusion import Indices, indices

Floats = NDArray[np.float64]


def accuracy_of(matrix: ArrayLike) -> Floats:
    r"""Share of correct predictions, $\sum_k c_{kk} / \sum_{kl} c_{kl}$.

    Args:
        matrix: confusion matrices `(..., K, K)`

    Returns:
        float64 `(...)`, nan for an empty matrix

    Examples:
        >>> float(accuracy_of([[1, 1], [0, 2]]))
        0.75
    """
    return ratio(_hits(matrix).sum(-1), _support(matrix).sum(-1), np.nan)


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
    return ratio(_hits(matrix), _support(matrix), 0.0)


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
    return ratio(_hits(matrix), _predictions(matrix), 0.0)


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
    return ratio(2 * _hits(matrix), _support(matrix) + _predictions(matrix), 0.0)


def uar_of(matrix: ArrayLike) -> Floats:
    r"""Unweighted average recall, $\frac{1}{|P|} \sum_{k \in P} \text{recall}_k$, P the classes that occur.

    The headline metric of speech emotion recognition since the INTERSPEECH 2009 Emotion Challenge (Schuller, Steidl,
    Batliner 2009), because the classes of its corpora are seldom balanced. The same as scikit-learn's
    `balanced_accuracy_score`.

    Args:
        matrix: confusion matrices `(..., K, K)`

    Returns:
        float64 `(...)`, nan for an empty matrix

    Examples:
        >>> float(uar_of([[1, 1, 0], [0, 2, 0], [0, 0, 0]]))
        0.75
    """
    return ratio(recall_of(matrix).sum(-1), (_support(matrix) > 0).sum(-1), np.nan)


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


# Weighted recall is not listed: it equals accuracy.
STATISTICS = {
    "accuracy": accuracy_of,
    "uar": uar_of,
    "macro_f1": macro_f1_of,
    "weighted_f1": weighted_f1_of,
    "macro_precision": macro_precision_of,
    "weighted_precision": weighted_precision_of,
}
"""The headline metrics: name -> function of confusion matrices `(..., K, K)`."""


def summary_of(matrix: ArrayLike) -> dict[str, float]:
    """Every metric of `STATISTICS` of one confusion matrix `(K, K)`, by its name there.

    Examples:
        >>> summary_of([[1, 0], [1, 0]])["uar"]
        0.5
    """
    return {name: float(statistic(matrix)) for name, statistic in STATISTICS.items()}


def summary(true: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """`summary_of` from labels. Errors: `confusion.indices`, `confusion.matrix`.

    Examples:
        >>> summary(["a", "b"], ["a", "a"], ["a", "b"])["uar"]
        0.5
    """
    rows, columns = indices(true, labels, "true"), indices(predicted, labels, "predicted")
    return summary_of(confusion.matrix(rows, columns, len(labels)))


def uar_of_numbers(true: Indices, predicted: Indices) -> float:
    """UAR of class indices `(N,)`; classifiers use it to choose settings inside a training part.

    Examples:
        >>> uar_of_numbers(np.array([0, 0, 2]), np.array([0, 1, 2]))
        0.75
    """
    return float(np.mean([(predicted[true == k] == k).mean() for k in np.unique(true)]))


def per_class_of(matrix: ArrayLike, labels: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """Precision, recall, F1 and support (number of true clips) of each class, in the order of `labels`.

    Args:
        matrix: confusion matrix `(K, K)`, which may be a mean of several over the same clips
        labels: the K classes

    Examples:
        >>> per_class_of([[1, 0], [1, 0]], ["a", "b"])["a"]
        {'precision': 0.5, 'recall': 1.0, 'f1': 0.6666666666666666, 'support': 1}
    """
    support = np.asarray(matrix).sum(1).round().astype(int)
    columns = zip(labels, precision_of(matrix), recall_of(matrix), f1_of(matrix), support, strict=True)
    return {
        str(label): {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for label, p, r, f, n in columns
    }


def chance_uar(labels: Sequence[str]) -> float:
    """Expected UAR of predictions that do not depend on the clip: one over the number of classes.

    Examples:
        >>> chance_uar(["neutral", "happy", "sad", "angry"])
        0.25
    """
    return 1 / len(labels)


def majority_of(matrix: ArrayLike, labels: Sequence[str]) -> dict[str, str | float]:
    """`label`, `accuracy` and `uar` of always predicting the most frequent class; a tie goes to the first in `labels`.

    Args:
        matrix: confusion matrix `(K, K)`; only its row sums, the true classes, matter
        labels: the K classes

    Examples:
        >>> majority_of([[1, 0], [2, 1]], ["a", "b"])
        {'label': 'b', 'accuracy': 0.75, 'uar': 0.5}
    """
    support = np.asarray(matrix).sum(1)
    most = int(np.argmax(support))
    constant = np.zeros((len(labels), len(labels)))
    constant[:, most] = support
    return {"label": str(labels[most]), "accuracy": float(accuracy_of(constant)), "uar": float(uar_of(constant))}


def _hits(matrix: ArrayLike) -> Floats:
    return np.diagonal(np.asarray(matrix, dtype=np.float64), axis1=-2, axis2=-1)


# einsum, because ndarray.sum over such short axes takes seven times longer on the stacks of a bootstrap.
def _support(matrix: ArrayLike) -> Floats:
    """How often each class occurs, `(..., K)`."""
    return np.einsum("...kl->...k", np.asarray(matrix, dtype=np.float64))


def _predictions(matrix: ArrayLike) -> Floats:
    """How often each class is predicted, `(..., K)`."""
    return np.einsum("...kl->...l", np.asarray(matrix, dtype=np.float64))


def ratio(top: ArrayLike, bottom: ArrayLike, otherwise: float) -> Floats:
    """top / bottom, `otherwise` where bottom is 0; no warnings."""
    return np.divide(top, bottom, out=np.full(np.shape(bottom), otherwise), where=np.asarray(bottom) > 0)


def _weighted(values: Floats, matrix: ArrayLike) -> Floats:
    support = _support(matrix)
    return ratio((values * support).sum(-1), support.sum(-1), np.nan)


def _unless_empty(values: Floats, matrix: ArrayLike) -> Floats:
    return np.where(_support(matrix).sum(-1) > 0, values, np.nan)
