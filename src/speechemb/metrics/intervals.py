"""Confidence intervals with the speaker as the unit.

The clips of one speaker share a voice and a way of acting an emotion, so their errors are correlated and a bootstrap
over clips overstates the evidence: its 95 % interval holds the true value in only 65 to 85 % of the cases
(`benchmarks/interval_coverage.py`). Therefore whole speakers are resampled, each given as the confusion matrix of their
clips. A statistic is a function of confusion matrices `(..., K, K)` -> `(...)`, such as those of
`classification.STATISTICS`. Where speakers are unknown, another unit that keeps their clips together, such as the
session, takes their place.

These intervals do *not* cover other recordings of the same speakers, another random seed or other training data.
Repeats of a clip (repeated folds) add up in the speaker's matrix and make no interval narrower than the speakers allow.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, stdtrit

Statistic = Callable[[NDArray], NDArray]
_NO_SPREAD = 1e-9  # of the logit over resamples: less is rounding


def speaker_interval(
    statistic: Statistic, confusions: ArrayLike, level: float = 0.95, n: int = 2000, seed: int = 0
) -> tuple[float, float]:
    r"""Confidence interval of a statistic in [0, 1] by bootstrap over speakers.

    The usual percentile interval of this bootstrap is too short for 8 to 24 speakers. Used here instead is

    $$\text{logit}^{-1}\left(\text{logit}\,\hat\theta \pm t_{m-1} \sqrt{m / (m - 1)}\, s^*\right)
    \quad\text{with}\quad m = \left(\textstyle\sum_s n_s\right)^2 / \textstyle\sum_s n_s^2$$

    s* is the standard deviation of the statistic's logit over resamples: on that scale the spread is nearly symmetric
    and the bounds stay in [0, 1]. m is the effective number of speakers, where speaker s has n_s clips; it is S if all
    have equally many. The root corrects the bootstrap's division by m instead of m - 1, and Student's t allows for a
    spread estimated from m speakers. Sources: Davison, Hinkley 1997, "Bootstrap Methods and their Application",
    section 3.8 (clusters are resampled whole) and chapter 5 (transformed scales); Hesterberg 2015, "What Teachers
    Should Know About the Bootstrap", The American Statistician 69(4) (root and t); Kish 1965, "Survey Sampling" (m).
    Coverage with 8 to 91 speakers, of this and of the usual intervals: `benchmarks/interval_coverage.py`.

    Args:
        statistic: function of confusion matrices `(..., K, K)` with values in [0, 1]
        confusions: `(S, K, K)`, one per speaker; speakers without clips are excluded
        level: 0.95 for a 95 % interval
        n: number of resamples
        seed: of the resamples; the same seed gives the same interval

    Returns:
        (low, high); (nan, nan) where the spread cannot be estimated, see `why_no_interval`

    Examples:
        >>> from speechemb.metrics.classification import accuracy_of
        >>> right, wrong = np.array([[9, 1], [1, 9]]), np.array([[7, 3], [3, 7]])
        >>> low, high = speaker_interval(accuracy_of, [right, wrong, right, right, wrong, right])
        >>> bool(0.5 < low < accuracy_of(4 * right + 2 * wrong) < high < 1)
        True
    """
    confusions = _with_clips(confusions)
    if _why_not(statistic, confusions):
        return np.nan, np.nan
    speakers, classes, clips = len(confusions), confusions.shape[-1], confusions.sum((1, 2))
    centre = float(statistic(confusions.sum(0)))
    totals = resamples(speakers, n, seed) @ confusions.reshape(speakers, -1)
    # A resample without any error has an infinite logit; it is moved half a clip away from 0 or 1.
    half = 0.5 / clips.sum()
    spread = logit(np.clip(statistic(totals.reshape(n, classes, classes)), half, 1 - half)).std()
    if spread < _NO_SPREAD:
        return np.nan, np.nan
    effective = clips.sum() ** 2 / (clips**2).sum()
    reach = stdtrit(effective - 1, (1 + level) / 2) * np.sqrt(effective / (effective - 1)) * spread
    return float(expit(logit(centre) - reach)), float(expit(logit(centre) + reach))


def difference_interval(
    statistic: Statistic, confusions_a: ArrayLike, confusions_b: ArrayLike, level: float = 0.95, n: int = 2000
) -> tuple[float, float]:
    r"""Confidence interval of statistic(A) - statistic(B) of two runs on the same clips, by bootstrap over speakers.

    A speaker is drawn with both matrices, so what makes some speakers easier in both runs cancels out. The interval is
    $d \pm t_{m-1} \sqrt{m / (m - 1)}\, s^*$, with s* and m as in `speaker_interval`, on the scale of the differences
    itself, which has no bounds near.

    Args:
        confusions_a: `(S, K, K)`, one per speaker
        confusions_b: the same speakers in the same order

    Returns:
        (low, high); (nan, nan) where there are fewer than two speakers, or they do not differ

    Examples:
        >>> from speechemb.metrics.classification import accuracy_of
        >>> a, b, c = [[9, 1], [1, 9]], [[7, 3], [3, 7]], [[8, 2], [1, 9]]
        >>> low, high = difference_interval(accuracy_of, [a, a, c, a], [b, c, b, b])
        >>> bool(0 < low < 0.1375 < high)
        True
    """
    a, b = (np.asarray(one, dtype=np.float64) for one in (confusions_a, confusions_b))
    clips = b.sum((1, 2))
    a, b, clips = a[clips > 0], b[clips > 0], clips[clips > 0]
    if len(b) < 2:
        return np.nan, np.nan
    drawn = resamples(len(b), n, 0)
    both = [statistic((drawn @ one.reshape(len(b), -1)).reshape(n, *one.shape[1:])) for one in (a, b)]
    spread = (both[0] - both[1]).std()
    if spread < _NO_SPREAD:
        return np.nan, np.nan
    centre = float(statistic(a.sum(0)) - statistic(b.sum(0)))
    effective = clips.sum() ** 2 / (clips**2).sum()
    reach = stdtrit(effective - 1, (1 + level) / 2) * np.sqrt(effective / (effective - 1)) * spread
    return float(centre - reach), float(centre + reach)


def why_no_interval(statistic: Statistic, confusions: ArrayLike, unit: str = "speakers") -> str:
    """Why `speaker_interval` has no interval for these units; empty where it has one.

    An interval of zero width would look like certainty. Where the units do not differ, or every answer is the same
    class, their spread says nothing about other speakers.

    Examples:
        >>> from speechemb.metrics.classification import uar_of
        >>> why_no_interval(uar_of, [[[3, 0], [3, 0]], [[5, 0], [4, 0]]])
        'every answer is the same class'
    """
    confusions = _with_clips(confusions)
    if why := _why_not(statistic, confusions):
        return why.format(unit=unit)
    return "" if np.isfinite(speaker_interval(statistic, confusions)[0]) else f"no variation between {unit}"


def _with_clips(confusions: ArrayLike) -> NDArray[np.float64]:
    confusions = np.asarray(confusions, dtype=np.float64)
    return confusions[confusions.sum((1, 2)) > 0]


def _why_not(statistic: Statistic, confusions: NDArray[np.float64]) -> str:
    if len(confusions) < 2:
        return "fewer than two {unit}"
    centre = float(statistic(confusions.sum(0)))
    if not 0 < centre < 1:
        return f"the figure is exactly {centre:.0f}"
    if np.count_nonzero(confusions.sum((0, 1))) < 2:
        return "every answer is the same class"
    return ""


@lru_cache(maxsize=8)
def resamples(speakers: int, n: int, seed: int) -> NDArray[np.float64]:
    """How often each speaker is drawn, `(n, S)`; every metric and run gets the same resamples."""
    return np.random.default_rng(seed).multinomial(speakers, np.full(speakers, 1 / speakers), n).astype(float)
