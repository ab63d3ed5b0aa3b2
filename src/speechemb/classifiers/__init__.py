"""The classifiers by name, each an estimator with `fit(x, y, group)`, `predict_proba(x)`, `save` and `load`.

`x` is float32 (n, d), `y` int64 class numbers 0..K-1, `group` int64 (n,): clips of one group (speaker) stay together
in any split made while fitting. Scaling is part of the estimator, so it only ever sees the training part. Settings
(`SPACES` in `tuning.py` says which) are keyword arguments whose defaults are what is used untuned. Class weights are
inversely proportional to class frequency in all three. Saving uses safetensors and XGBoost's own JSON: neither is a
pickle. A fit uses one thread of its own library where that can be said, because folds are fitted side by side.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from speechemb.classifiers.boosted_trees import XGBoost
from speechemb.classifiers.svm import Svm


class Classifier(Protocol):
    """What the training and the prediction need of a classifier."""

    def fit(self, x: np.ndarray, y: np.ndarray, group: np.ndarray) -> "Classifier": ...

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """(n, K) float64; the predicted class is the largest."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> "Classifier": ...


def _mlp(n_classes: int, seed: int, **settings) -> Classifier:
    from speechemb.classifiers.mlp import Mlp  # imports torch

    return Mlp(n_classes, seed, **settings)


def _superb(n_classes: int, seed: int, **settings) -> Classifier:
    from speechemb.classifiers.superb import Superb  # imports torch

    return Superb(n_classes, seed, **settings)


CLASSIFIERS: dict[str, Callable[..., Classifier]] = {"svm": Svm, "mlp": _mlp, "xgboost": XGBoost, "superb": _superb}
"""Name -> `(n_classes, seed, **settings)`; `superb` is reached by `--protocol superb` only: it needs every layer."""
