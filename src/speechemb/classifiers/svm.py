"""The RBF support vector machine: fitted by scikit-learn or scikit-learn-intelex, stored and evaluated as plain arrays.

The arrays go into a safetensors file, whichever library fitted the SVM, and a prediction is a few matrix products.
"""

import logging
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np

from speechemb.splits.folds import inner_split


class Svm:
    """RBF SVM (C = 10, gamma = 1/d on standardised features), one against one, balanced class weights.

    `gamma` is in units of 1/d. `standardise=False` is for features that are already standardised, see `--leak`.

    Probabilities are the softmax of the decision values over a temperature (Guo et al. 2017), fitted on decision
    values of an inner group-disjoint split. Unlike Platt scaling, this never changes the predicted class.
    """

    def __init__(
        self, n_classes: int, seed: int, C: float = 10.0, gamma: float = 1.0, standardise: bool = True
    ) -> None:
        self.n_classes, self.seed, self.C, self.gamma, self.standardise = n_classes, seed, C, gamma, standardise

    def fit(self, x: np.ndarray, y: np.ndarray, group: np.ndarray) -> "Svm":
        train, valid = inner_split(y, group, self.seed)
        self._fit(x[train], y[train])
        temperature = _temperature(self.decision_values(x[valid]), y[valid])
        self._fit(x, y)
        self.arrays["temperature"] = np.array([temperature])
        return self

    def _fit(self, x: np.ndarray, y: np.ndarray) -> None:
        from sklearn.preprocessing import StandardScaler

        dim = x.shape[1]
        mean, scale = np.zeros(dim), np.ones(dim)
        if self.standardise:
            scaler = StandardScaler().fit(x)
            mean, scale = scaler.mean_, scaler.scale_
        self.arrays = {"mean": mean.astype(np.float32), "scale": scale.astype(np.float32)}
        machine = _svc()(C=self.C, gamma=self.gamma / dim, class_weight="balanced").fit(self._scaled(x), y)
        self.arrays["vectors"] = np.ascontiguousarray(machine.support_vectors_, dtype=np.float32)
        self.arrays["coefficients"], self.arrays["intercepts"] = _pairwise(machine)

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        return (x - self.arrays["mean"]) / self.arrays["scale"]

    def decision_values(self, x: np.ndarray) -> np.ndarray:
        """(n, K), equal to scikit-learn's `SVC.decision_function`: votes of the pairs, ties broken by confidence.

        With two classes, the single decision value and its negative.
        """
        from sklearn.metrics.pairwise import rbf_kernel
        from sklearn.utils import gen_batches

        arrays, gamma = self.arrays, self.gamma / x.shape[1]
        products = [
            rbf_kernel(self._scaled(x[rows]), arrays["vectors"], gamma) @ arrays["coefficients"]
            for rows in gen_batches(len(x), 1024)  # bounds the memory: one kernel value per clip and support vector
        ]
        pairs = np.concatenate(products) + arrays["intercepts"]  # (n, pairs), positive: the pair's first class
        if self.n_classes == 2:
            return np.concatenate([pairs, -pairs], axis=1)
        sides = np.zeros((pairs.shape[1], self.n_classes))  # +1 for a pair's first class, -1 for its second
        for pair, (a, b) in enumerate(combinations(range(self.n_classes), 2)):
            sides[pair, a], sides[pair, b] = 1, -1
        votes = (pairs >= 0) @ (sides > 0).astype(float) + (pairs < 0) @ (sides < 0).astype(float)
        confidence = pairs @ sides
        return votes + confidence / (3 * (np.abs(confidence) + 1))

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        from scipy.special import softmax

        return softmax(self.decision_values(x) / self.arrays["temperature"], axis=1)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file(self.arrays, folder / "svm.safetensors")

    def load(self, folder: Path) -> "Svm":
        from safetensors.numpy import load_file

        self.arrays = load_file(folder / "svm.safetensors")
        return self


def _svc():
    """The SVC of scikit-learn-intelex where it is installed (the same result, faster), else scikit-learn's."""
    try:
        logging.getLogger("sklearnex").setLevel(logging.WARNING)  # it logs one line per call
        # The warning says that every fit uses all cores, even in parallel; that is intended.
        warnings.filterwarnings("ignore", message="'Threading' parallel backend", category=UserWarning)
        from sklearnex.svm import SVC
    except ImportError:
        from sklearn.svm import SVC
    return SVC


def _pairwise(machine) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (n_vectors, pairs) and intercepts (pairs,) of a fitted SVC's one-against-one decisions.

    Pairs are in the order of `itertools.combinations`; positive values are for the first class. `dual_coef_` is
    libsvm's table: each support vector has one row per class other than its own. With two classes, scikit-learn flips
    the signs.
    """
    classes, dual = len(machine.classes_), np.asarray(machine.dual_coef_)
    owner = np.repeat(np.arange(classes), machine.n_support_)
    coefficients = np.zeros((len(owner), classes * (classes - 1) // 2))
    for pair, (a, b) in enumerate(combinations(range(classes), 2)):
        coefficients[owner == a, pair] = dual[b - 1, owner == a]
        coefficients[owner == b, pair] = dual[a, owner == b]
    sign = -1 if classes == 2 else 1
    return sign * coefficients, sign * np.asarray(machine.intercept_, dtype=np.float64)


def _temperature(scores: np.ndarray, y: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def loss(log_temperature: float) -> float:
        return -log_softmax(scores / np.exp(log_temperature), axis=1)[np.arange(len(y)), y].mean()

    return float(np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))
