"""The RBF support vector regression: one machine per target, stored and evaluated as plain arrays."""

from pathlib import Path

import numpy as np

from speechemb.classifiers import regressors, tensors
from speechemb.classifiers.rows import Rows


class Svr:
    """RBF SVR (C = 1, gamma = 0.3/d, epsilon = 0.1 standard deviations) on standardised features and targets.

    `gamma` is in units of 1/d, and the default is that of the SVM.
    """

    def __init__(self, n_targets: int, seed: int, C: float = 1.0, gamma: float = 0.3) -> None:
        self.n_targets, self.C, self.gamma = n_targets, C, gamma

    def fit(self, x: np.ndarray | Rows, y: np.ndarray, group: np.ndarray) -> "Svr":
        from sklearn.svm import SVR

        self.features = x.shape[1]
        self.arrays = regressors.scales(x, y)
        features, gamma = regressors.scaled(self.arrays, x), self.gamma / self.features
        targets = (y - self.arrays["y_mean"]) / self.arrays["y_scale"]
        self.arrays["gamma"] = np.array([gamma])
        for number, target in enumerate(targets.T):
            machine = SVR(C=self.C, gamma=gamma).fit(features, target)
            self.arrays[f"vectors.{number}"] = features[machine.support_]
            self.arrays[f"coefficients.{number}"] = np.ascontiguousarray(machine.dual_coef_[0])
            self.arrays[f"intercept.{number}"] = np.asarray(machine.intercept_, dtype=np.float64)
        return self

    def predict(self, x: np.ndarray | Rows) -> np.ndarray:
        from sklearn.metrics.pairwise import rbf_kernel
        from sklearn.utils import gen_batches

        arrays, features = self.arrays, regressors.scaled(self.arrays, x)
        found = np.empty((len(features), self.n_targets))
        for some in gen_batches(len(features), 1024):  # bounds the memory
            for number in range(self.n_targets):
                kernel = rbf_kernel(features[some], arrays[f"vectors.{number}"], arrays["gamma"].item())
                found[some, number] = kernel @ arrays[f"coefficients.{number}"] + arrays[f"intercept.{number}"]
        return regressors.in_units(arrays, found)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file(self.arrays, folder / "svr.safetensors")

    def load(self, folder: Path) -> "Svr":
        path = folder / "svr.safetensors"
        arrays = tensors.read(path)
        self.features = tensors.size(arrays, "mean", 0, path)
        shapes = regressors.shapes(self.features, self.n_targets) | {"gamma": (1,)}
        for number in range(self.n_targets):
            # A machine without any vector predicts its intercept.
            n_vectors = len(arrays[f"vectors.{number}"])
            shapes |= {f"vectors.{number}": (n_vectors, self.features), f"coefficients.{number}": (n_vectors,)}
            shapes[f"intercept.{number}"] = (1,)
        tensors.expect(arrays, shapes, path)
        regressors.check_scales(arrays, path)
        tensors.expect_positive(arrays, ("gamma",), path)
        self.arrays = arrays
        return self
