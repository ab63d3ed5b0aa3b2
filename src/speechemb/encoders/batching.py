"""Batches of clips of similar length, several of them computed at the same time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")


def plan_batches(durations: np.ndarray, batch_seconds: float) -> list[np.ndarray]:
    """Clip indices (int64) of each batch, the longest clips first: a batch too large for the memory fails at once.

    A batch has clips of similar length: as many as fit into `batch_seconds` if padded to the longest, at least one.
    """
    order = np.argsort(-durations, kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, int(batch_seconds / max(durations[order[start]], 1e-3)))
        batches.append(order[start : start + size])
        start += size
    return batches


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    first_alone: bool = False,
    start: Callable[[], None] | None = None,
) -> Iterator[Result]:
    """The results of `work` for the items, in order; `workers` threads at a time, each of which calls `start` first.

    With `first_alone`, the others start after the first item is done. The number of results not yet taken is limited,
    so that memory does not grow if writing is slower than computing; items are taken from an iterator as needed.
    """
    others = iter(items)
    alone = list(islice(others, 1)) if first_alone else []
    with ThreadPoolExecutor(workers, initializer=start) as pool:
        yield from pool.map(work, alone)
        ahead: deque[Future[Result]] = deque()
        for item in others:
            ahead.append(pool.submit(work, item))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        yield from (future.result() for future in ahead)
