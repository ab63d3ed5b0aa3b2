"""Paired tests between runs on the same clips, with the speaker as the unit."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speechemb.metrics.intervals import Statistic


def paired_permutation(
    statistic: Statistic, confusions_a: ArrayLike, confusions_b: ArrayLike, n: int = 10_000, seed: int = 0
) -> float:
    """Two-sided p-value of "A and B have the same statistic", from swapping the two runs speaker by speaker.

    If neither run is better, the two matrices of a speaker are exchangeable. All 2^S exchanges are enumerated if there
    are at most `n`; otherwise `n` random ones are drawn and the observed one is added, so that p is never 0. Sources:
    Good 2005, "Permutation, Parametric, and Bootstrap Tests of Hypotheses" (matched pairs); Phipson, Smyth 2010,
    "Permutation P-values Should Never Be Zero".

    Args:
        statistic: function of confusion matrices `(..., K, K)`
        confusions_a: `(S, K, K)` of run A
        confusions_b: `(S, K, K)` of run B, the same speakers in the same order, the same clips
        n: maximum number of exchanges
        seed: of the random exchanges

    Returns:
        p, at least 2 / 2^S: no difference is significant at 5 % with fewer than 6 speakers

    Raises:
        ValueError: the runs were not measured on the same clips

    Examples:
        >>> from speechemb.metrics.classification import accuracy_of
        >>> a, b = np.array([[[8, 2], [1, 9]]] * 6), np.array([[[7, 3], [1, 9]]] * 6)
        >>> paired_permutation(accuracy_of, a, b)
        0.03125
    """
    a, b = np.asarray(confusions_a, dtype=np.float64), np.asarray(confusions_b, dtype=np.float64)
    if a.shape != b.shape or not np.array_equal(a.sum(-1), b.sum(-1)):
        raise ValueError("paired runs need the same clips: the true labels of their speakers differ")
    signs = _exchanges(len(a), n, seed)
    middle, half = (a + b).sum(0) / 2, (signs @ (a - b).reshape(len(a), -1)).reshape(-1, *a.shape[1:]) / 2
    observed = abs(statistic(a.sum(0)) - statistic(b.sum(0)))
    # The margin keeps exchanges that tie with the observed one from being lost to rounding.
    extreme = int((np.abs(statistic(middle + half) - statistic(middle - half)) >= observed - 1e-12).sum())
    return extreme / len(signs) if len(signs) == 2 ** len(a) else (extreme + 1) / (len(signs) + 1)


@lru_cache(maxsize=8)
def _exchanges(speakers: int, n: int, seed: int) -> NDArray[np.float64]:
    """+1 keeps a speaker's two matrices, -1 swaps them: `(2^S, S)` if 2^S <= n, else `(n, S)`."""
    if 2**speakers <= n:
        swapped = np.arange(2**speakers)[:, None] >> np.arange(speakers) & 1
    else:
        swapped = np.random.default_rng(seed).integers(0, 2, (n, speakers))
    return 1.0 - 2.0 * swapped


def holm(p_values: Sequence[float]) -> list[float]:
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


def compare(
    names: Sequence[str], confusions: ArrayLike, statistic: Statistic, alpha: float = 0.05, seed: int = 0
) -> dict[str, list]:
    """Paired tests between all runs on the same clips, with Holm's correction over all pairs.

    Speakers take the place of the data sets in Demsar 2006, "Statistical Comparisons of Classifiers over Multiple Data
    Sets", JMLR 7. Each pair gets the paired permutation test of the statistic itself; Garcia and Herrera 2008, JMLR 9,
    advise a step-down correction such as Holm's.

    Args:
        names: R runs
        confusions: `(R, S, K, K)`, the same speakers and clips in every run
        statistic: function of confusion matrices `(..., K, K)`; more is better
        alpha: family-wise error rate of the pairs
        seed: of the permutations

    Returns:
        `runs`: best first, each `name`, `value` (over all clips) and `beats` (names of the runs that it is
        significantly better than); `pairs`: each `better`, `worse`, `difference`, `p`, `p_holm`

    Raises:
        ValueError: not one name per run, or runs that were not measured on the same clips

    Examples:
        >>> from speechemb.metrics.classification import uar_of
        >>> good, bad = np.array([[9, 1], [2, 8]]), np.array([[6, 4], [4, 6]])
        >>> result = compare(["bad", "good"], [[bad] * 8, [good] * 8], uar_of)
        >>> result["runs"][0]["name"], result["runs"][0]["beats"]
        ('good', ['bad'])
    """
    confusions = np.asarray(confusions, dtype=np.float64)
    if len(names) != len(confusions):
        raise ValueError(f"{len(names)} names for {len(confusions)} runs")
    values = np.asarray(statistic(confusions.sum(1)))
    order = np.argsort(-values, kind="stable")
    names, confusions, values = [str(names[i]) for i in order], confusions[order], values[order]
    pairs = _pairs(names, confusions, values, statistic, seed)
    beaten: dict[str, list[str]] = {name: [] for name in names}
    for pair in pairs:
        if pair["p_holm"] <= alpha:
            beaten[pair["better"]].append(pair["worse"])
    runs = [
        {"name": name, "value": float(value), "beats": beaten[name]} for name, value in zip(names, values, strict=True)
    ]
    return {"runs": runs, "pairs": pairs}


def _pairs(names: list[str], confusions: NDArray, values: NDArray, statistic: Statistic, seed: int) -> list[dict]:
    pairs = list(combinations(range(len(names)), 2))
    p = [paired_permutation(statistic, confusions[i], confusions[j], seed=seed) for i, j in pairs]
    return [
        {"better": names[i], "worse": names[j], "difference": float(values[i] - values[j])}
        | {"p": raw, "p_holm": adjusted}
        for (i, j), raw, adjusted in zip(pairs, p, holm(p), strict=True)
    ]
