"""Whether a probability of 0.8 is right in 80 % of the cases, and whether confidence tells right from wrong."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from speechemb.metrics.classification import Floats, ratio
from speechemb.metrics.confusion import Indices

N_THRESHOLDS = 101  # of `risk_coverage`


def reliability(true: Indices, probabilities: ArrayLike, n_bins: int = 15) -> dict[str, NDArray]:
    """Bins of a reliability diagram: accuracy of the predictions by their confidence.

    The confidence of a clip is its highest probability, and the predicted class is the first that has it. Bin m of M
    holds the confidences in ((m - 1) / M, m / M]. Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of
    Modern Neural Networks", ICML 2017.

    Args:
        true: true class indices `(N,)`
        probabilities: `(N, K)`, columns in the order of the classes, each row sums to 1
        n_bins: number of bins of equal width

    Returns:
        `edges` `(n_bins + 1,)`; per bin `count` of clips, mean `confidence` and `accuracy`, nan in an empty bin

    Raises:
        ValueError: probabilities of the wrong shape, outside [0, 1] or not summing to 1

    Examples:
        >>> reliability(np.array([0, 1]), [[0.9, 0.1], [0.6, 0.4]], n_bins=2)["accuracy"].tolist()
        [nan, 0.5]
    """
    probabilities = _checked(probabilities, len(true))
    confidence, right = probabilities.max(1), probabilities.argmax(1) == true
    edges = np.linspace(0, 1, n_bins + 1)
    where = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, n_bins - 1)
    count = np.bincount(where, minlength=n_bins)
    return {
        "edges": edges,
        "count": count,
        "confidence": ratio(np.bincount(where, weights=confidence, minlength=n_bins), count, np.nan),
        "accuracy": ratio(np.bincount(where, weights=right, minlength=n_bins), count, np.nan),
    }


def expected_calibration_error(bins: dict[str, NDArray]) -> float:
    r"""Expected calibration error, $\sum_m \frac{n_m}{N} |\text{accuracy}_m - \text{confidence}_m|$.

    From 0 (best) to 1. Source: Naeini, Cooper, Hauskrecht, AAAI 2015; Guo et al. 2017.

    Args:
        bins: of `reliability`

    Examples:
        >>> expected_calibration_error(reliability(np.array([0, 1]), [[0.75, 0.25], [0.75, 0.25]]))
        0.25
    """
    gap = np.nan_to_num(np.abs(bins["accuracy"] - bins["confidence"]))
    return float((bins["count"] * gap).sum() / bins["count"].sum())


def confidence_auroc(true: Indices, probabilities: ArrayLike) -> float | None:
    """Whether confidence tells right from wrong: the AUROC of the confidence for the prediction being right.

    The share of pairs of a right and a wrong prediction in which the right one is the more confident; a tie counts as
    one half. 0.5: confidence says nothing; 1: every right prediction is more confident than every wrong one.
    Calibration error does not see this: the same confidence for every clip is calibrated if it equals the accuracy.

    Returns:
        None where all predictions are right, or all are wrong

    Examples:
        >>> confidence_auroc(np.array([0, 1, 0]), [[0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
        0.75
    """
    probabilities = _checked(probabilities, len(true))
    right = probabilities.argmax(1) == true
    n_right, n_wrong = int(right.sum()), int((~right).sum())
    if not n_right or not n_wrong:
        return None
    ranks = rankdata(probabilities.max(1))
    return float((ranks[right].sum() - n_right * (n_right + 1) / 2) / (n_right * n_wrong))


def risk_coverage(right: ArrayLike, confidence: ArrayLike) -> dict[str, NDArray]:
    """What abstaining gains: of the predictions that are at least this confident, how many there are and are wrong.

    Coverage at a threshold t is the share of all predictions with a confidence of t or more, risk the share of wrong
    ones among them. Source: El-Yaniv, Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 2010.

    Args:
        right: whether each prediction is right `(N,)`
        confidence: of each prediction, from 0 to 1 `(N,)`

    Returns:
        `thresholds` `(101,)`: 0, 0.01, ... 1; `coverage` `(101,)`; `risk` `(101,)`, nan where nothing is covered

    Raises:
        ValueError: no prediction, another number of confidences, or a confidence that is no number from 0 to 1

    Examples:
        >>> curve = risk_coverage([True, False], [0.9, 0.6])
        >>> curve["coverage"][[0, 60, 61]].tolist(), curve["risk"][[0, 60, 61]].tolist()
        ([1.0, 1.0, 0.5], [0.5, 0.5, 0.0])
    """
    right, confidence = np.asarray(right, dtype=bool), np.asarray(confidence, dtype=np.float64)
    if right.ndim != 1 or right.shape != confidence.shape or not len(right):
        raise ValueError(f"{right.shape} predictions and {confidence.shape} confidences: one is needed of each")
    if not ((confidence >= 0) & (confidence <= 1 + 1e-6)).all():
        raise ValueError("a confidence is not a number from 0 to 1")
    thresholds = np.arange(N_THRESHOLDS) / (N_THRESHOLDS - 1)
    covered = len(right) - np.searchsorted(np.sort(confidence), thresholds)
    wrong = (~right).sum() - np.searchsorted(np.sort(confidence[~right]), thresholds)
    return {"thresholds": thresholds, "coverage": covered / len(right), "risk": ratio(wrong, covered, np.nan)}


def negative_log_likelihood(true: Indices, probabilities: ArrayLike) -> float:
    """Mean of -log of the probability that the true class got, in nats; log(K) for K equal probabilities.

    Probabilities are kept float64's smallest step away from 0 and 1, as in scikit-learn's `log_loss`.

    Examples:
        >>> round(negative_log_likelihood(np.array([0, 1]), [[0.5, 0.5], [0.5, 0.5]]), 4)
        0.6931
    """
    probabilities = _checked(probabilities, len(true))
    step = np.finfo(np.float64).eps
    return float(-np.log(np.clip(probabilities[np.arange(len(true)), true], step, 1 - step)).mean())


def _checked(probabilities: ArrayLike, n_clips: int) -> Floats:
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.ndim != 2 or len(probabilities) != n_clips or n_clips == 0:
        raise ValueError(f"probabilities have shape {probabilities.shape}, expected ({n_clips} clips, classes)")
    # Probabilities pass through CSV files with few digits and through float32: 1e-3 allows for both.
    outside = ~((probabilities >= 0) & (probabilities <= 1 + 1e-6)).all(1)
    wrong = np.flatnonzero(outside | (np.abs(probabilities.sum(1) - 1) > 1e-3))
    if len(wrong):
        raise ValueError(f"probabilities of clip {wrong[0]} are not in [0, 1] with sum 1: {probabilities[wrong[0]]}")
    return probabilities
