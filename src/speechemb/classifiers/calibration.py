"""The temperature of a classifier's probabilities (Guo et al. 2017), fitted on clips it has not learned from."""

from collections.abc import Callable
from typing import Any

import numpy as np


def temperature(logits_at: Callable[[float], np.ndarray], y: np.ndarray, shares: np.ndarray | None = None) -> float:
    """The temperature, from e^-4 to e^4, with the least negative log-likelihood, in four significant digits.

    The search itself ends at a relative 1e-5, and the digits after that depend on the number of cores.

    Args:
        logits_at: returns the logits (n, K) at a temperature
        y: class numbers (n,)
        shares: (n, K) of raters' votes, in place of `y`
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def loss(log_temperature: float) -> float:
        logits = logits_at(float(np.exp(log_temperature)))
        if shares is not None:
            return -(shares * log_softmax(logits, axis=1)).sum(axis=1).mean()
        return -log_softmax(logits, axis=1)[np.arange(len(y)), y].mean()

    best: Any = minimize_scalar(loss, bounds=(-4, 4), method="bounded")
    return float(f"{np.exp(best.x):.4g}")
