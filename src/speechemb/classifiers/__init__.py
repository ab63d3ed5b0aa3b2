"""Step 3, the classifiers: estimators with `fit(x, y, group)`, `predict_proba(x)`, `save` and `load`, found by name.

`x` is float32 (n, d), an array or, where it is large, `rows.Rows`; `y` int64 class numbers 0..K-1, `group` int64 (n,):
clips of one group (speaker) stay together in any split made while fitting. Scaling is part of the estimator, so it sees
the training part only. Settings are keyword arguments; their defaults are the untuned classifier, `SPACES` in
`training/tuning.py` lists those that can be tuned. The SVM, logistic regression, the MLP and XGBoost weight classes
inversely to their frequency. Models are saved as safetensors or as XGBoost's JSON, never as a pickle. Folds are fitted
in parallel, so a fit uses one thread of its library where possible.

Importing this package loads the standard library only: step 3 takes the choices of `--classifier` from here.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from speechemb.classifiers.rows import Rows

CLASSIFIERS = ("svm", "logistic", "mlp", "xgboost")  # what --classifier takes

# Settings that make a fit cheaper where many are compared with each other, to choose a layer or settings.
DRAFT = {"mlp": {"networks": 1}, "logistic": {"C": 30.0}}

STANDARDISED = ("svm", "logistic", "mlp")  # those with a scaler of their own, which `--leak scaler` replaces

FROM_SHARES = ("logistic", "mlp")  # whose `fit` also takes `shares` (n, K) of raters' votes, and learns them

# The module and the class of each name. `superb` is reached by --protocol superb only: it needs every layer.
_CLASSES = {
    "svm": ("svm", "Svm"),
    "logistic": ("logistic", "Logistic"),
    "mlp": ("mlp", "Mlp"),
    "xgboost": ("boosted_trees", "XGBoost"),
    "superb": ("superb", "Superb"),
}


class Classifier(Protocol):
    """What training and prediction need of a classifier."""

    def fit(self, x: np.ndarray | Rows, y: np.ndarray, group: np.ndarray) -> Classifier: ...

    def predict_proba(self, x: np.ndarray | Rows) -> np.ndarray:
        """(n, K) float64; the predicted class is the largest."""
        ...

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> Classifier: ...


def class_of(name: str) -> type:
    """The class of a classifier. Its module, and torch where it needs it, is imported here."""
    module, attribute = _CLASSES[name]
    return getattr(import_module(f"speechemb.classifiers.{module}"), attribute)


def make(name: str, n_classes: int, seed: int, **settings) -> Classifier:
    """An unfitted classifier; `settings` are keyword arguments of its class."""
    return class_of(name)(n_classes, seed, **settings)
