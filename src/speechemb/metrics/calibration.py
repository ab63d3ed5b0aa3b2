"""How far probabilities can be taken at their word: reliability diagram and expected calibration error."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speechemb.metrics.classification import Floats, _ratio, indices


def reliability(
    true: Sequence[str], probabilities: ArrayLike, labels: Sequence[str], n_bins: int = 15
) -> dict[str, NDArray]:
    """Bins of a reliability diagram: how often the answers given with some confidence are right.

    The confidence of a clip is its highest probability, its answer the class that has it (the first of
    equals). Bin m of M holds the confidences in ((m - 1) / M, m / M]. Source: Guo, Pleiss, Sun, Weinberger,
    "On Calibration of Modern Neural Networks", ICML 2017.

    Args:
        true: true labels, N of them
        probabilities: `(N, K)`, columns in the order of `labels`, each row sums to 1
        labels: the K classes
        n_bins: number of bins of equal width

    Returns:
        `edges` `(n_bins + 1,)`; per bin `count` of clips, mean `confidence` and `accuracy`, nan in an empty
        bin

    Raises:
        ValueError: as `confusion`, or probabilities of the wrong shape, outside [0, 1] or not summing to 1

    Examples:
        >>> reliability(["a", "b"], [[0.9, 0.1], [0.6, 0.4]], ["a", "b"], n_bins=2)["accuracy"].tolist()
        [nan, 0.5]
    """
    truth = indices(true, labels, "true")
    probabilities = _checked(probabilities, (len(truth), len(labels)))
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    edges = np.linspace(0, 1, n_bins + 1)
    where = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, n_bins - 1)
    count = np.bincount(where, minlength=n_bins)
    mean = {
        name: _ratio(np.bincount(where, weights=value, minlength=n_bins), count, np.nan)
        for name, value in (("confidence", confidence), ("accuracy", right))
    }
    return {"edges": edges, "count": count, **mean}


def expected_calibration_error(
    true: Sequence[str], probabilities: ArrayLike, labels: Sequence[str], n_bins: int = 15
) -> float:
    r"""Expected calibration error, $\sum_m \frac{n_m}{N} |\text{accuracy}_m - \text{confidence}_m|$.

    From 0 (what is said with confidence 0.8 is right eight times in ten) to 1. Source: Naeini, Cooper,
    Hauskrecht, AAAI 2015; Guo et al. 2017. Arguments and errors: `reliability`.

    Examples:
        >>> expected_calibration_error(["a", "b"], [[0.75, 0.25], [0.75, 0.25]], ["a", "b"])
        0.25
    """
    bins = reliability(true, probabilities, labels, n_bins)
    gap = np.nan_to_num(np.abs(bins["accuracy"] - bins["confidence"]))
    return float((bins["count"] * gap).sum() / bins["count"].sum())


def _checked(probabilities: ArrayLike, shape: tuple[int, int]) -> Floats:
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.shape != shape:
        raise ValueError(f"probabilities have shape {probabilities.shape}, expected (clips, classes) = {shape}")
    # Probabilities pass through CSV files with few digits and through float32: 1e-3 allows for both.
    outside = ~((probabilities >= 0) & (probabilities <= 1 + 1e-6)).all(1)
    wrong = np.flatnonzero(outside | (np.abs(probabilities.sum(1) - 1) > 1e-3))
    if len(wrong):
        raise ValueError(f"probabilities of clip {wrong[0]} are not in [0, 1] with sum 1: {probabilities[wrong[0]]}")
    return probabilities
