"""Compiling with Numba in several processes at once."""

import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

COMPILE = """
import sys, time
from pathlib import Path
from numba.core.compiler_lock import global_compiler_lock
from speechemb.compiled import share_cache

share_cache()
for _ in range(5):
    with global_compiler_lock, global_compiler_lock:  # as Numba takes it, inside itself
        for word in ("begins", "ends"):
            with Path(sys.argv[1]).open("a") as file:
                print(word, sys.argv[2], file=file)
            time.sleep(0.05)
"""


THREADS = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from numba.core.compiler_lock import global_compiler_lock
from speechemb import compiled

together, folder = Barrier(2), compiled._folder

def slow():
    try:
        together.wait(1)  # until both threads are here, where they can be
    except Exception:
        pass
    return folder()

compiled._folder = slow
with ThreadPoolExecutor(2) as threads:
    list(threads.map(lambda _: compiled.share_cache(), range(2)))
with global_compiler_lock:
    print("compiles")
"""


def test_two_threads_that_are_the_first_do_not_wait_for_each_other():
    done = subprocess.run([sys.executable, "-c", THREADS], cwd=ROOT / "src", capture_output=True, text=True, timeout=60)
    assert done.stdout == "compiles\n", done.stderr


def test_one_process_at_a_time_compiles(tmp_path):
    log = tmp_path / "log"
    runs = [subprocess.Popen([sys.executable, "-c", COMPILE, log, own], cwd=ROOT / "src") for own in "abc"]
    assert [run.wait() for run in runs] == [0, 0, 0]
    lines = log.read_text().split("\n")
    assert len(lines) == 3 * 5 * 2 + 1
    for begins, ends in zip(lines[:-1:2], lines[1::2], strict=True):
        assert (begins[:7], ends[:5]) == ("begins ", "ends ") and begins[7:] == ends[5:]
