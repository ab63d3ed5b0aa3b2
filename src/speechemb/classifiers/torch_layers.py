"""Layers and settings of torch that the MLP and the SUPERB probe share."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """A layer with torch's own initial values, drawn from `generator`: threads that fit side by side share the global
    one."""
    layer, bound = nn.utils.skip_init(nn.Linear, n_in, n_out), n_in**-0.5
    for values in (layer.weight, layer.bias):
        nn.init.uniform_(values, -bound, bound, generator=generator)
    return layer


class Dropout(nn.Module):
    """torch's dropout, drawing from `generator`."""

    def __init__(self, rate: float, generator: torch.Generator) -> None:
        super().__init__()
        self.rate, self.generator = rate, generator

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.rate == 0:
            return x
        return x * torch.empty_like(x).bernoulli_(1 - self.rate, generator=self.generator).div_(1 - self.rate)


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread here: the steps are so small that a second one costs more than it gives.

    It also makes a fit the same on machines with different numbers of cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
