"""Classifiers beside raters: cross-entropy to their votes, agreement with them and among them, multi-label F1.

Pure functions of votes `(n, K)`: how many raters chose each class for each clip, or probabilities. `shares` are votes
divided by their sum.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def shares_of(votes: Floats) -> Floats:
    """Votes divided by their sum, (n, K); every clip has some.

    Examples:
        >>> shares_of(np.array([[3.0, 1.0]])).tolist()
        [[0.75, 0.25]]
    """
    return votes / votes.sum(axis=1, keepdims=True)


def cross_entropy(shares: Floats, probabilities: Floats) -> float:
    r"""Mean over the clips of $-\\sum_k r_k \\log p_k$ in nats; least, the raters' own entropy, where p equals r.

    Probabilities below 1e-6, which tables do not hold, count as 1e-6.

    Examples:
        >>> round(cross_entropy(np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]])), 4)
        0.6931
        >>> cross_entropy(np.eye(2), np.eye(2))
        0.0
    """
    return float((shares * -np.log(np.maximum(probabilities, 1e-6))).sum(axis=1).mean()) + 0.0  # + 0.0: no -0.0


def agreement(votes: Floats, answers: NDArray[np.int64]) -> Floats:
    """Per clip, how many votes are for the answer, and how many there are, (n, 2).

    Examples:
        >>> agreement(np.array([[3.0, 1.0]]), np.array([1])).tolist()
        [[1.0, 4.0]]
    """
    return np.stack([votes[np.arange(len(votes)), answers], votes.sum(axis=1)], axis=1)


def leave_one_out(votes: Floats) -> Floats:
    """Per clip, how many votes are for the choice of most of the *other* raters, and how many there are, (n, 2).

    The same question that `agreement` asks of a classifier, asked of the raters. Where the others tie between m
    classes, a vote for one of them counts 1/m. `votes` are whole numbers, at least two a clip.

    Examples:
        >>> leave_one_out(np.array([[3.0, 1.0], [1.0, 1.0]])).tolist()
        [[3.0, 4.0], [0.0, 2.0]]
    """
    agreeing = np.zeros(len(votes))
    for k in range(votes.shape[1]):
        others = votes.copy()
        others[:, k] -= 1
        most = others == others.max(axis=1, keepdims=True)
        agreeing += np.where(most[:, k], votes[:, k] / most.sum(axis=1), 0)
    return np.stack([agreeing, votes.sum(axis=1)], axis=1)


def multilabel_f1(true: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Floats:
    """F1 of each class where a clip may have several, (K,); 0 for a class that neither occurs nor is predicted.

    Examples:
        >>> multilabel_f1(np.array([[1, 0], [1, 1]]) > 0, np.array([[1, 0], [0, 1]]) > 0).round(3).tolist()
        [0.667, 1.0]
    """
    both, either = (true & predicted).sum(axis=0), true.sum(axis=0) + predicted.sum(axis=0)
    return np.divide(2.0 * both, either, out=np.zeros(len(both)), where=either > 0)
