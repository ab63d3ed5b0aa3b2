"""The SVM's arrays are the same bytes on one core and on all."""

import os
import subprocess
import sys

import pytest

FIT = """
import hashlib, os, sys
from concurrent.futures import ThreadPoolExecutor
if sys.argv[1] == "one":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np
from speechemb.classifiers import make
y = np.arange(400) % 4
x = np.random.default_rng(0).normal(size=(400, 300)).astype(np.float32) + y[:, None] / 20
with ThreadPoolExecutor(1) as executor:
    svm = executor.submit(make("svm", 4, 0).fit, x, y, np.arange(400) // 40).result()
print(hashlib.sha256(b"".join(svm.arrays[key].tobytes() for key in sorted(svm.arrays))).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen on this system")
def test_the_arrays_do_not_depend_on_the_number_of_cores():
    one, every = (
        subprocess.run([sys.executable, "-c", FIT, cores], capture_output=True, text=True, check=True).stdout
        for cores in ("one", "all")
    )
    assert one == every and len(one) == 65
