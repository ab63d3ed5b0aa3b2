"""Processes for work on all cores."""

import operator
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from speechemb.processes import in_processes


@pytest.mark.slow
def test_two_threads_may_start_their_processes_at_once(monkeypatch):
    """joblib completes its set of processes after it has stored it, where another thread finds it."""
    from joblib.executor import MemmappingExecutor

    make = MemmappingExecutor.get_reusable_executor

    def made_slowly(*args, **kwargs):
        found = make(*args, **kwargs)
        time.sleep(0.3)
        return found

    monkeypatch.setattr(MemmappingExecutor, "get_reusable_executor", made_slowly)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda n: in_processes(operator.neg, [(n,), (n + 1,)], n + 1), range(2)))
    assert found == [[0, -1], [-1, -2]]
