"""A multi-layer perceptron with batch norm, dropout and early stopping, trained by skorch."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from speechemb.splits import inner_split

HIDDEN = 256
DROPOUT = 0.4
MAX_EPOCHS = 100
PATIENCE = 12


def network(dim: int, n_classes: int, width: int = HIDDEN, dropout: float = DROPOUT) -> nn.Sequential:
    """Two hidden layers; the input is standardised by a batch norm without parameters of its own."""
    block = [nn.Linear(dim, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)]
    second = [nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*block, *second, nn.Linear(width, n_classes))


class Mlp:
    """Early stopping looks at UAR on an inner split that shares no group with the rest; the best epoch is kept."""

    def __init__(
        self, n_classes: int, seed: int, width: int = HIDDEN, dropout: float = DROPOUT, rate: float = 1e-3,
        standardise: bool = True,
    ) -> None:  # fmt: skip
        self.n_classes, self.seed, self.rate, self.standardise = n_classes, seed, rate, standardise
        self.shape = {"width": width, "dropout": dropout}

    def fit(self, x: np.ndarray, y: np.ndarray, group: np.ndarray, keep: bool = False) -> "Mlp":
        from skorch.helper import predefined_split

        train, valid = inner_split(y, group, self.seed)
        self.mean, self.scale = x[train].mean(axis=0), x[train].std(axis=0) + 1e-6
        if not self.standardise:  # the features are standardised already, see `--leak`
            self.mean, self.scale = np.zeros_like(self.mean), np.ones_like(self.scale)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            net = self._net(x.shape[1], y[train], predefined_split(self._data(x[valid], y[valid])))
            net.fit(self._data(x[train], y[train]), y=None)
        self.module = net.module_.eval()
        self.epochs = int(net.history[-1, "epoch"])
        return self

    def _data(self, x: np.ndarray, y: np.ndarray):
        from skorch.dataset import Dataset

        return Dataset(self._scaled(x), y.astype(np.int64))

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        return ((x - self.mean) / self.scale).astype(np.float32)

    def _net(self, dim: int, y: np.ndarray, valid_split):
        from skorch import NeuralNetClassifier
        from skorch.callbacks import EarlyStopping, EpochScoring

        counts = np.bincount(y, minlength=self.n_classes)
        weights = torch.tensor(len(y) / (self.n_classes * np.maximum(counts, 1)), dtype=torch.float32)
        uar = EpochScoring("balanced_accuracy", lower_is_better=False, name="valid_uar")
        stop = EarlyStopping("valid_uar", patience=PATIENCE, lower_is_better=False, load_best=True, sink=_silent)
        return NeuralNetClassifier(
            network(dim, self.n_classes, **self.shape),
            criterion=nn.CrossEntropyLoss(weight=weights, label_smoothing=0.05),
            optimizer=torch.optim.AdamW, lr=self.rate, optimizer__weight_decay=1e-2,
            batch_size=64, iterator_train__shuffle=True, iterator_train__drop_last=len(y) % 64 == 1,
            max_epochs=MAX_EPOCHS, train_split=valid_split, classes=np.arange(self.n_classes),
            callbacks=[uar, stop], verbose=0, device="cpu",
        )  # fmt: skip

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            scores = self.module(torch.from_numpy(self._scaled(x)))
        return scores.double().softmax(dim=1).numpy()

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        tensors = {name: value.numpy() for name, value in self.module.state_dict().items()}
        save_file({**tensors, "input.mean": self.mean, "input.scale": self.scale}, folder / "mlp.safetensors")

    def load(self, folder: Path) -> "Mlp":
        from safetensors.numpy import load_file

        tensors = load_file(folder / "mlp.safetensors")
        self.mean, self.scale = tensors.pop("input.mean"), tensors.pop("input.scale")
        self.module = network(len(self.mean), self.n_classes, **self.shape).eval()
        self.module.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
        return self


def _silent(*_) -> None:
    """EarlyStopping prints to a sink; `verbose=0` does not reach it."""
