"""Work on all cores in processes of their own, which end with the process that started them, however that ends."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

CHECK_S = 1.0  # seconds between two looks
_STARTING = threading.Lock()  # joblib keeps its processes for later calls, and two threads may not make them at once


def in_processes(work: Callable[..., Any], tasks: Iterable[tuple], at_once: Any = "auto") -> list[Any]:
    """The results of `work(*task)` in order, `at_once` tasks sent at a time (joblib's `batch_size`)."""
    return list(streamed(work, tasks, at_once))


def streamed(work: Callable[..., Any], tasks: Iterable[tuple], at_once: Any = "auto") -> Iterator[Any]:
    """As `in_processes`, each result as soon as it and those before it are there; tasks are taken as they are needed.

    The processes end with the iterator.
    """
    from joblib import Parallel, delayed

    parent = os.getpid()
    # max_nbytes=None: recordings go to the processes by pipe, else files in memory keep all of them to the end
    pool = Parallel(n_jobs=-1, batch_size=at_once, max_nbytes=None, return_as="generator")
    with _STARTING, _without_interrupts():
        results = pool(delayed(_watched)(parent, work, *task) for task in tasks)
    yield from results


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C while processes start, which they inherit: it ends this process alone, and that ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _watched(parent: int, work: Callable[..., Any], *task: Any) -> Any:
    if os.getpid() != parent:  # on one core, joblib starts no process
        _end_with(parent)
    return work(*task)


@cache
def _end_with(parent: int) -> None:
    """End this process once its parent is gone.

    A worker of joblib's waits for tasks on a pipe that it holds both ends of, so it would not notice: after a kill of
    the script it would stay for five minutes, or, if the kill cut a task short, for good.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(CHECK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
