"""Step 3, the regressors, for targets that are numbers: `fit(x, y, group)`, `predict(x)`, `save` and `load`, by name.

`x` is float32 (n, d), an array or `rows.Rows`, which are copied once; `y` float64 (n, T), the T targets; `group` int64
(n,) as for classifiers. Features and targets are scaled inside, on the training part only. Files are kept as those of
classifiers are, without a pickle.

Importing this module loads numpy only.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np

from speechemb.classifiers import rows, tensors
from speechemb.classifiers.rows import Rows
from speechemb.splits.folds import inner_split

# What --classifier takes for numbers is `splits.REGRESSORS`; the module and the class of each name.
_CLASSES = {
    "ridge": ("ridge", "Ridge"),
    "svr": ("svr", "Svr"),
    "mlp": ("mlp_regressor", "MlpRegressor"),
    "xgboost": ("boosted_regressor", "XGBoostRegressor"),
}
# Settings that make a fit cheaper where many are compared with each other.
DRAFT = {"mlp": {"networks": 1}, "ridge": {"alpha": 1.0}}


class Regressor(Protocol):
    """What training and prediction need of a regressor."""

    features: int

    def fit(self, x: np.ndarray | Rows, y: np.ndarray, group: np.ndarray) -> Regressor: ...

    def predict(self, x: np.ndarray | Rows) -> np.ndarray:
        """(n, T) float64."""
        ...

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> Regressor: ...


def class_of(name: str) -> type:
    """The class of a regressor; its module, and torch where it needs it, is imported here."""
    module, attribute = _CLASSES[name]
    return getattr(import_module(f"speechemb.classifiers.{module}"), attribute)


def make(name: str, n_targets: int, seed: int, **settings) -> Regressor:
    """An unfitted regressor; `settings` are keyword arguments of its class."""
    return class_of(name)(n_targets, seed, **settings)


def held_out(group: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation indices inside a training part: `inner_split`, without classes to keep in balance."""
    return inner_split(np.zeros(len(group), np.int64), group, seed)


def scales(x: np.ndarray | Rows, y: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and deviation of features (float32) and targets (float64); the deviation of a constant is 1."""
    mean, scale = rows.moments(x)
    scale[scale <= 1e-6 * np.maximum(np.abs(mean), 1e-6)] = 1
    spread = y.std(axis=0)
    return {
        "mean": mean.astype(np.float32),
        "scale": scale.astype(np.float32),
        "y_mean": y.mean(axis=0),
        "y_scale": np.where(spread > 0, spread, 1.0),
    }


def scaled(arrays: dict[str, np.ndarray], x: np.ndarray | Rows) -> np.ndarray:
    """The standardised features (n, d) float32 as one array."""
    found = np.empty(x.shape, np.float32)
    start = 0
    for block in rows.blocks(x):
        found[start : start + len(block)] = (block - arrays["mean"]) / arrays["scale"]
        start += len(block)
    return found


def in_units(arrays: dict[str, np.ndarray], standardised: np.ndarray) -> np.ndarray:
    """Predictions (n, T) in the units of the targets."""
    return standardised.astype(np.float64) * arrays["y_scale"] + arrays["y_mean"]


def shapes(features: int, n_targets: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of `scales`."""
    of_features, of_targets = (features,), (n_targets,)
    return {"mean": of_features, "scale": of_features, "y_mean": of_targets, "y_scale": of_targets}


def check_scales(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Raise a ValueError if a scale is not above 0."""
    tensors.expect_positive(arrays, ("scale", "y_scale"), path)
