"""What predict.py writes: rows as they come, in a partial file first, and at the end the CSV or JSON as a whole.

`<out>.partial` has a line of JSON per chunk of rows: the rows, the recordings that were excluded with the reasons, and
the place where the work continues; its first line is the stamp of the run. Every line carries its own hash, so a line
that a kill cut short, or that was changed, ends what is taken from the file. `out` appears last, and whole, with a
sidecar `<out>.meta.json` that says what it was made from.
"""

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain, count, groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import Field

from speechemb.artifacts import freshness, provenance, schemas, storage
from speechemb.artifacts.atomic import Together, together
from speechemb.artifacts.freshness import COMPARED, NOT_COMPARED
from speechemb.audio.files import is_formula
from speechemb.errors import InputError
from speechemb.inference.work import Place
from speechemb.paths import shown


def csv_lines(rows: Iterable[list]) -> str:
    """Lines of a CSV; what a spreadsheet would run as a formula gets `./` before a path, an apostrophe before a label.

    The first cell of a row is its path; None is an empty cell.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        words = [f"'{cell}" if isinstance(cell, str) and is_formula(cell) else cell for cell in row]
        writer.writerow([f"./{row[0]}" if is_formula(row[0]) else row[0], *words[1:]])
    return text.getvalue()


def picture_name(path: str, taken: set[str]) -> str:
    """A recording's name for a file name, of plain characters and none of those that are taken."""
    name = re.sub(r"[^A-Za-z0-9_.+-]", "_", Path(path).stem)[:100]
    numbered = (f"{name}-{number}" for number in count(2))
    return next(one for one in chain([name], numbered) if one not in taken)


class Terminal:
    """Rows as CSV on the standard output, chunk by chunk."""

    def __init__(self, columns: list[str]) -> None:
        self.columns, self.written = columns, 0
        self.segments = "start" in columns
        self.excluded: list[list[str]] = []

    def begin(self, overwrite: bool = False) -> Place:
        """Where the work starts."""
        return 0, 0

    def add(self, rows: list[list], excluded: list[list[str]], _then: Place) -> None:
        """Print a chunk's rows."""
        if rows and not self.written:
            print(csv_lines([self.columns]), end="")
        print(csv_lines(rows), end="", flush=True)
        self.written += len(rows)
        self.excluded += excluded


class _Chunk(schemas.Schema):
    """A line of the partial file."""

    rows: list[Annotated[list[str | float | None], Field(min_length=3)]]
    excluded: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    then: Annotated[list[schemas.Count], Field(min_length=2, max_length=2)]


class File:
    """Rows in `<out>.partial`, and at the end in `out`."""

    def __init__(self, out: Path, columns: list[str], stamp: dict[str, Any]) -> None:
        self.out, self.columns, self.stamp = out, columns, stamp
        self.partial = out.with_name(out.name + ".partial")
        self.written, self.segments = 0, "start" in columns
        self.excluded: list[list[str]] = []

    def is_up_to_date(self) -> bool:
        """Whether `out` has these rows already; what a finished run left of the partial file is removed.

        Raises:
            ArtifactError: it has others.
        """
        if freshness.is_up_to_date(self.out, self.stamp):
            self.discard()
            return True
        freshness.check_absent(self.out, self.stamp)
        return False

    def begin(self, overwrite: bool = False) -> Place:
        """Where the work starts: behind the chunks that the partial file has.

        Raises:
            InputError: the partial file is of a run with other settings.
        """
        size, place, plan = 0, (0, 0), None
        for line, content in [] if overwrite else self._lines():
            if plan is None:
                plan = content
                self._check(plan)
            else:
                place = (content["then"][0], content["then"][1])
                self.written += len(content["rows"])
                self.excluded += content["excluded"]
            size += len(line)
        if plan is None:
            self.partial.unlink(missing_ok=True)
            self._append(self.stamp)
        else:
            os.truncate(self.partial, size)
        return place

    def add(self, rows: list[list], excluded: list[list[str]], then: Place) -> None:
        """Append a chunk's rows to the partial file."""
        self._append({"rows": rows, "excluded": excluded, "then": then})
        self.written += len(rows)
        self.excluded += excluded

    def rows(self) -> Iterator[list]:
        """All rows so far, in order."""
        for number, (_, content) in enumerate(self._lines()):
            yield from content["rows"] if number else []

    def write(self, further: dict[str, Any], files: Together) -> None:
        """Write `out` and, after it, its sidecar, with what is `further` to be said of the rows."""
        sidecar = storage.sidecar(self.out)
        files.remove(sidecar)
        temporary = files.temporary(self.out)
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.writelines(self._text())
        if (n_rows := sum(1 for _ in self.rows())) != self.written:
            raise InputError(
                f"{shown(self.partial)} was changed during the run: {n_rows} of {self.written} rows are left"
            )
        stamp = {**self.stamp, **further, "excluded": self.excluded, "files": files.hashes(self.out.parent)}
        stamp["sha256"] = stamp["files"].pop(self.out.name)
        storage.write_json(sidecar, stamp, files)

    def finish(self, further: dict[str, Any], pictures: bool) -> None:
        """Write everything, with a picture of each recording where asked for, and remove the partial file."""
        with together() as files:
            if pictures:
                self._draw(files)
            self.write(further, files)
        self.discard()

    def discard(self) -> None:
        """Remove the partial file."""
        self.partial.unlink(missing_ok=True)

    def _draw(self, files: Together) -> None:
        from speechemb.visualization import timeline

        named: set[str] = set()
        for path, rows in groupby(self.rows(), key=itemgetter(0)):
            frame = pd.DataFrame(list(rows), columns=self.columns)
            name = picture_name(path, named)
            named.add(name)
            figure = timeline.timeline(frame, path)
            storage.write_figure(self.out.with_name(f"{self.out.stem}_{name}.png"), figure, files)

    def _text(self) -> Iterator[str]:
        if self.out.suffix == ".csv":
            yield csv_lines([self.columns])
            yield from (csv_lines([row]) for row in self.rows())
            return
        whole = self.out.suffix == ".json"
        yield "[" if whole else ""
        for number, row in enumerate(self.rows()):
            between = ("\n" if number == 0 else ",\n") if whole else ""
            item = json.dumps(dict(zip(self.columns, row, strict=True)), ensure_ascii=False, allow_nan=False)
            yield between + item + ("" if whole else "\n")
        yield "\n]\n" if whole else ""

    def _lines(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """The lines of the partial file with what they hold, up to the first one that is not as it was written."""
        if not self.partial.is_file():  # a named pipe would never end
            return
        first = True
        with open(self.partial, "rb") as file:
            for line in file:
                try:
                    content = json.loads(line)
                except (ValueError, RecursionError):
                    return
                kind = dict if first else _Chunk
                if not line.endswith(b"\n") or schemas.fault_of(kind, content) or not provenance.sealed(content):
                    return
                yield line, content
                first = False

    def _append(self, content: dict[str, Any]) -> None:
        line = json.dumps(provenance.seal(json.loads(json.dumps(content))), ensure_ascii=False)
        with open(self.partial, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _check(self, plan: dict[str, Any]) -> None:
        if any(plan.get(key) != self.stamp[key] for key in COMPARED):
            different = [key for key in self.stamp if key not in NOT_COMPARED and plan.get(key) != self.stamp[key]]
            raise InputError(
                f"{shown(self.partial)} holds an unfinished run with another {', '.join(different) or 'format'}: "
                "finish that run with its own flags, write to another --out, or discard it with --overwrite"
            )
