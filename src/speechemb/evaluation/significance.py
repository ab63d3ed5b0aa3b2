"""Which runs differ significantly: paired tests between comparable runs.

Runs are comparable where corpora, classes, protocol and number of folds agree (a block of rows of the comparison
table) and the very same clips were tested with the same labels. Two comparable runs differ significantly where swapping
them speaker by speaker seldom gives such a difference in UAR (`paired_tests.paired_permutation`), after Holm's
correction for all pairs of these runs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from speechemb.evaluation.counts import Counts
from speechemb.metrics import classification, paired_tests

ALPHA = 0.05  # family-wise, over the pairs of comparable runs
PAIR_COLUMNS = (
    "corpora",
    "classes",
    "protocol",
    "a",
    "b",
    "uar_a",
    "uar_b",
    "difference",
    "p",
    "p_holm",
    "verdict",
    "comparisons",
    "speakers",
    "clips",
)
RANK_COLUMNS = ("corpora", "classes", "protocol", "place", "run", "uar", "beats", "speakers", "clips")


@dataclass(frozen=True)
class Comparable:
    """Two or more comparable runs and the tests between them.

    `runs` and `pairs` are those of `paired_tests.compare`, both empty where a speaker is unknown: without speakers
    there is no test.
    """

    corpora: str
    classes: int
    protocol: str
    speakers: int
    clips: int
    intervals: dict[str, tuple[float, float]]  # run -> of its UAR, as in the comparison table; nan where there is none
    runs: list[dict[str, Any]]
    pairs: list[dict[str, Any]]

    @property
    def shared(self) -> dict[str, Any]:
        """What the runs have in common, as the tables show it."""
        return {"corpora": self.corpora, "classes": self.classes, "protocol": self.protocol}

    @property
    def basis(self) -> str:
        """How the runs were compared, or why they were not."""
        if not self.runs:
            return "no paired tests, a speaker is unknown"
        few = "; with fewer than 6 speakers no difference can be significant" if self.speakers < 6 else ""
        return f"paired permutation over {self.speakers} speakers, Holm-corrected, {ALPHA:.0%}{few}"


def compare(table: pd.DataFrame, counts: dict[str, Counts]) -> list[Comparable]:
    """Every set of two or more comparable runs, in the order of the comparison table.

    Args:
        table: `comparison.runs_table`: one row per run
        counts: run -> its counts
    """
    blocks: dict[tuple, list[str]] = {}
    for row in table.itertuples():
        key = (row.corpora, row.classes, row.protocol, counts[row.run].tested)
        blocks.setdefault(key, []).append(row.run)
    spans = {row.run: (row.uar_low, row.uar_high) for row in table.itertuples()}
    found = []
    for (corpora, classes, protocol, _), names in blocks.items():
        if len(names) > 1:
            first = counts[names[0]]
            tests = {"runs": [], "pairs": []}
            if first.all_speakers_known:
                confusions = np.array([counts[name].by_speaker for name in names])
                tests = paired_tests.compare(names, confusions, classification.uar_of, ALPHA)
            sizes = {"speakers": len(first.speakers), "clips": len(first.by_clip)}
            intervals = {name: spans[name] for name in names}
            found.append(Comparable(corpora, classes, protocol, **sizes, intervals=intervals, **tests))
    return found


def pairs_table(comparables: list[Comparable]) -> pd.DataFrame:
    """One row per pair of comparable runs; `a` has the higher UAR, `verdict` says whether it is significantly so."""
    rows = []
    for runs in comparables:
        uar = {run["name"]: run["value"] for run in runs.runs}
        for pair in runs.pairs:
            a, b = pair["better"], pair["worse"]
            verdict = "a significantly better" if pair["p_holm"] <= ALPHA else "no significant difference"
            row = {**runs.shared, "a": a, "b": b, "uar_a": uar[a], "uar_b": uar[b], "verdict": verdict}
            row |= {key: pair[key] for key in ("difference", "p", "p_holm")}
            rows.append({**row, "comparisons": len(runs.pairs), "speakers": runs.speakers, "clips": runs.clips})
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS))


def ranking_table(comparables: list[Comparable]) -> pd.DataFrame:
    """One row per run, best first among comparable runs; `beats` names the runs it is significantly better than."""
    rows = []
    for runs in comparables:
        for place, run in enumerate(runs.runs, start=1):
            row = {"place": place, "run": run["name"], "uar": run["value"], "beats": " ".join(run["beats"])}
            rows.append({**runs.shared, **row, "speakers": runs.speakers, "clips": runs.clips})
    return pd.DataFrame(rows, columns=list(RANK_COLUMNS))
