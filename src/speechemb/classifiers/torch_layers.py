"""Layers, optimizers and thread settings of torch for the MLP and the SUPERB probe."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


def linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with torch's initialisation, drawn from `generator`: parallel fits share torch's global one."""
    layer, bound = nn.Linear(n_in, n_out, device="meta"), n_in**-0.5
    for name, shape in (("weight", (n_out, n_in)), ("bias", (n_out,))):
        setattr(layer, name, nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator)))
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


def without_compiler(kind: type[torch.optim.Optimizer]) -> Any:
    """An optimizer of this kind that never imports torch's compiler.

    torch wraps these methods to keep them out of compiled code. For that the wrappers import the compiler, which takes
    longer than fitting a small corpus; nothing here is compiled.
    """
    names = ("add_param_group", "zero_grad", "step")
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), methods | {"step": torch.no_grad()(methods["step"])})


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
