"""A few surroundings; `python benchmarks/campaign.py surroundings` takes all of them."""

import pytest
import surroundings
from test_kills import campaign


@pytest.mark.slow
@pytest.mark.parametrize("only", ["stale: npz", "standard streams: step 3 svm", "full disk: step 1"])
def test_a_step_ends_right_or_in_one_line(only):
    done = campaign("surroundings", "--only", only)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_case_has_a_name_of_its_own():
    names = [(family, name) for family, name, _ in surroundings.cases()]
    assert len(names) > 100 and len(set(names)) == len(names)
