"""How far a metric can be believed: intervals, paired tests and rankings with the speaker as the unit.

The clips of one speaker share a voice and a way of acting an emotion: they are right or wrong together.
Whoever counts clips believes to have more evidence than there is: a 95 % interval from a bootstrap over
clips holds the truth in 65 to 85 % of the cases (`benchmarks/coverage.py`). Hence what is resampled here
are whole speakers, each given as the confusion matrix of their clips; a statistic is a function of
confusion matrices `(..., K, K)` -> `(...)`, such as those of `metrics.STATISTICS`.

What is *not* in these intervals: other recordings of the same speakers, another random seed, other training
data. Repeats of a clip (repeated folds) add up in the speaker's matrix and make no interval narrower than
the speakers allow.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, stdtrit

from speechemb.metrics.classification import indices

Statistic = Callable[[NDArray], NDArray]


def speaker_confusions(
    true: Sequence[str], predicted: Sequence[str], speakers: Sequence[str], labels: Sequence[str]
) -> NDArray[np.int64]:
    """Confusion matrix of each speaker.

    Args:
        true: true labels, N of them
        predicted: predicted labels
        speakers: who speaks; what shares a group in the folds (a session where speakers are unknown)
        labels: the K classes

    Returns:
        int64 `(S, K, K)`, speakers in sorted order, rows are true classes; the sum over S is
        `metrics.confusion`

    Raises:
        ValueError: as `metrics.confusion`, or a clip without a speaker

    Examples:
        >>> speaker_confusions(["a", "b"], ["a", "a"], ["s2", "s1"], ["a", "b"]).tolist()
        [[[0, 0], [1, 0]], [[1, 0], [0, 0]]]
    """
    rows, columns = indices(true, labels, "true"), indices(predicted, labels, "predicted")
    if not len(rows) == len(columns) == len(speakers):
        raise ValueError(f"{len(rows)} true, {len(columns)} predicted labels, {len(speakers)} speakers")
    unknown = [i for i, speaker in enumerate(speakers) if not isinstance(speaker, str) or not speaker]
    if unknown:
        raise ValueError(f"{len(unknown)} clips have no speaker, the first is clip {unknown[0]}")
    names, who = np.unique(np.asarray(speakers, dtype=str), return_inverse=True)
    matrices = np.zeros((len(names), len(labels), len(labels)), dtype=np.int64)
    np.add.at(matrices, (who, rows, columns), 1)
    return matrices


def speaker_interval(
    statistic: Statistic, confusions: ArrayLike, level: float = 0.95, n: int = 2000, seed: int = 0
) -> tuple[float, float]:
    r"""Confidence interval of a statistic in [0, 1] by bootstrap over speakers.

    The usual percentile interval of this bootstrap is too short for 8 to 24 speakers. Taken here instead is

    $$\text{logit}^{-1}\left(\text{logit}\,\hat\theta \pm t_{m-1} \sqrt{m / (m - 1)}\, s^*\right)
    \quad\text{with}\quad m = \left(\textstyle\sum_s n_s\right)^2 / \textstyle\sum_s n_s^2$$

    s* is the standard deviation over resamples of the statistic's logit: on that scale the spread is nearly symmetric
    and the bounds stay in [0, 1]. m is the effective number of speakers, of whom speaker s has n_s clips; it is S where
    all have equally many. The root undoes the bootstrap's division by m instead of m - 1, and Student's t allows for a
    spread estimated from m speakers. Sources: Davison, Hinkley 1997, "Bootstrap Methods and their Application",
    section 3.8 (clusters are resampled whole) and chapter 5 (transformed scales); Hesterberg 2015, "What Teachers
    Should Know About the Bootstrap", The American Statistician 69(4) (root and t); Kish 1965, "Survey Sampling" (m).
    Coverage with 8 to 91 speakers, of this and of the usual intervals: `benchmarks/coverage.py`.

    Args:
        statistic: function of confusion matrices `(..., K, K)` with values in [0, 1]
        confusions: `(S, K, K)`, one per speaker; speakers without clips are left out
        level: 0.95 for a 95 % interval
        n: number of resamples
        seed: of the resamples; the same seed gives the same interval

    Returns:
        (low, high); (nan, nan) where there is no spread to learn from: fewer than two speakers, or an exact
        0 or 1

    Examples:
        >>> from speechemb.metrics.classification import accuracy_of
        >>> right, wrong = np.array([[9, 1], [1, 9]]), np.array([[7, 3], [3, 7]])
        >>> low, high = speaker_interval(accuracy_of, [right, wrong, right, right, wrong, right])
        >>> bool(0.5 < low < accuracy_of(4 * right + 2 * wrong) < high < 1)
        True
    """
    confusions = np.asarray(confusions, dtype=np.float64)
    confusions = confusions[confusions.sum((1, 2)) > 0]
    speakers, classes, clips = len(confusions), confusions.shape[-1], confusions.sum((1, 2))
    centre = float(statistic(confusions.sum(0)))
    if speakers < 2 or not 0 < centre < 1:
        return np.nan, np.nan
    totals = _resamples(speakers, n, seed) @ confusions.reshape(speakers, -1)
    # A resample without any error has an infinite logit; half a clip from the end stands for it.
    half = 0.5 / clips.sum()
    spread = logit(np.clip(statistic(totals.reshape(n, classes, classes)), half, 1 - half)).std()
    effective = clips.sum() ** 2 / (clips**2).sum()
    reach = stdtrit(effective - 1, (1 + level) / 2) * np.sqrt(effective / (effective - 1)) * spread
    return float(expit(logit(centre) - reach)), float(expit(logit(centre) + reach))


@lru_cache(maxsize=8)
def _resamples(speakers: int, n: int, seed: int) -> NDArray[np.float64]:
    """How often each speaker is drawn, `(n, S)`: the same resamples for every metric and every run."""
    return np.random.default_rng(seed).multinomial(speakers, np.full(speakers, 1 / speakers), n).astype(float)


def paired_permutation(
    statistic: Statistic, confusions_a: ArrayLike, confusions_b: ArrayLike, n: int = 10_000, seed: int = 0
) -> float:
    """Two-sided p-value of "A and B have the same statistic", from swapping the two runs speaker by speaker.

    If neither run is better, the two matrices of a speaker could as well be exchanged. All 2^S exchanges
    are enumerated where they are no more than `n`, else `n` random ones are drawn and the observed one is
    added to them, so that p is never 0. Sources: Good 2005, "Permutation, Parametric, and Bootstrap Tests
    of Hypotheses" (matched pairs); Phipson, Smyth 2010, "Permutation P-values Should Never Be Zero".

    Args:
        statistic: function of confusion matrices `(..., K, K)`
        confusions_a: `(S, K, K)` of run A
        confusions_b: `(S, K, K)` of run B, the same speakers in the same order, the same clips
        n: number of exchanges at most
        seed: of the random exchanges

    Returns:
        p; its smallest possible value is 2 / 2^S, so no difference is significant with fewer than 6 speakers

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
    """+1 keeps a speaker's two matrices, -1 swaps them, `(2^S, S)` where 2^S <= n, else `(n, S)`."""
    if 2**speakers <= n:
        swapped = np.arange(2**speakers)[:, None] >> np.arange(speakers) & 1
    else:
        swapped = np.random.default_rng(seed).integers(0, 2, (n, speakers))
    return 1.0 - 2.0 * swapped


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number: p <= alpha after it holds the family-wise error below alpha.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
    Statistics.

    Args:
        p_values: M of them

    Returns:
        M adjusted values in the order given; the smallest is multiplied by M, the next by M - 1 and so on,
        and none is below one that was smaller before, nor above 1

    Examples:
        >>> holm([0.03, 0.01, 0.5])
        [0.06, 0.03, 0.5]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted.tolist()


