"""A multi-layer perceptron with batch norm, dropout and early stopping, in a plain PyTorch loop."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from speechemb.classifiers import rows, tensors
from speechemb.classifiers.rows import Rows
from speechemb.classifiers.torch_layers import Dropout, linear, one_thread, without_compiler
from speechemb.metrics.classification import uar_of_numbers
from speechemb.splits.folds import inner_split

BATCHES = 64, 256  # smallest and largest batch, in clips
MAX_EPOCHS = 100
PATIENCE = 12


def network(dim: int, n_classes: int, generator: torch.Generator, width: int, dropout: float) -> nn.Sequential:
    """Two hidden layers."""
    block = [linear(dim, width, generator), nn.BatchNorm1d(width), nn.ReLU(), Dropout(dropout, generator)]
    second = [linear(width, width, generator), nn.BatchNorm1d(width), nn.ReLU(), Dropout(dropout, generator)]
    return nn.Sequential(*block, *second, linear(width, n_classes, generator))


class Mlp:
    """A committee of networks with two hidden layers, whose probabilities are averaged.

    One network's UAR depends on its seed, and so would a comparison: on RAVDESS (8 classes, acoustic features) the
    standard deviation over seeds is 1.3 points with one network and 0.8 with five, and the UAR is 2.6 points higher.
    Each network stops early by UAR on an inner group-disjoint split of its own, and keeps its best epoch.
    """

    def __init__(
        self,
        n_classes: int,
        seed: int,
        width: int = 256,
        dropout: float = 0.4,
        rate: float = 1e-3,
        networks: int = 5,
        standardise: bool = True,
    ) -> None:
        self.n_classes, self.seed, self.rate, self.networks = n_classes, seed, rate, networks
        self.standardise = standardise
        self.shape = {"width": width, "dropout": dropout}

    def fit(self, x: np.ndarray | Rows, y: np.ndarray, group: np.ndarray, shares: np.ndarray | None = None) -> "Mlp":
        """With `shares` (n, K) of raters' votes, the networks learn them; they still stop early by UAR on `y`."""
        self.features = x.shape[1]
        self.mean, deviation = rows.moments(x)
        self.scale = deviation + 1e-6
        if not self.standardise:  # the features are already standardised, see `--leak`
            self.mean, self.scale = np.zeros_like(self.mean), np.ones_like(self.scale)
        scaled = self._scaled(x)
        seeds = [(self.seed * self.networks + number) % 2**32 for number in range(self.networks)]
        with one_thread():
            fitted = [self._fit_one(scaled, y, group, seed, shares) for seed in seeds]
        self.modules, epochs = [module for module, _ in fitted], [number for _, number in fitted]
        self.epochs = round(sum(epochs) / len(epochs))
        return self

    def _fit_one(
        self, x: "torch.Tensor | _Scaled", y: np.ndarray, group: np.ndarray, seed: int, shares: np.ndarray | None
    ) -> tuple[nn.Sequential, int]:
        """One network, and the epochs that it was trained."""
        train, valid = inner_split(y, group, seed)
        generator = torch.Generator().manual_seed(seed)
        module = network(self.features, self.n_classes, generator, **self.shape)
        labels = torch.from_numpy(y[train].astype(np.int64) if shares is None else shares[train].astype(np.float32))
        parts = [x[clips] if isinstance(x, torch.Tensor) else x.part(clips) for clips in (train, valid)]
        return module, self._train(module, parts[0], labels, parts[1], y[valid], generator)

    def _train(
        self,
        module: nn.Sequential,
        x: "torch.Tensor | _Scaled",
        y: torch.Tensor,
        x_valid: "torch.Tensor | _Scaled",
        y_valid: np.ndarray,
        generator: torch.Generator,
    ) -> int:
        doubtless = y.ndim == 1
        counts = torch.bincount(y, minlength=self.n_classes).clamp(min=1) if doubtless else y.sum(dim=0).clamp(min=1)
        smoothing = 0.05 if doubtless else 0.0  # raters' shares are smooth already
        loss = nn.CrossEntropyLoss(weight=len(y) / (self.n_classes * counts), label_smoothing=smoothing)
        optimizer = without_compiler(torch.optim.AdamW)(
            module.parameters(), lr=self.rate, weight_decay=1e-2, fused=True
        )
        fewest, most = BATCHES
        size = min(max(len(x) // 16, fewest), most)  # large batches are faster, but a small corpus needs the steps
        best, best_epoch, epoch = -1.0, 0, 0
        for epoch in range(1, MAX_EPOCHS + 1):
            module.train()
            for batch in torch.randperm(len(x), generator=generator).split(size):
                if len(batch) > 1:  # batch norm needs two clips
                    optimizer.zero_grad()
                    loss(module(x[batch]), y[batch]).backward()
                    optimizer.step()
            module.eval()
            uar = uar_of_numbers(y_valid, _probabilities(module, x_valid).argmax(axis=1))
            if uar > best:
                best, best_epoch = uar, epoch
                kept = {name: value.clone() for name, value in module.state_dict().items()}
            elif epoch - best_epoch == PATIENCE:
                break
        module.load_state_dict(kept)
        return epoch

    def _scaled(self, x: np.ndarray | Rows) -> "torch.Tensor | _Scaled":
        if isinstance(x, Rows):
            return _Scaled(x, self.mean, self.scale)
        return torch.from_numpy(((x - self.mean) / self.scale).astype(np.float32))

    def predict_proba(self, x: np.ndarray | Rows) -> np.ndarray:
        scaled = self._scaled(x)
        with one_thread():  # with several, MKL divides the sums by the load of the machine, and the last bits change
            return np.mean([_probabilities(module, scaled) for module in self.modules], axis=0)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        arrays = {"input.mean": self.mean, "input.scale": self.scale}
        for number, module in enumerate(self.modules):
            arrays |= {f"{number}.{name}": value.numpy() for name, value in module.state_dict().items()}
        save_file(arrays, folder / "mlp.safetensors")

    def load(self, folder: Path) -> "Mlp":
        path = folder / "mlp.safetensors"
        arrays = tensors.read(path)
        self.features, width = tensors.size(arrays, "input.mean", 0, path), tensors.size(arrays, "0.0.weight", 0, path)
        self.networks = len({name.partition(".")[0] for name in arrays} - {"input"})
        one, of_features = shapes_of(self.features, width, self.n_classes), (self.features,)
        shapes = {f"{number}.{name}": shape for number in range(self.networks) for name, shape in one.items()}
        tensors.expect(arrays, shapes | {"input.mean": of_features, "input.scale": of_features}, path)
        self.mean, self.scale = arrays["input.mean"], arrays["input.scale"]
        variances = [arrays[name] for name in shapes if name.endswith("running_var")]
        if (self.scale <= 0).any() or any((variance < 0).any() for variance in variances):
            raise ValueError(f"{path.name}: a scale or variance is negative")
        self.shape["width"], self.modules = width, []
        for number in range(self.networks):
            module = network(self.features, self.n_classes, torch.Generator(), **self.shape).eval()
            module.load_state_dict({name: torch.from_numpy(arrays[f"{number}.{name}"]) for name in one})
            self.modules.append(module)
        return self


def shapes_of(dim: int, width: int, n_classes: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of a `network`, known before it is made: those of a file may be too large for memory."""
    shapes = {}
    for index, n_out, n_in in ((0, width, dim), (4, width, width), (8, n_classes, width)):
        shapes |= {f"{index}.weight": (n_out, n_in), f"{index}.bias": (n_out,)}
    for index in (1, 5):
        shapes |= {f"{index}.{name}": (width,) for name in ("weight", "bias", "running_mean", "running_var")}
        shapes[f"{index}.num_batches_tracked"] = ()
    return shapes


class _Scaled:
    """Standardised features of clips, each computed when it is asked for: indexing gives a tensor."""

    def __init__(self, x: Rows, mean: np.ndarray, scale: np.ndarray) -> None:
        self.x, self.mean, self.scale = x, mean, scale

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, clips: torch.Tensor | slice) -> torch.Tensor:
        found = self.x[clips if isinstance(clips, slice) else clips.numpy()]
        found -= self.mean
        found /= self.scale
        return torch.from_numpy(found)

    def part(self, clips: np.ndarray) -> "_Scaled":
        return _Scaled(self.x.part(clips), self.mean, self.scale)


def _probabilities(module: nn.Sequential, x: torch.Tensor | _Scaled) -> np.ndarray:
    with torch.inference_mode():
        parts = [x] if isinstance(x, torch.Tensor) else (x[some] for some in x.x.slices())
        return np.concatenate([module(one).double().softmax(dim=1).numpy() for one in parts])
