"""The RBF support vector machine: fitted by scikit-learn or scikit-learn-intelex, stored and evaluated as plain arrays.

The arrays go into a safetensors file, whichever library fitted the SVM, and a prediction is a few matrix products.
"""

import atexit
import logging
import os
import threading
import warnings
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from speechemb.classifiers import calibration, rows, tensors
from speechemb.classifiers.rows import Rows
from speechemb.splits.folds import inner_split


class Svm:
    """RBF SVM (C = 10, gamma = 0.3/d on standardised features), one against one, balanced class weights.

    `gamma` is in units of 1/d; the default is the better one with every encoder of `benchmarks/defaults.py`.
    `standardise=False` is for features that are already standardised, see `--leak`.

    The predicted class is the one with the most votes of the pairs, as scikit-learn's `SVC(break_ties=True)` predicts.
    Probabilities are the softmax of each class's summed margins over a temperature (Guo et al. 2017), fitted on an
    inner group-disjoint split. Votes would not do: nearly every winner has all of its K - 1, sure or not. Unlike Platt
    scaling, this never changes the predicted class, see `_logits`.
    """

    def __init__(
        self, n_classes: int, seed: int, C: float = 10.0, gamma: float = 0.3, standardise: bool = True
    ) -> None:
        self.n_classes, self.seed, self.C, self.gamma, self.standardise = n_classes, seed, C, gamma, standardise

    def fit(self, x: np.ndarray | Rows, y: np.ndarray, group: np.ndarray) -> "Svm":
        train, valid = inner_split(y, group, self.seed)
        self._fit(rows.part(x, train), y[train])
        margins, winner = self._margins_and_winner(rows.part(x, valid))
        temperature = calibration.temperature(partial(_logits, margins, winner), y[valid])
        self._fit(x, y)
        self.arrays["temperature"] = np.array([temperature])
        return self

    def _fit(self, x: np.ndarray | Rows, y: np.ndarray) -> None:
        from sklearn.preprocessing import StandardScaler

        dim = x.shape[1]
        mean, scale = np.zeros(dim), np.ones(dim)
        if self.standardise:
            scaler = StandardScaler()
            for block in rows.blocks(x):
                scaler.partial_fit(block)
            mean, scale = np.asarray(scaler.mean_), np.asarray(scaler.scale_)
        self.features = dim
        self.arrays = {"mean": mean.astype(np.float32), "scale": scale.astype(np.float32)}
        gamma = self.gamma / dim
        machine = _svc()(C=self.C, gamma=gamma, class_weight="balanced").fit(self._all_scaled(x), y)
        self.arrays["gamma"] = np.array([gamma])
        self.arrays["vectors"] = np.ascontiguousarray(machine.support_vectors_, dtype=np.float32)
        self.arrays["coefficients"], self.arrays["intercepts"] = _pairwise(machine)

    def _all_scaled(self, x: np.ndarray | Rows) -> np.ndarray:
        if isinstance(x, np.ndarray):
            return self._scaled(x)
        scaled = np.empty(x.shape, np.float32)
        for some in x.slices():
            scaled[some] = self._scaled(x[some])
        return scaled

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        return (x - self.arrays["mean"]) / self.arrays["scale"]

    def decision_values(self, x: np.ndarray | Rows) -> np.ndarray:
        """(n, K), equal to scikit-learn's `SVC.decision_function`: votes of the pairs, ties broken by the margins.

        With two classes, the single decision value and its negative.
        """
        return _votes(self._pairs(x), self.n_classes)

    def _pairs(self, x: np.ndarray | Rows) -> np.ndarray:
        """Decision values (n, pairs), positive for the pair's first class."""
        from sklearn.metrics.pairwise import rbf_kernel
        from sklearn.utils import gen_batches

        arrays = self.arrays
        products = [
            rbf_kernel(self._scaled(x[some]), arrays["vectors"], arrays["gamma"].item()) @ arrays["coefficients"]
            for some in gen_batches(len(x), 1024)  # bounds the memory: one kernel value per clip and support vector
        ]
        return np.concatenate(products) + arrays["intercepts"]

    def _margins_and_winner(self, x: np.ndarray | Rows) -> tuple[np.ndarray, np.ndarray]:
        pairs = self._pairs(x)
        return pairs @ _sides(self.n_classes), _votes(pairs, self.n_classes).argmax(axis=1)

    def predict_proba(self, x: np.ndarray | Rows) -> np.ndarray:
        from scipy.special import softmax

        margins, winner = self._margins_and_winner(x)
        return softmax(_logits(margins, winner, self.arrays["temperature"].item()), axis=1)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file(self.arrays, folder / "svm.safetensors")

    def load(self, folder: Path) -> "Svm":
        path = folder / "svm.safetensors"
        arrays, pairs = tensors.read(path), self.n_classes * (self.n_classes - 1) // 2
        n_vectors, self.features = (tensors.size(arrays, "vectors", axis, path) for axis in (0, 1))
        one, of_features = (1,), (self.features,)
        shapes = {"mean": of_features, "scale": of_features, "gamma": one, "temperature": one, "intercepts": (pairs,)}
        shapes |= {"vectors": (n_vectors, self.features), "coefficients": (n_vectors, pairs)}
        tensors.expect(arrays, shapes, path)
        tensors.expect_positive(arrays, ("scale", "gamma", "temperature"), path)
        self.arrays = arrays
        return self


