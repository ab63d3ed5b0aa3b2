"""Processes for work on all cores."""

import operator
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from joblib.externals.loky import get_reusable_executor

from speechemb.processes import in_processes


@pytest.mark.slow
def test_two_threads_may_start_their_processes_at_once(monkeypatch):
    """joblib completes its set of processes after it has stored it, where another thread finds it."""
    from joblib.executor import _ReusablePoolExecutor

    make = _ReusablePoolExecutor.get_reusable_executor.__func__

    def made_slowly(cls, *args, **kwargs):
        found = make(cls, *args, **kwargs)
        if not found[1]:  # not there already
            time.sleep(0.5)
        return found

    monkeypatch.setattr(_ReusablePoolExecutor, "get_reusable_executor", classmethod(made_slowly))
    get_reusable_executor().shutdown(wait=True)  # that of other tests
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda n: in_processes(operator.neg, [(n,), (n + 1,)], n + 1), range(2)))
    assert found == [[0, -1], [-1, -2]]