def ranking(
    names: Sequence[str], confusions: ArrayLike, statistic: Statistic, alpha: float = 0.05, seed: int = 0
) -> dict[str, float | list]:
    """Runs on the same clips, best first, with what may be said about their order.

    In the manner of a critical-difference diagram (Demsar 2006, "Statistical Comparisons of Classifiers
    over Multiple Data Sets", JMLR 7) with speakers in the place of data sets. Instead of its Nemenyi
    distance on ranks, each pair gets the paired permutation test of the statistic itself, Holm-corrected
    over all pairs (Garcia, Herrera 2008, JMLR 9, advise step-down corrections). The correction holds with
    or without Friedman's test, so that one is reported and does not gate the pairs.

    Args:
        names: R runs
        confusions: `(R, S, K, K)`, the same speakers and clips in every run
        statistic: function of confusion matrices `(..., K, K)`, more is better
        alpha: family-wise level of the pairs
        seed: of the permutations

    Returns:
        `friedman_p`: of "all runs rank alike over the speakers" (nan for fewer than 3 runs or if all are
        equal); `runs`: best first, each `name`, `value` (of all clips), `mean_rank` (over speakers, 1 is
        best) and `beats` (names told apart from it and worse); `groups`: lists of names, neighbours in
        `runs` of which no two are told apart, longest stretches only; `pairs`: each `better`, `worse`,
        `difference`, `p`, `p_holm`

    Raises:
        ValueError: number of names, or runs that were not measured on the same clips

    Examples:
        >>> from speechemb.metrics.classification import uar_of
        >>> good, bad = np.array([[9, 1], [2, 8]]), np.array([[6, 4], [4, 6]])
        >>> result = ranking(["bad", "good"], [[bad] * 8, [good] * 8], uar_of)
        >>> result["runs"][0]["name"], result["runs"][0]["beats"], result["groups"]
        ('good', ['bad'], [['good'], ['bad']])
    """
    confusions = np.asarray(confusions, dtype=np.float64)
    if len(names) != len(confusions):
        raise ValueError(f"{len(names)} names for {len(confusions)} runs")
    values = np.asarray(statistic(confusions.sum(1)))
    order = np.argsort(-values, kind="stable")
    names, confusions, values = [str(names[i]) for i in order], confusions[order], values[order]
    by_speaker = np.asarray(statistic(confusions))
    pairs = _pairs(names, confusions, values, statistic, seed)
    apart = {(pair["better"], pair["worse"]) for pair in pairs if pair["p_holm"] <= alpha}
    runs = [
        {"name": name, "value": float(value), "mean_rank": float(rank)}
        | {"beats": [other for other in names if (name, other) in apart]}
        for name, value, rank in zip(names, values, _ranks(by_speaker).mean(1), strict=True)
    ]
    return {
        "friedman_p": _friedman(by_speaker),
        "runs": runs,
        "groups": _groups(names, apart),
        "pairs": pairs,
    }


