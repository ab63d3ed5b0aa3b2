"""The linear probe: multinomial logistic regression, which shows what of the emotion an embedding holds linearly."""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy, linear

from speechemb.classifiers import calibration, rows, tensors
from speechemb.classifiers.rows import Rows
from speechemb.classifiers.torch_layers import one_thread, without_compiler
from speechemb.splits.folds import inner_split

GRID = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)  # C times the number of features
MAX_ROTATED = 2048  # clips or features
MAX_ITERATIONS = 1000
IN_CACHE = 1 << 21  # bytes of the block of a large matrix that is used twice, for the loss and for its gradient
CURVATURE = 0.1  # of the cross-entropy, about p (1 - p)
Weights = tuple[torch.Tensor, torch.Tensor]
# Class numbers (n,) and weights (n,); or weighted shares (n, K) and None.
Targets = tuple[torch.Tensor, torch.Tensor | None]


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

    def fit(
        self, x: np.ndarray | Rows, y: np.ndarray, group: np.ndarray, shares: np.ndarray | None = None
    ) -> "Logistic":
        """With `shares` (n, K) of raters' votes, they are what is learned; `y` only serves to divide the clips."""
        self.features = x.shape[1]
        train, valid = inner_split(y, group, self.seed)
        inner, held_out, found = rows.part(x, train), rows.part(x, valid), []
        inner_shares, held_shares = (None, None) if shares is None else (shares[train], shares[valid])
        self._standardise(inner)
        with one_thread():
            part = self._part(inner, y[train], inner_shares)
            for C in GRID if self.C is None else (self.C,):  # from the simplest, each starts where the last ended
                logits = self._logits(held_out, part.fitted(C / self.features, tolerance=1e-5))  # enough to choose
                loss = _balanced_loss(logits, y[valid], held_shares)
                found.append((loss, C, logits))
                if len(found) > 2 and found[-3][0] < min(found[-2][0], loss):
                    break  # it only overfits from here on, and these fits take longest
            _, C, logits = min(found, key=lambda one: one[0])
            temperature = calibration.temperature(lambda t: logits / t, y[valid], held_shares)
            self._standardise(x)
            weights = self._part(x, y, shares).fitted(C / self.features, tolerance=1e-6)
        self.chosen = {"C": C}
        self.arrays |= {"weights": weights[0].T.contiguous().numpy(), "intercepts": weights[1].numpy()}
        self.arrays["temperature"] = np.array([temperature])
        return self

    def _standardise(self, x: np.ndarray | Rows) -> None:
        mean, scale = np.zeros(self.features, np.float32), np.ones(self.features, np.float32)
        if self.standardise:
            mean, scale = rows.moments(x)
            scale[scale <= 1e-6 * np.maximum(np.abs(mean), 1e-6)] = 1  # constant, apart from rounding
        self.arrays = {"mean": mean, "scale": scale}

    def _part(self, x: np.ndarray | Rows, y: np.ndarray, shares: np.ndarray | None) -> "_Part | _LargePart":
        targets = _balanced(y, self.n_classes) if shares is None else (_balanced_shares(shares), None)
        if isinstance(x, Rows):
            return _LargePart(x, self.arrays["mean"], self.arrays["scale"], targets, self.n_classes)
        return _Part(self._scaled(x), targets, self.n_classes)

    def _logits(self, x: np.ndarray | Rows, weights: Weights) -> np.ndarray:
        return np.concatenate([linear(self._scaled(some), *weights).double().numpy() for some in rows.blocks(x)])

    def _scaled(self, x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(((x - self.arrays["mean"]) / self.arrays["scale"]).astype(np.float32))

    def predict_proba(self, x: np.ndarray | Rows) -> np.ndarray:
        from scipy.special import softmax

        weights = torch.from_numpy(self.arrays["weights"]).T, torch.from_numpy(self.arrays["intercepts"])
        with one_thread():
            logits = self._logits(x, weights)
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


def _balanced_loss(logits: np.ndarray, y: np.ndarray, shares: np.ndarray | None) -> float:
    """Mean over the classes of their clips' cross-entropy, in nats; with shares, each clip counts as its share."""
    from scipy.special import log_softmax

    if shares is not None:
        totals, losses = shares.sum(axis=0), -(shares * log_softmax(logits, axis=1)).sum(axis=0)
        return float((losses[totals > 0] / totals[totals > 0]).mean())
    loss = -log_softmax(logits, axis=1)[np.arange(len(y)), y]
    return float(np.mean([loss[y == label].mean() for label in np.unique(y)]))


class _Part:
    """The clips of a training part, in the basis of their principal axes, and the last solution.

    There the Hessian of the loss is nearly diagonal. Scaled by it, L-BFGS takes a fraction of the steps, and each one
    is cheap where there are fewer clips than features. The solution is the same: it lies in the span of the clips. The
    axes of thousands of clips with thousands of features take longer than they save, so those stay as they are.
    """

    def __init__(self, x: torch.Tensor, targets: Targets, n_classes: int) -> None:
        self.x, self.axes, self.squares = _rotated(x) if min(x.shape) <= MAX_ROTATED else (x, None, torch.zeros(1))
        self.labels, self.balance = targets
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
        optimizer = _lbfgs(weights, intercepts, tolerance)

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            logits = linear(x, weights, intercepts).double()
            by_clip = cross_entropy(logits, self.labels, reduction="none")
            entropy = by_clip.sum() if self.balance is None else by_clip @ self.balance
            value = (entropy + (weights * scale).double().square().sum() / (2 * C)) / clips
            value.backward()
            return value

        optimizer.step(loss)
        self.last = (weights * scale).detach(), intercepts.detach()
        return (self.last[0] if self.axes is None else self.last[0] @ self.axes.T), self.last[1]


class _LargePart:
    """As `_Part`, of rows that are too many to be copied or rotated: every evaluation of the loss reads them once.

    A block is centred in the processor's cache; the features' scale is in the weights instead.
    """

    def __init__(self, x: Rows, mean: np.ndarray, scale: np.ndarray, targets: Targets, n_classes: int) -> None:
        self.x, self.mean, self.inverse = x, mean, torch.from_numpy(1 / scale)
        self.labels, self.balance = targets
        self.last = torch.zeros(n_classes, x.shape[1]), torch.zeros(n_classes)

    def fitted(self, C: float, tolerance: float) -> Weights:
        """As `_Part.fitted`."""
        weights, intercepts = (one.clone().requires_grad_() for one in self.last)
        optimizer, clips = _lbfgs(weights, intercepts, tolerance), len(self.x)

        @torch.no_grad()
        def loss() -> torch.Tensor:
            entropy, by_weights, by_intercepts = self._entropy(weights * self.inverse, intercepts)
            weights.grad = (by_weights * self.inverse + weights / C) / clips
            intercepts.grad = by_intercepts / clips
            return (entropy + weights.double().square().sum() / (2 * C)) / clips

        optimizer.step(loss)
        self.last = weights.detach(), intercepts.detach()
        return self.last

    def _entropy(self, weights: torch.Tensor, intercepts: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The weighted cross-entropy summed over the clips (float64), and its gradients by weights and intercepts."""
        entropy = torch.zeros((), dtype=torch.float64)
        gradients = torch.zeros_like(weights), torch.zeros_like(intercepts)
        held = np.empty((IN_CACHE // (4 * self.x.shape[1]) + 1, self.x.shape[1]), np.float32)
        for some in self.x.slices(IN_CACHE):
            block = held[: some.stop - some.start]
            np.take(self.x.matrix, self.x.clips[some], axis=0, out=block, mode="clip")
            block -= self.mean
            clips = torch.from_numpy(block)
            logs = linear(clips, weights, intercepts).double().log_softmax(dim=1)
            labels = self.labels[some]
            if self.balance is None:
                entropy -= (logs * labels).sum()
                errors = (logs.exp() * labels.sum(dim=1, keepdim=True) - labels).float()
            else:
                balance = self.balance[some]
                entropy -= logs.gather(1, labels[:, None])[:, 0] @ balance
                errors = logs.exp()
                errors[torch.arange(len(labels)), labels] -= 1
                errors = (errors * balance[:, None]).float()
            gradients[0].addmm_(errors.T, clips)
            gradients[1].add_(errors.sum(dim=0))
        return entropy, *gradients


def _balanced(y: np.ndarray, n_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Class numbers (n,) int64 and weights (n,) float64, inverse to the frequency of the class."""
    labels = torch.from_numpy(y.astype(np.int64))
    counts = torch.bincount(labels, minlength=n_classes).clamp(min=1)
    return labels, (len(y) / (len(torch.unique(labels)) * counts))[labels].double()


def _balanced_shares(shares: np.ndarray) -> torch.Tensor:
    """(n, K) float64: shares times weights inverse to what they add up to, as `_balanced` of classes without doubt."""
    totals = shares.sum(axis=0)
    weights = len(shares) / ((totals > 0).sum() * np.where(totals > 0, totals, 1))
    return torch.from_numpy(shares * weights).double()


def _lbfgs(weights: torch.Tensor, intercepts: torch.Tensor, tolerance: float) -> torch.optim.LBFGS:
    return without_compiler(torch.optim.LBFGS)(
        [weights, intercepts],
        max_iter=MAX_ITERATIONS,
        tolerance_grad=tolerance,
        tolerance_change=1e-9,
        history_size=20,
        line_search_fn="strong_wolfe",
    )


def _rotated(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The clips (n, r) in the basis of their principal axes, the axes (d, r), the squared lengths (r,) along them."""
    few_clips = len(x) < x.shape[1]
    gram = x @ x.T if few_clips else x.T @ x
    squares, vectors = torch.linalg.eigh(gram.double())
    kept = squares > 1e-7 * squares[-1]  # the rest is rounding of the float32 products
    squares, vectors = squares[kept], vectors[:, kept]
    axes = x.T @ (vectors / squares.sqrt()).float() if few_clips else vectors.float()
    return x @ axes, axes, squares.float()
