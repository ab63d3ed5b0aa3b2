"""Layers and thread settings of torch for the MLP and the SUPERB probe."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with torch's initialisation, drawn from `generator`: parallel fits share torch's global one."""
    layer, bound = nn.Linear(n_in, n_out, device="meta").to_empty(device="cpu"), n_in**-0.5
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
    """Run PyTorch on one thread: the steps are so small that a second thread costs more than it gains.

    It also makes a fit independent of the number of cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
