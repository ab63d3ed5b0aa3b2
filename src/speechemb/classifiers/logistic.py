"""The linear probe: multinomial logistic regression, which shows what of the emotion an embedding holds linearly."""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy, linear

from speechemb.classifiers import calibration, tensors
from speechemb.classifiers.torch_layers import one_thread
from speechemb.splits.folds import inner_split

GRID = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)  # C times the number of features
MAX_ROTATED = 2048  # clips or features
CURVATURE = 0.1  # of the cross-entropy, about p (1 - p)
Weights = tuple[torch.Tensor, torch.Tensor]


class Logistic:
    """Multinomial logistic regression with an L2 penalty on standardised features, balanced class weights.

    It minimises C times the summed, weighted cross-entropy plus half the squared weights, as scikit-learn does. `C` is
    in units of 1/d, so that it means the same with one layer and with all of them. Without it, C is chosen from `GRID`
    on an inner group-disjoint split by the cross-entropy averaged over the classes: it moves smoothly with C, where the
    UAR of a few hundred clips jumps. The clips of the split get the temperature, then all clips are fitted with that C.
    `standardise=False` is for features that are already standardised, see `--leak`.
    """

    def __init__(self, n_classes: int, seed: int, C: float | None = None, standardise: bool = True) -> None:
        self.n_classes, self.seed, self.C, self.standardise = n_classes, seed, C, standardise

    def fit(self, x: np.ndarray, y: np.ndarray, group: np.ndarray) -> "Logistic":
        self.features = x.shape[1]
        train, valid = inner_split(y, group, self.seed)
        self._standardise(x[train])
        inner, held_out = self._scaled(x[train]), self._scaled(x[valid])
        found = []
        with one_thread():
            part = _Part(inner, y[train], self.n_classes)
            for C in GRID if self.C is None else (self.C,):  # from the simplest, each starts where the last ended
                logits = _logits(held_out, part.fitted(C / self.features, tolerance=1e-5))  # enough to choose
                loss = _balanced_loss(logits, y[valid])
                found.append((loss, C, logits))
                if len(found) > 2 and found[-3][0] < min(found[-2][0], loss):
                    break  # it only overfits from here on, and these fits take longest
            _, C, logits = min(found, key=lambda one: one[0])
            temperature = calibration.temperature(lambda t: logits / t, y[valid])
            self._standardise(x)
            weights = _Part(self._scaled(x), y, self.n_classes).fitted(C / self.features, tolerance=1e-6)
        self.chosen = {"C": C}
        self.arrays |= {"weights": weights[0].T.contiguous().numpy(), "intercepts": weights[1].numpy()}
        self.arrays["temperature"] = np.array([temperature])
        return self

    def _standardise(self, x: np.ndarray) -> None:
        mean, scale = np.zeros(self.features, np.float32), np.ones(self.features, np.float32)
        if self.standardise:
            mean, scale = x.mean(axis=0), x.std(axis=0)
            scale[scale <= 1e-6 * np.maximum(np.abs(mean), 1e-6)] = 1  # constant, apart from rounding
        self.arrays = {"mean": mean, "scale": scale}

    def _scaled(self, x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(((x - self.arrays["mean"]) / self.arrays["scale"]).astype(np.float32))

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        from scipy.special import softmax

        weights = torch.from_numpy(self.arrays["weights"]).T, torch.from_numpy(self.arrays["intercepts"])
        with one_thread():
            logits = _logits(self._scaled(x), weights)
        return softmax(logits / self.arrays["temperature"].item(), axis=1)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file(self.arrays, folder / "logistic.safetensors")

    def load(self, folder: Path) -> "Logistic":
        path = folder / "logistic.safetensors"
        arrays = tensors.read(path)
        self.features = tensors.size(arrays, "mean", 0, path)
        of_features, classes = (self.features,), self.n_classes
        shapes = {"mean": of_features, "scale": of_features, "weights": (self.features, classes)}
        tensors.expect(arrays, shapes | {"intercepts": (classes,), "temperature": (1,)}, path)
        tensors.expect_positive(arrays, ("scale", "temperature"), path)
        if wrong := [name for name in ("weights", "intercepts") if arrays[name].dtype != np.float32]:
            raise ValueError(f"{path.name}: {wrong[0]} is not float32")
        self.arrays = arrays
        return self


def _logits(x: torch.Tensor, weights: Weights) -> np.ndarray:
    return linear(x, *weights).double().numpy()


def _balanced_loss(logits: np.ndarray, y: np.ndarray) -> float:
    """Mean over the classes of their clips' cross-entropy, in nats."""
    from scipy.special import log_softmax

    loss = -log_softmax(logits, axis=1)[np.arange(len(y)), y]
    return float(np.mean([loss[y == label].mean() for label in np.unique(y)]))


class _Part:
    """The clips of a training part, in the basis of their principal axes, and the last solution.

    There the Hessian of the loss is nearly diagonal. Scaled by it, L-BFGS takes a fraction of the steps, and each one
    is cheap where there are fewer clips than features. The solution is the same: it lies in the span of the clips. The
    axes of thousands of clips with thousands of features take longer than they save, so those stay as they are.
    """

    def __init__(self, x: torch.Tensor, y: np.ndarray, n_classes: int) -> None:
        self.x, self.axes, self.squares = _rotated(x) if min(x.shape) <= MAX_ROTATED else (x, None, torch.zeros(1))
        self.labels = torch.from_numpy(y.astype(np.int64))
        counts = torch.bincount(self.labels, minlength=n_classes).clamp(min=1)
        self.balance = (len(y) / (len(torch.unique(self.labels)) * counts))[self.labels].double()
        self.last = torch.zeros(n_classes, self.x.shape[1]), torch.zeros(n_classes)

    def fitted(self, C: float, tolerance: float) -> Weights:
        """Weights (K, d) and intercepts (K,) with the least loss, by L-BFGS from the last solution.

        The intercepts are not penalised. The weights are (K, d) because the gradient of (d, K) is a product that MKL
        computes at a tenth of the speed. The matrix products, which take nearly all the time, are in float32; the loss
        is in float64. It ends where no gradient of the mean loss exceeds `tolerance`.
        """
        scale = ((CURVATURE * self.squares + 1 / C) * C).rsqrt()
        x, clips = self.x * scale, len(self.x)
        weights, intercepts = (self.last[0] / scale).requires_grad_(), self.last[1].clone().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [weights, intercepts],
            max_iter=1000,
            tolerance_grad=tolerance,
            tolerance_change=1e-9,
            history_size=20,
            line_search_fn="strong_wolfe",
        )

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            logits = linear(x, weights, intercepts).double()
            entropy = cross_entropy(logits, self.labels, reduction="none") @ self.balance
            value = (entropy + (weights * scale).double().square().sum() / (2 * C)) / clips
            value.backward()
            return value

        optimizer.step(loss)
        self.last = (weights * scale).detach(), intercepts.detach()
        return (self.last[0] if self.axes is None else self.last[0] @ self.axes.T), self.last[1]


def _rotated(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The clips (n, r) in the basis of their principal axes, the axes (d, r), the squared lengths (r,) along them."""
    few_clips = len(x) < x.shape[1]
    gram = x @ x.T if few_clips else x.T @ x
    squares, vectors = torch.linalg.eigh(gram.double())
    kept = squares > 1e-7 * squares[-1]  # the rest is rounding of the float32 products
    squares, vectors = squares[kept], vectors[:, kept]
    axes = x.T @ (vectors / squares.sqrt()).float() if few_clips else vectors.float()
    return x @ axes, axes, squares.float()
