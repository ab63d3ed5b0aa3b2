"""The multi-layer perceptron for numbers: the networks of `mlp`, trained on the concordance of each batch."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from speechemb.classifiers import mlp, regressors, tensors
from speechemb.classifiers.rows import Rows
from speechemb.classifiers.torch_layers import one_thread, without_compiler
from speechemb.metrics.regression import ccc_of_numbers


def concordance_loss(predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """1 - CCC, mean over the targets, of a batch (n, T)."""
    means = predicted.mean(0), true.mean(0)
    covariance = ((predicted - means[0]) * (true - means[1])).mean(0)
    spread = predicted.var(0, correction=0) + true.var(0, correction=0) + (means[0] - means[1]) ** 2
    return (1 - 2 * covariance / (spread + 1e-6)).mean()


class MlpRegressor:
    """A committee of networks with two hidden layers, whose predictions are averaged.

    Each stops early by CCC on an inner group-disjoint split of its own, and keeps its best epoch. The loss is
    1 - CCC, the usual one for dimensional emotion.
    """

    def __init__(
        self,
        n_targets: int,
        seed: int,
        width: int = 256,
        dropout: float = 0.4,
        rate: float = 1e-3,
        networks: int = 5,
    ) -> None:
        self.n_targets, self.seed, self.rate, self.networks = n_targets, seed, rate, networks
        self.shape = {"width": width, "dropout": dropout}

    def fit(self, x: np.ndarray | Rows, y: np.ndarray, group: np.ndarray) -> "MlpRegressor":
        self.features = x.shape[1]
        self.arrays = regressors.scales(x, y)
        features = torch.from_numpy(regressors.scaled(self.arrays, x))
        targets = ((y - self.arrays["y_mean"]) / self.arrays["y_scale"]).astype(np.float32)
        seeds = [(self.seed * self.networks + number) % 2**32 for number in range(self.networks)]
        with one_thread():
            fitted = [self._fit_one(features, targets, group, seed) for seed in seeds]
        self.modules = [module for module, _ in fitted]
        self.epochs = round(sum(epochs for _, epochs in fitted) / len(fitted))
        return self

    def _fit_one(self, x: torch.Tensor, y: np.ndarray, group: np.ndarray, seed: int) -> tuple[nn.Sequential, int]:
        """One network, and the epochs that it was trained."""
        train, valid = regressors.held_out(group, seed)
        generator = torch.Generator().manual_seed(seed)
        module = mlp.network(self.features, self.n_targets, generator, **self.shape)
        optimizer = without_compiler(torch.optim.AdamW)(
            module.parameters(), lr=self.rate, weight_decay=1e-2, fused=True
        )
        part, targets = x[train], torch.from_numpy(y[train])
        fewest, most = mlp.BATCHES
        size = min(max(len(part) // 16, fewest), most)
        best, best_epoch, epoch, kept = -np.inf, 0, 0, {}
        for epoch in range(1, mlp.MAX_EPOCHS + 1):
            module.train()
            for batch in torch.randperm(len(part), generator=generator).split(size):
                if len(batch) > 1:  # batch norm needs two clips
                    optimizer.zero_grad()
                    concordance_loss(module(part[batch]), targets[batch]).backward()
                    optimizer.step()
            module.eval()
            ccc = ccc_of_numbers(y[valid].astype(np.float64), _outputs(module, x[valid]))
            if ccc > best:
                best, best_epoch = ccc, epoch
                kept = {name: value.clone() for name, value in module.state_dict().items()}
            elif epoch - best_epoch == mlp.PATIENCE:
                break
        module.load_state_dict(kept)
        return module, epoch

    def predict(self, x: np.ndarray | Rows) -> np.ndarray:
        features = torch.from_numpy(regressors.scaled(self.arrays, x))
        with one_thread():
            found = np.mean([_outputs(module, features) for module in self.modules], axis=0)
        return regressors.in_units(self.arrays, found)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        arrays = dict(self.arrays)
        for number, module in enumerate(self.modules):
            arrays |= {f"{number}.{name}": value.numpy() for name, value in module.state_dict().items()}
        save_file(arrays, folder / "mlp.safetensors")

    def load(self, folder: Path) -> "MlpRegressor":
        path = folder / "mlp.safetensors"
        arrays = tensors.read(path)
        self.features, width = tensors.size(arrays, "mean", 0, path), tensors.size(arrays, "0.0.weight", 0, path)
        scales = regressors.shapes(self.features, self.n_targets)
        self.networks = len({name.partition(".")[0] for name in arrays} - set(scales))
        one = mlp.shapes_of(self.features, width, self.n_targets)
        shapes = {f"{number}.{name}": shape for number in range(self.networks) for name, shape in one.items()}
        tensors.expect(arrays, shapes | scales, path)
        regressors.check_scales(arrays, path)
        if any((arrays[name] < 0).any() for name in shapes if name.endswith("running_var")):
            raise ValueError(f"{path.name}: a variance is negative")
        self.arrays = {name: arrays[name] for name in scales}
        self.shape["width"], self.modules = width, []
        for number in range(self.networks):
            module = mlp.network(self.features, self.n_targets, torch.Generator(), **self.shape).eval()
            module.load_state_dict({name: torch.from_numpy(arrays[f"{number}.{name}"]) for name in one})
            self.modules.append(module)
        return self


def _outputs(module: nn.Sequential, x: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return module(x).double().numpy()
