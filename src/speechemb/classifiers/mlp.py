"""A multi-layer perceptron with batch norm, dropout and early stopping, in a plain PyTorch loop."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from speechemb.classifiers.torch_layers import Dropout, linear, one_thread
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
    """Two hidden layers; early stopping by UAR on an inner group-disjoint split keeps the best epoch."""

    def __init__(
        self,
        n_classes: int,
        seed: int,
        width: int = 256,
        dropout: float = 0.4,
        rate: float = 1e-3,
        standardise: bool = True,
    ) -> None:
        self.n_classes, self.seed, self.rate, self.standardise = n_classes, seed, rate, standardise
        self.shape = {"width": width, "dropout": dropout}

    def fit(self, x: np.ndarray, y: np.ndarray, group: np.ndarray) -> "Mlp":
        train, valid = inner_split(y, group, self.seed)
        self.mean, self.scale = x[train].mean(axis=0), x[train].std(axis=0) + 1e-6
        if not self.standardise:  # the features are already standardised, see `--leak`
            self.mean, self.scale = np.zeros_like(self.mean), np.ones_like(self.scale)
        generator = torch.Generator().manual_seed(self.seed)
        self.module = network(x.shape[1], self.n_classes, generator, **self.shape)
        labels = torch.from_numpy(y[train].astype(np.int64))
        with one_thread():
            self._train(self._scaled(x[train]), labels, self._scaled(x[valid]), y[valid], generator)
        return self

    def _train(
        self, x: torch.Tensor, y: torch.Tensor, x_valid: torch.Tensor, y_valid: np.ndarray, generator: torch.Generator
    ) -> None:
        counts = torch.bincount(y, minlength=self.n_classes).clamp(min=1)
        loss = nn.CrossEntropyLoss(weight=len(y) / (self.n_classes * counts), label_smoothing=0.05)
        optimizer = torch.optim.AdamW(self.module.parameters(), lr=self.rate, weight_decay=1e-2, fused=True)
        fewest, most = BATCHES
        size = min(max(len(x) // 16, fewest), most)  # large batches are faster, but a small corpus needs the steps
        best, best_epoch = -1.0, 0
        for self.epochs in range(1, MAX_EPOCHS + 1):
            self.module.train()
            for batch in torch.randperm(len(x), generator=generator).split(size):
                if len(batch) > 1:  # batch norm needs two clips
                    optimizer.zero_grad()
                    loss(self.module(x[batch]), y[batch]).backward()
                    optimizer.step()
            self.module.eval()
            uar = uar_of_numbers(y_valid, self._probabilities(x_valid).argmax(axis=1))
            if uar > best:
                best, best_epoch = uar, self.epochs
                kept = {name: value.clone() for name, value in self.module.state_dict().items()}
            elif self.epochs - best_epoch == PATIENCE:
                break
        self.module.load_state_dict(kept)

    def _scaled(self, x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(((x - self.mean) / self.scale).astype(np.float32))

    def _probabilities(self, x: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            return self.module(x).double().softmax(dim=1).numpy()

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        with one_thread():  # with several, MKL divides the sums by the load of the machine, and the last bits change
            return self._probabilities(self._scaled(x))

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        tensors = {name: value.numpy() for name, value in self.module.state_dict().items()}
        save_file({**tensors, "input.mean": self.mean, "input.scale": self.scale}, folder / "mlp.safetensors")

    def load(self, folder: Path) -> "Mlp":
        from safetensors.numpy import load_file

        tensors = load_file(folder / "mlp.safetensors")
        self.mean, self.scale = tensors.pop("input.mean"), tensors.pop("input.scale")
        self.module = network(len(self.mean), self.n_classes, torch.Generator(), **self.shape).eval()
        self.module.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
        return self
