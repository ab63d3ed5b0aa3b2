"""Ridge regression, the linear probe for numbers."""

from pathlib import Path

import numpy as np

from speechemb.classifiers import regressors, tensors
from speechemb.classifiers.rows import Rows
from speechemb.metrics.regression import ccc_of_numbers

PENALTIES = tuple(float(f"{10**power:.4g}") for power in np.arange(-2, 2.6, 0.5))  # in units of the features' number


class Ridge:
    """Linear regression with an L2 penalty on standardised features; `alpha` is in units of d.

    Without `alpha`, it is the one of PENALTIES with the highest CCC on an inner group-disjoint split.
    """

    def __init__(self, n_targets: int, seed: int, alpha: float | None = None) -> None:
        self.n_targets, self.seed, self.alpha = n_targets, seed, alpha

    def fit(self, x: np.ndarray | Rows, y: np.ndarray, group: np.ndarray) -> "Ridge":
        self.features = x.shape[1]
        self.arrays = regressors.scales(x, y)
        features, targets = regressors.scaled(self.arrays, x), (y - self.arrays["y_mean"]) / self.arrays["y_scale"]
        alpha = self.alpha
        if alpha is None:
            train, valid = regressors.held_out(group, self.seed)
            found = {}
            for one in PENALTIES:
                weights, intercepts = self._solved(features[train], targets[train], one)
                found[one] = ccc_of_numbers(targets[valid], features[valid] @ weights + intercepts)
            alpha = max(found, key=found.__getitem__)
        self.chosen = {"alpha": alpha}
        self.arrays["weights"], self.arrays["intercepts"] = self._solved(features, targets, alpha)
        return self

    def _solved(self, x: np.ndarray, y: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """Weights (d, T) and intercepts (T,) float64."""
        from sklearn.linear_model import Ridge as Solver

        fitted = Solver(alpha=alpha * x.shape[1], solver="cholesky").fit(x, y)
        weights = np.ascontiguousarray(np.atleast_2d(fitted.coef_).T, np.float64)  # of one target it has one axis
        return weights, np.asarray(fitted.intercept_, np.float64).reshape(-1)

    def predict(self, x: np.ndarray | Rows) -> np.ndarray:
        found = regressors.scaled(self.arrays, x) @ self.arrays["weights"] + self.arrays["intercepts"]
        return regressors.in_units(self.arrays, found)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file(self.arrays, folder / "ridge.safetensors")

    def load(self, folder: Path) -> "Ridge":
        path = folder / "ridge.safetensors"
        arrays = tensors.read(path)
        self.features = tensors.size(arrays, "mean", 0, path)
        shapes = regressors.shapes(self.features, self.n_targets)
        shapes |= {"weights": (self.features, self.n_targets), "intercepts": (self.n_targets,)}
        tensors.expect(arrays, shapes, path)
        regressors.check_scales(arrays, path)
        self.arrays = arrays
        return self
