"""Metrics of predicted numbers, such as arousal: pure functions of sums that add over clips and so over speakers.

The sums of clips, `(..., 6)`, are n, Σt, Σp, Σt², Σp² and Σtp of true and predicted numbers t and p. CCC, the headline
metric of dimensional emotion, is Lin's concordance correlation coefficient: Pearson's correlation, less what a wrong
mean or a wrong spread costs. A constant prediction has a CCC of 0.

Intervals and tests have the speaker as the unit, as those of UAR (`intervals`, `paired_tests`).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from speechemb.metrics.intervals import resamples

Floats = NDArray[np.float64]
EXACT = 14  # up to so many speakers all 2^S exchanges are counted
DRAWS = 20_000  # exchanges drawn where there are more speakers
_NO_SPREAD = 1e-9


def sums(true: ArrayLike, predicted: ArrayLike, unit: NDArray[np.int64], n_units: int) -> Floats:
    """The sums of each unit (speaker, fold): `(U, 6)` from numbers `(N,)` and the index `(N,)` of each clip's unit.

    Examples:
        >>> sums([1, 3], [2, 2], np.array([0, 0]), 1).tolist()
        [[2.0, 4.0, 4.0, 10.0, 8.0, 8.0]]
    """
    t, p = np.asarray(true, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    columns = (np.ones_like(t), t, p, t * t, p * p, t * p)
    found = [np.bincount(unit, weights=column, minlength=n_units).astype(np.float64) for column in columns]
    return np.stack(found, axis=1)


def ccc_of(total: ArrayLike) -> Floats:
    r"""Lin's concordance, $2 s_{tp} / (s_t^2 + s_p^2 + (\bar t - \bar p)^2)$; nan where both are one constant.

    Source: Lin 1989, "A Concordance Correlation Coefficient to Evaluate Reproducibility", Biometrics 45(1).

    Examples:
        >>> float(ccc_of([2, 4, 6, 10, 20, 14]))  # 1, 3 predicted as 2, 4
        0.6666666666666666
    """
    mean_t, mean_p, var_t, var_p, covariance = _moments(total)
    return _ratio(2 * covariance, var_t + var_p + (mean_t - mean_p) ** 2)


def pearson_of(total: ArrayLike) -> Floats:
    r"""Pearson's correlation, $s_{tp} / (s_t s_p)$; nan where one of the two is constant.

    Examples:
        >>> float(pearson_of([2, 4, 6, 10, 20, 14]))
        1.0
    """
    _, _, var_t, var_p, covariance = _moments(total)
    return _ratio(covariance, np.sqrt(var_t * var_p))


def rmse_of(total: ArrayLike) -> Floats:
    r"""Root of the mean squared error, $\sqrt{\sum (t - p)^2 / n}$, in the unit of the numbers.

    Examples:
        >>> float(rmse_of([2, 4, 6, 10, 20, 14]))
        1.0
    """
    n, _, _, tt, pp, tp = np.moveaxis(np.asarray(total, dtype=np.float64), -1, 0)
    return np.sqrt(np.maximum(_ratio(tt - 2 * tp + pp, n), 0))


STATISTICS: dict[str, Callable[[ArrayLike], Floats]] = {"ccc": ccc_of, "pearson": pearson_of, "rmse": rmse_of}


def ccc_of_numbers(true: Floats, predicted: Floats) -> float:
    """Mean over the targets of CCC, from numbers `(N, T)`; what is constant counts as 0. Regressors choose by it.

    Examples:
        >>> ccc_of_numbers(np.array([[1.0], [3.0]]), np.array([[2.0], [4.0]]))
        0.6666666666666666
    """
    everything, one = np.zeros(len(true), dtype=np.int64), range(true.shape[1])
    totals = [sums(true[:, i] - true[:, i].mean(), predicted[:, i] - true[:, i].mean(), everything, 1)[0] for i in one]
    return float(np.mean(np.nan_to_num(ccc_of(totals))))


def interval(name: str, by_unit: ArrayLike, level: float = 0.95, n: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Confidence interval of a statistic by bootstrap over speakers, as `intervals.speaker_interval` makes that of UAR.

    The scale on which the spread is taken is Fisher's z for the correlations, and the logarithm for RMSE.

    Args:
        name: one of STATISTICS
        by_unit: `(S, 6)`, the sums of each speaker

    Returns:
        (low, high); (nan, nan) where the speakers do not vary or there is one only, or the statistic is not defined
    """
    by_unit = np.asarray(by_unit, dtype=np.float64)
    by_unit = by_unit[by_unit[:, 0] > 0]
    forward, back = (np.log, np.exp) if name == "rmse" else (np.arctanh, np.tanh)
    statistic = STATISTICS[name]
    centre = float(statistic(by_unit.sum(0)))
    if len(by_unit) < 2 or not np.isfinite(centre) or centre == (0 if name == "rmse" else 1):
        return np.nan, np.nan
    drawn = statistic(resamples(len(by_unit), n, seed) @ by_unit)
    drawn = np.clip(drawn[np.isfinite(drawn)], 1e-12 if name == "rmse" else -1 + 1e-12, None)
    spread = forward(drawn if name == "rmse" else np.minimum(drawn, 1 - 1e-12)).std() if len(drawn) else 0.0
    if spread < _NO_SPREAD:
        return np.nan, np.nan
    clips = by_unit[:, 0]
    effective = clips.sum() ** 2 / (clips**2).sum()
    reach = stdtrit(effective - 1, (1 + level) / 2) * np.sqrt(effective / (effective - 1)) * spread
    return float(back(forward(centre) - reach)), float(back(forward(centre) + reach))


