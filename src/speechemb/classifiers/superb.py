"""The SUPERB probe for emotion: a learned weighted sum of all layers, mean pooling, linear layers.

Yang et al. 2021, "SUPERB: Speech processing Universal PERformance Benchmark", task ER; recipe of s3prl's
`downstream/emotion`: softmax layer weights from equal ones, a projection to 256, the mean over frames, a linear layer
to the classes (no activation in between), cross-entropy, Adam at 1e-4, batches of 32 (4 times 8 accumulated), gradient
norm clipped at 1, 30,000 steps, of which the one that is best on validation clips is kept.

Up to the loss, the model is linear in the frames. The mean over frames therefore commutes with the weighted sum and
the projection, and the probe is trained on the mean of each layer, computed once.

Differences from s3prl: the validation fifth of the training part shares no group (session, speaker) with the rest,
where s3prl draws it at random; the best step is chosen by UAR, not accuracy; training ends after 5,000 steps without
improvement; the test clips are evaluated once.
"""

import copy
import itertools
from pathlib import Path

import numpy as np
import torch
from torch import nn

from speechemb.classifiers import tensors
from speechemb.classifiers.torch_layers import linear, one_thread, without_compiler
from speechemb.errors import InputError
from speechemb.metrics.classification import uar_of_numbers
from speechemb.splits.folds import inner_split

PROJECTION = 256
BATCH = 32
MAX_STEPS = 30_000
EVERY = 500  # steps between evaluations on the validation clips
PATIENCE = 10  # evaluations without improvement


class Probe(nn.Module):
    """(n, n_layers, dim) -> (n, K)."""

    def __init__(self, n_layers: int, dim: int, n_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.zeros(n_layers))
        self.project, self.classify = linear(dim, PROJECTION, generator), linear(PROJECTION, n_classes, generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed = torch.einsum("l,nld->nd", self.mix.softmax(dim=0), x)
        return self.classify(self.project(mixed))


class Superb:
    """The probe as a classifier; its `x` is float32 (n, n_layers, dim), the mean over frames of every layer."""

    def __init__(self, n_classes: int, seed: int, rate: float = 1e-4, max_steps: int = MAX_STEPS) -> None:
        self.n_classes, self.seed, self.rate, self.max_steps = n_classes, seed, rate, max_steps

    def fit(self, x: np.ndarray, y: np.ndarray, group: np.ndarray) -> "Superb":
        train, valid = inner_split(y, group, self.seed)
        generator = torch.Generator().manual_seed(self.seed)
        n_layers, self.features = x.shape[1:]
        self.probe = Probe(n_layers, self.features, self.n_classes, generator)
        best, looks, best_look, kept = -1.0, 0, 0, {}
        for epoch in self._steps(torch.from_numpy(x[train]), torch.from_numpy(y[train]), generator):
            self.epochs, looks = epoch, looks + 1
            uar = uar_of_numbers(y[valid], self.predict_proba(x[valid]).argmax(axis=1))
            if uar > best:
                best, best_look, kept = uar, looks, copy.deepcopy(self.probe.state_dict())
            if looks - best_look == PATIENCE:
                break
        self.probe.load_state_dict(kept)
        return self

    def _steps(self, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator):
        """Train, and yield the number of the current epoch every `EVERY` steps and at the end."""
        optimizer = without_compiler(torch.optim.Adam)(self.probe.parameters(), lr=self.rate)
        loss = nn.CrossEntropyLoss()
        step = 0
        for epoch in itertools.count(1):
            for batch in torch.randperm(len(y), generator=generator).split(BATCH):
                optimizer.zero_grad()
                loss(self.probe(x[batch]), y[batch]).backward()
                nn.utils.clip_grad_norm_(self.probe.parameters(), 1.0)
                optimizer.step()
                step += 1
                if step % EVERY == 0 or step == self.max_steps:
                    yield epoch
                if step == self.max_steps:
                    return

    @property
    def layer_weights(self) -> np.ndarray:
        """(n_layers,) float32, summing to 1."""
        return self.probe.mix.detach().softmax(dim=0).numpy()

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        with one_thread(), torch.inference_mode():
            return self.probe(torch.from_numpy(x)).double().softmax(dim=1).numpy()

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        save_file(self.probe.state_dict(), folder / "superb.safetensors")

    def load(self, folder: Path) -> "Superb":
        path = folder / "superb.safetensors"
        arrays = tensors.read(path)
        n_layers, self.features = tensors.size(arrays, "mix", 0, path), tensors.size(arrays, "project.weight", 1, path)
        shapes = {"mix": (n_layers,), "project.weight": (PROJECTION, self.features), "project.bias": (PROJECTION,)}
        shapes |= {"classify.weight": (self.n_classes, PROJECTION), "classify.bias": (self.n_classes,)}
        tensors.expect(arrays, shapes, path)
        self.probe = Probe(n_layers, self.features, self.n_classes, torch.Generator())
        self.probe.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        return self


def check(meta: dict, layers: list[int]) -> None:
    """Raise InputError unless the embeddings are what the probe needs: the mean over frames of every layer."""
    every = list(range(meta["encoder"]["n_layers"] + 1))
    if meta["pooling"] != ["mean"] or layers != every or len(every) < 2:
        raise InputError(
            f"--protocol superb mixes the means of every layer, but these embeddings hold {'+'.join(meta['pooling'])} "
            f"of layers {layers}: run step 2 with --pooling mean --layers all"
        )
