"""Batches of clips of similar length, and several batches computed at once."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

Item, Result = TypeVar("Item"), TypeVar("Result")


def plan_batches(durations: np.ndarray, batch_seconds: float) -> list[np.ndarray]:
    """Clip indices (each int64) of every batch: longest first, so that a batch too large for the memory fails at once.

    A batch holds clips of neighbouring lengths, as many as fit into `batch_seconds` when padded to the longest, and at
    least one.
    """
    order = np.argsort(-durations, kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, int(batch_seconds / max(durations[order[start]], 1e-3)))
        batches.append(order[start : start + size])
        start += size
    return batches


def in_order(
    work: Callable[[Item], Result], items: list[Item], workers: int, first_alone: bool = False
) -> Iterator[Result]:
    """`work` of every item, in order, `workers` at once, each on a single thread of torch.

    A product on one core wastes none of it on waiting for the other cores' parts of the product, and comes out the
    same on any number of cores. With `first_alone` the others begin when the first item is done. Results that nobody
    has taken yet are bounded, so that memory does not grow where writing is slower than computing.
    """
    import torch

    alone, others = (items[:1], items[1:]) if first_alone else ([], items)
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(work, alone)
        ahead: deque = deque()
        for item in others:
            ahead.append(pool.submit(work, item))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        yield from (future.result() for future in ahead)
