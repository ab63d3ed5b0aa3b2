"""What the kills are judged by; test_campaigns.py runs some."""

import os
import signal

import harness
import kills
import pytest


def test_a_child_dies_before_the_operation_that_was_asked_for(tmp_path):
    log = tmp_path.parent / "operations"
    child = os.fork()
    if child == 0:
        kills.killer(tmp_path, 3, log)()
        for name in "abcd":
            (tmp_path / name).mkdir()
        os._exit(0)
    assert harness.wait(child, 60) == (-signal.SIGKILL, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert log.read_text().splitlines() == ["os.mkdir /a", "os.mkdir /b", "os.mkdir /c"]


@pytest.mark.parametrize(
    ("code", "err", "outcome"),
    [
        (0, "", "right"),
        (1, "a warning\nerror: x.csv is missing: rerun step 1\n", "one-line error"),
        (1, "Traceback (most recent call last):\nKeyError: 'x'\n", "traceback"),
        (1, "", "traceback"),  # an end without a word is as bad
        (-11, "", "signal"),
    ],
)
def test_outcomes(code, err, outcome):
    assert harness.Result(code, "", err).outcome == outcome


def test_what_is_left_or_differs_is_named(tmp_path):
    (tmp_path / ".x.csv.abc.tmp").touch()
    assert harness.left_behind(tmp_path) == [".x.csv.abc.tmp"]
    assert harness.difference({"a": "1", "b": "1"}, {"b": "2", "c": "1"}) == "a (too many), b (differs), c (missing)"