def exchange_test(sums_a: ArrayLike, sums_b: ArrayLike, name: str = "ccc", draws: int = DRAWS, seed: int = 0) -> float:
    """Two-sided p of "A and B are equally good", from exchanging the two runs speaker by speaker.

    Unlike UAR, CCC is no sum over speakers, so both runs' sums are exchanged and the statistics computed anew. With up
    to EXACT speakers all exchanges are counted; else some are drawn, and the observed one is added to them.

    Args:
        sums_a, sums_b: `(S, 6)` of the same clips of the same speakers, in the same order

    Raises:
        ValueError: the runs were not measured on the same clips

    Examples:
        >>> a = sums([1, 2, 1, 2], [1, 2, 1, 2.1], np.array([0, 0, 1, 1]), 2)
        >>> exchange_test(a, a)
        1.0
    """
    a, b = np.asarray(sums_a, dtype=np.float64), np.asarray(sums_b, dtype=np.float64)
    if a.shape != b.shape or not np.allclose(a[:, [0, 1, 3]], b[:, [0, 1, 3]]):
        raise ValueError("paired runs need the same clips: the true numbers of their speakers differ")
    statistic, speakers = STATISTICS[name], len(a)
    observed = abs(float(statistic(a.sum(0)) - statistic(b.sum(0)))) - 1e-12
    if speakers <= EXACT:
        flips = (np.arange(2**speakers)[:, None] >> np.arange(speakers)) & 1
    else:
        flips = np.random.default_rng(seed).integers(0, 2, (draws, speakers))
    change = flips @ (b - a)
    differences = np.abs(statistic(a.sum(0) + change) - statistic(b.sum(0) - change))
    extreme = int((differences >= observed).sum())
    return extreme / len(flips) if speakers <= EXACT else (extreme + 1) / (len(flips) + 1)


def _moments(total: ArrayLike) -> tuple[Floats, ...]:
    """Means of true and predicted, their variances (of the clips, not of a population), and the covariance."""
    total = np.asarray(total, dtype=np.float64)
    n = np.where(total[..., 0] > 0, total[..., 0], np.nan)
    t, p, tt, pp, tp = (total[..., i] / n for i in range(1, 6))
    return t, p, np.maximum(tt - t * t, 0), np.maximum(pp - p * p, 0), tp - t * p


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.full(np.shape(bottom), np.nan), where=np.asarray(bottom) > 1e-12)
