"""What the terminal shows: bars only there, lines above them, aligned columns."""

import io
import sys

from speechemb import terminal


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self):
        return True


def test_a_bar_is_shown_in_a_terminal_only_and_leaves_nothing(monkeypatch):
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        assert list(terminal.bar(range(3), "runs", title="all")) == [0, 1, 2]
        assert ("all:   0%" in stream.getvalue() and "0/3" in stream.getvalue()) == shown
        assert stream.getvalue().rpartition("\r")[2] == ""


def test_a_line_is_above_the_bar(monkeypatch):
    both = Terminal()
    monkeypatch.setattr(sys, "stderr", both)
    monkeypatch.setattr(sys, "stdout", both)
    with terminal.bar(None, "folds", total=2) as bar:
        bar.update()
        terminal.say("svm: done")
    before, _, after = both.getvalue().partition("svm: done\n")
    assert "0/2 " in before and before.endswith("\r")  # the bar was removed from the line
    assert "1/2 " in after  # and is shown again


def test_columns_are_aligned_and_empty_ones_left_out():
    rows = [["svm", "", "0.5", "a"], ["logistic", "", "0.612", ""], ["", "", "x", "b"]]
    assert terminal.aligned(rows) == [
        "svm       0.5    a",
        "logistic  0.612",
        "          x      b",
    ]
    assert terminal.aligned(rows, ["run", "empty", "UAR", ""])[0] == "run       UAR"
    assert terminal.aligned([]) == []
