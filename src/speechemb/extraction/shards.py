"""One extraction on several machines with a common disk: `--shard I/N` computes every N-th batch.

`<out>.shards/I-of-N.partial` is an unfinished run (see `resume`) of shard I, and no other shard writes to it. The shard
that finds all of them complete writes `out` and removes `<out>.shards`. If two find that at the same time, a lock lets
one of them do it. On a disk without locks both do: each replaces `out` as a whole, by the same bytes.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from speechemb.artifacts import atomic, freshness
from speechemb.errors import InputError, first
from speechemb.extraction import resume
from speechemb.extraction.resume import Partial
from speechemb.extraction.run import ExtractionRun, Plan
from speechemb.paths import shown


@dataclass(frozen=True)
class Part:
    """A shard's batches: where its rows are kept, and the clips behind them, in the order of the rows."""

    number: int  # from 1
    out: Path  # of its partial folder
    partial: Partial
    clips: np.ndarray  # places (int64) in the plan's clips
    batches: list[np.ndarray]  # places (int64) in `clips`


class Gathered:
    """The rows of all shards in the order of the plan's clips, read like an array, some rows at a time."""

    def __init__(self, parts: list[Part]) -> None:
        self._rows = [part.partial.rows for part in parts]
        clips = np.concatenate([part.clips for part in parts])
        order = np.argsort(clips)
        self._shard = np.repeat(np.arange(len(parts)), [len(part.clips) for part in parts])[order]
        self._place = np.concatenate([np.arange(len(part.clips)) for part in parts])[order]
        self.shape = (len(clips), *self._rows[0].shape[1:])
        self.ndim, self.dtype = len(self.shape), self._rows[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        shard, place = self._shard[rows], self._place[rows]
        found = np.empty((len(shard), *self.shape[1:]), self.dtype)
        for number in np.unique(shard):
            found[shard == number] = self._rows[number][place[shard == number]]
        return found


def recorded_precision(out: Path, count: int) -> str | None:
    """The precision in which the first of the shards that have begun computes; None where none has."""
    recorded = (resume.recorded_precision(_part_out(out, number, count)) for number in range(1, count + 1))
    return next(filter(None, recorded), None)


def extract(
    run: ExtractionRun, plan: Plan, excluded: pd.DataFrame, out: Path, overwrite: bool, shard: tuple[int, int]
) -> str:
    """Compute the batches of shard I of N, and write `out` if all shards are complete then.

    Returns what is left to do, for the user; empty where `out` is written.

    Raises:
        InputError: another shard has other clips, settings, code or library versions, or another number of shards.
    """
    index, count = shard
    parts = _parts(run, plan, out, count)
    try:
        if not overwrite:
            _check_others(out, parts, count)
        for part in parts[index - 1 : index]:  # none where there are fewer batches than shards
            _compute(run, plan, part, overwrite)
        # Each looks at the others after its own last batch, so the last one to end sees all of them.
        missing = [part.number for part in parts if not part.partial.claims_all(len(part.batches))]
        return _left(missing, count) if missing else _assemble(run, plan, excluded, out, parts, count)
    except FileNotFoundError:  # of a shard that another run wrote and removed in this moment
        if freshness.is_up_to_date(out, run.stamp()):
            return ""
        raise


def _part_out(out: Path, number: int, count: int) -> Path:
    return out.with_name(f"{out.name}.shards") / f"{number}-of-{count}"


def _parts(run: ExtractionRun, plan: Plan, out: Path, count: int) -> list[Part]:
    parts = []
    for number in range(1, min(count, len(plan.batches)) + 1):
        own = plan.batches[number - 1 :: count]
        clips = np.concatenate(own)
        batches = np.split(np.arange(len(clips)), np.cumsum([len(batch) for batch in own])[:-1])
        place = _part_out(out, number, count)
        parts.append(Part(number, place, run.partial(place, plan, len(clips)), clips, batches))
    return parts


def _check_others(out: Path, parts: list[Part], count: int) -> None:
    for folder in out.with_name(f"{out.name}.shards").glob("*-of-*.partial"):
        if (name := re.fullmatch(r"\d+-of-(\d+)\.partial", folder.name)) and int(name[1]) != count:
            raise InputError(
                f"{shown(folder)} is a shard of {name[1]}, not of {count}: give --shard I/{name[1]}, or remove "
                f"{shown(folder.parent)}"
            )
    for part in parts:
        part.partial.check("give all shards the same files and flags")


def _compute(run: ExtractionRun, plan: Plan, part: Part, overwrite: bool) -> None:
    with atomic.alone(part.out):
        part.partial.begin(overwrite)
        if not run.model.settled:
            # All shards settle the precision on the batch on which a run on one machine does.
            list(run.compute(plan.clips, {0: plan.batches[0]}))
        run.fill(part.partial, plan.clips.iloc[part.clips], part.batches, run.compute)


def _assemble(run: ExtractionRun, plan: Plan, excluded: pd.DataFrame, out: Path, parts: list[Part], count: int) -> str:
    with atomic.held(out) as mine:
        if not mine:
            return f"another run is writing {shown(out)}"
        if freshness.is_up_to_date(out, run.stamp()):
            return ""
        damaged = [part.number for part in parts if len(part.partial.done(part.batches)) < len(part.batches)]
        if damaged:
            return _left(damaged, count)
        precisions = {resume.recorded_precision(part.out): part.number for part in parts}
        if len(precisions) > 1:
            words = " and ".join(f"{precision} (--shard {number}/{count})" for precision, number in precisions.items())
            raise InputError(
                f"the shards of {shown(out)} were computed in {words}, on processors of different kinds: run all "
                "of them again with --precision fp32 --overwrite"
            )
        run.write(out, Gathered(parts), plan, excluded, str(next(iter(precisions))))
        atomic.discard(parts[0].out.parent)
        return ""


def _left(numbers: list[int], count: int) -> str:
    return f"still to be run: --shard {first([f'{number}/{count}' for number in numbers], 20)}"