_LOADING = threading.Lock()


def _svc() -> Any:
    """The SVC of scikit-learn-intelex where it is installed (the same result, faster), else scikit-learn's."""
    with _LOADING:
        # The warning says that every fit uses all cores, even in parallel; `daalinit` prevents that.
        warnings.filterwarnings("ignore", message="'Threading' parallel backend", category=UserWarning)
        return _loaded_svc()


@cache  # once: a second `daalinit` would lift the limit for a moment, while another fit runs
def _loaded_svc() -> Any:
    try:
        logging.getLogger("sklearnex").setLevel(logging.WARNING)  # it logs one line per call
        import daal4py
        from sklearnex.svm import SVC
    except ModuleNotFoundError:  # not installed; a library that cannot be loaded is another error
        from sklearn.svm import SVC
    else:
        # One thread for a fit: folds are fitted in parallel, and the last digits depend on the number of threads.
        # SVC's own `n_jobs` is ignored outside the main thread.
        daal4py.daalinit(1)  # pyright: ignore[reportAttributeAccessIssue]
        # The limit holds for all of TBB. Numba waits for its own TBB threads at exit, which would never start.
        atexit.register(daal4py.daalinit, max(2, os.cpu_count() or 2))  # pyright: ignore[reportAttributeAccessIssue]
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


def _sides(n_classes: int) -> np.ndarray:
    """(pairs, K): 1 for a pair's first class, -1 for its second."""
    sides = np.zeros((n_classes * (n_classes - 1) // 2, n_classes))
    for pair, (a, b) in enumerate(combinations(range(n_classes), 2)):
        sides[pair, a], sides[pair, b] = 1, -1
    return sides


def _votes(pairs: np.ndarray, n_classes: int) -> np.ndarray:
    """Votes (n, K) of the pairs, and less than half a vote for the margins, which breaks ties."""
    sides = _sides(n_classes)
    margins = pairs @ sides
    if n_classes == 2:
        return margins
    votes = (pairs >= 0) @ (sides > 0).astype(float) + (pairs < 0) @ (sides < 0).astype(float)
    return votes + margins / (3 * (np.abs(margins) + 1))


def _logits(margins: np.ndarray, winner: np.ndarray, temperature: float) -> np.ndarray:
    """Margins (n, K) over the temperature, with the winner of the votes raised just above all others where it is not.

    The lead of 1e-3 also keeps the winner the highest where probabilities are rounded to six decimals.
    """
    logits, rows = margins / temperature, np.arange(len(margins))
    own = logits[rows, winner]
    logits[rows, winner] = -np.inf
    logits[rows, winner] = np.maximum(own, logits.max(axis=1) + 1e-3)
    return logits
