"""The clips of the report and what each run answered for them, in the compact form that the page's script reads."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from speechemb.evaluation.mistakes import confidence_of
from speechemb.evaluation.scores import Evaluated
from speechemb.labels import ordered

MOST = 10_000  # clips on a page; the rest is left to the tables
COLUMNS = ("path", "corpus", "speaker", "true")


@dataclass(frozen=True)
class Clips:
    """The clips of a page, by their number on it: tables with index `clip_id` and the columns `COLUMNS`."""

    table: pd.DataFrame  # these clips: all of them, or `MOST` drawn at random
    everything: pd.DataFrame

    def numbers(self, clip_ids: pd.Series) -> np.ndarray:
        """The numbers (n,) int of clips, -1 of those that are not on the page."""
        return self.table.index.get_indexer(pd.Index(clip_ids))

    def as_json(self) -> dict[str, list[str]]:
        """A list per column, in the order of the numbers, and the emotions in the project's order."""
        columns = {name: self.table[name].tolist() for name in COLUMNS}
        return {"id": self.table.index.tolist(), **columns, "order": ordered(self.table["true"])}


def collect(runs: list[Evaluated]) -> Clips:
    """The clips that were tested in any of the runs, sorted by id."""
    if not runs:
        nothing = pd.DataFrame(columns=list(COLUMNS), index=pd.Index([], name="clip_id"), dtype=str)
        return Clips(nothing, nothing)
    parts = [run.predictions.loc[:, ["clip_id", *COLUMNS]] for run in runs]
    table = pd.concat(parts).drop_duplicates("clip_id").sort_values("clip_id").set_index("clip_id")
    if len(table) <= MOST:
        return Clips(table, table)
    some = np.random.default_rng(0).choice(len(table), MOST, replace=False)
    return Clips(table.iloc[np.sort(some)], table)


def answers(run: Evaluated, clips: Clips) -> dict[str, list[Any]]:
    """Per prediction of a clip on the page: clip number, true and predicted class, confidence in thousandths."""
    labels = pd.Index(run.result["labels"])
    confidence = confidence_of(run.predictions, run.result["labels"])
    number = clips.numbers(run.predictions["clip_id"])
    columns = {
        "clip": number,
        "true": labels.get_indexer(pd.Index(run.predictions["true"])),
        "predicted": labels.get_indexer(pd.Index(run.predictions["predicted"])),
        "confidence": np.rint(1000 * confidence).astype(int),
    }
    return {name: values[number >= 0].tolist() for name, values in columns.items()}
