"""The terminal: lines that stay above a progress bar, columns, and logged lines that say which of them are warnings."""

import itertools
import logging
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any


class Handler(logging.StreamHandler):
    """One line per message on stderr, with `warning: ` before what is one, in characters that can be printed."""

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return level + escaped(super().format(record))

    def emit(self, record: logging.LogRecord) -> None:
        with _above_bars(self.stream):
            super().emit(record)


def escaped(line: str) -> str:
    """The line without characters that move the cursor or colour the terminal: names come from files of others."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def say(line: str) -> None:
    """Print a line, above a progress bar where one is shown."""
    with _above_bars(sys.stdout):
        print(line, flush=True)


def bar(items: Iterable[Any] | None, unit: str, total: int | None = None, title: str = "") -> Any:
    """A progress bar over `items`, or for `update()` up to `total`, that is removed at its end.

    Nothing is shown where stderr is not a terminal.
    """
    from tqdm import tqdm

    # disable=None: no bar where stderr is not a terminal
    return tqdm(items, title or None, total, unit=f" {unit}", disable=None, leave=False)


def aligned(rows: list[list[str]], head: list[str] | None = None) -> list[str]:
    """Each row of cells as a line, below one of the columns' names in `head`; two spaces between columns.

    A column that is empty in all rows is left out.
    """
    filled = map(any, zip(*rows, strict=True))
    columns = list(itertools.compress(zip(*([head] if head else []), *rows, strict=True), filled))
    widths = [max(map(len, column)) for column in columns]
    lines = [map(str.ljust, row, widths) for row in zip(*columns, strict=True)]
    return ["  ".join(line).rstrip() for line in lines]


def _above_bars(stream: Any) -> AbstractContextManager[Any]:
    """Removes the bars that are shown while a line is written, where any can be."""
    tqdm = sys.modules.get("tqdm")
    return tqdm.tqdm.external_write_mode(stream) if tqdm else nullcontext()
