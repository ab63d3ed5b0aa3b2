"""Some cases of each campaign; `python benchmarks/campaign.py kills`, `damage` and `surroundings` run hundreds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

CASES = [
    ("kills", 15, "step 1: A, B killed|step 2, acoustic: first|step 3: svm"),
    ("damage", 34, ""),  # two of each family
    ("surroundings", None, "stale: npz|standard streams: step 3 svm|full disk: step 1"),
]


@pytest.mark.slow
def test_killed_damaged_and_hindered_runs_end_right_or_in_one_line():
    # A process of its own: children are forked from it, so it must not have started threads. One for all of them,
    # because importing and compiling what the steps use takes longer than the cases.
    campaigns = [
        {"campaign": name, "count": count, "only": only, "jobs": 1, "seed": 0, "out": None}
        for name, count, only in CASES
    ]
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("src", "tests/support"))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("runner.py")), json.dumps(campaigns)],
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