def _pairs(names: list[str], confusions: NDArray, values: NDArray, statistic: Statistic, seed: int) -> list[dict]:
    pairs = list(combinations(range(len(names)), 2))
    p = [paired_permutation(statistic, confusions[i], confusions[j], seed=seed) for i, j in pairs]
    return [
        {"better": names[i], "worse": names[j], "difference": float(values[i] - values[j])}
        | {"p": raw, "p_holm": adjusted}
        for (i, j), raw, adjusted in zip(pairs, p, holm(p), strict=True)
    ]


def _ranks(by_speaker: NDArray) -> NDArray[np.float64]:
    """Rank of each run with each speaker, 1 is best, equals share their mean rank; `(R, S)` -> `(R, S)`."""
    from scipy.stats import rankdata  # here, because importing scipy.stats takes a second

    # Rounding: equal sums must stay equal although they were added up in another order.
    return rankdata(-by_speaker.round(12), axis=0)


def _friedman(by_speaker: NDArray) -> float:
    from scipy.stats import friedmanchisquare

    if len(by_speaker) < 3 or np.ptp(_ranks(by_speaker), axis=0).max() == 0:
        return float("nan")
    return float(friedmanchisquare(*by_speaker.round(12)).pvalue)


def _groups(names: list[str], apart: set[tuple[str, str]]) -> list[list[str]]:
    stretches = []
    for start in range(len(names)):
        end = start + 1
        while end < len(names) and not any((name, names[end]) in apart for name in names[start:end]):
            end += 1
        if not stretches or end > stretches[-1][1]:
            stretches.append((start, end))
    return [names[start:end] for start, end in stretches]
