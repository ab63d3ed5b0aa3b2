"""Paired tests between runs on the same clips, with the speaker as the unit."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speechemb.metrics.classification import Floats, ratio

EXACT = 32  # up to so many speakers all 2^S exchanges are counted
DRAWS = 200_000  # exchanges drawn where there are more speakers
_BLOCK = 1_000_000  # signs or sums held at once


def speaker_differences(confusions_a: ArrayLike, confusions_b: ArrayLike) -> Floats:
    """What each speaker contributes to UAR(A) - UAR(B), `(..., S)`; the sum over speakers is the difference.

    Two runs on the same clips have the same true classes, so UAR is a sum over speakers: of their hits in each class,
    divided by all clips of that class and by the number of classes that occur.

    Args:
        confusions_a: `(..., S, K, K)` of run A
        confusions_b: of run B, the same speakers in the same order, the same clips

    Raises:
        ValueError: the runs were not measured on the same clips

    Examples:
        >>> speaker_differences([[[2, 0], [1, 1]], [[1, 1], [0, 2]]], [[[1, 1], [1, 1]], [[1, 1], [0, 2]]]).tolist()
        [0.125, 0.0]
    """
    a, b = np.asarray(confusions_a, dtype=np.float64), np.asarray(confusions_b, dtype=np.float64)
    if a.shape[-3:] != b.shape[-3:] or (a.sum(-1) != b.sum(-1)).any():
        raise ValueError("paired runs need the same clips: the true labels of their speakers differ")
    hits = np.diagonal(a, axis1=-2, axis2=-1) - np.diagonal(b, axis1=-2, axis2=-1)
    support = b.sum((-3, -1))
    classes = np.maximum((support > 0).sum(-1, keepdims=True), 1)
    return ratio(hits, np.broadcast_to(support[..., None, :], hits.shape), 0.0).sum(-1) / classes


def sign_flip_test(differences: ArrayLike, n: int = DRAWS, seed: int = 0) -> Floats:
    """Two-sided p-values of "A and B are equally good", from exchanging the two runs speaker by speaker.

    If neither run is better, the two answers of a speaker are exchangeable, and an exchange flips the sign of the
    speaker's difference. p is the share of exchanges whose sum is at least as far from 0 as the observed one. With up
    to `EXACT` speakers all 2^S exchanges are counted, without listing them: the sums of one half of the speakers are
    sorted, and those of the other half are looked up among them. With more speakers `n` random exchanges are drawn and
    the observed one is added, so that p is never 0. Sources: Good 2005, "Permutation, Parametric, and Bootstrap Tests
    of Hypotheses" (matched pairs); Phipson, Smyth 2010, "Permutation P-values Should Never Be Zero".

    Args:
        differences: `(P, S)`, of P pairs of runs over S speakers, see `speaker_differences`
        n: number of random exchanges
        seed: of the random exchanges, which all pairs share

    Returns:
        p `(P,)`, at least `smallest_p`

    Examples:
        >>> sign_flip_test([[0.1] * 6, [0.1, -0.1, 0.1, -0.1, 0.1, -0.1]]).tolist()
        [0.03125, 1.0]
    """
    differences = np.asarray(differences, dtype=np.float64)
    # The margin keeps exchanges that tie with the observed one from being lost to rounding.
    observed = np.abs(differences.sum(-1)) - 1e-12
    if differences.shape[-1] <= EXACT:
        return np.array([_exact(row, bound) for row, bound in zip(differences, observed, strict=True)])
    rng, extreme = np.random.default_rng(seed), np.zeros(len(differences), dtype=np.int64)
    for size in _blocks(n, max(differences.shape)):
        signs = 1.0 - 2.0 * rng.integers(0, 2, (size, differences.shape[-1]), dtype=np.int8)
        extreme += (np.abs(signs @ differences.T) >= observed).sum(0)
    return (extreme + 1) / (n + 1)


def _exact(row: Floats, bound: float) -> float:
    if bound <= 0:
        return 1.0
    left, right = np.sort(_sums(row[::2])), np.sort(_sums(row[1::2]))
    above = len(right) - np.searchsorted(right, bound - left, side="left")
    return float(2 * above.sum() / 2 ** len(row))


def _sums(values: Floats) -> Floats:
    """The sum of the values under all 2^S choices of signs."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _blocks(n: int, width: int) -> list[int]:
    size = max(_BLOCK // width, 1)
    return [min(size, n - start) for start in range(0, n, size)]


def smallest_p(speakers: int, n: int = DRAWS) -> float:
    """The smallest p that `sign_flip_test` can give with so many speakers.

    Examples:
        >>> smallest_p(5), smallest_p(10)
        (0.0625, 0.001953125)
    """
    return min(2 / 2**speakers, 1.0) if speakers <= EXACT else 1 / (n + 1)


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> list[float]:
    """p-values corrected for multiple testing: corrected p <= alpha keeps the family-wise error rate below alpha.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics.

    Args:
        p_values: M of them

    Returns:
        M adjusted values in the same order: the smallest is multiplied by M, the next by M - 1 and so on, each is at
        least as large as the one before it, and at most 1

    Examples:
        >>> holm([0.03, 0.01, 0.5])
        [0.06, 0.03, 0.5]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted.tolist()
