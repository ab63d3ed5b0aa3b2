"""Which runs may be said to differ: paired tests between runs on the same clips, and their ranking.

Runs are compared only within a group: the same corpora, classes, protocol and number of folds (a row group of the
comparison table) and the very same test clips with the same labels. Two runs of a group differ where swapping them
speaker by speaker seldom gives such a difference in UAR (`uncertainty.paired_permutation`), after Holm's correction
for all pairs of the group. Where that test does not say so, nothing here says that one run beats another.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from speechemb.evaluation.scores import speakers_of
from speechemb.metrics import classification, intervals, paired_tests

ALPHA = 0.05  # family-wise, over the pairs of a group
PAIR_COLUMNS = (
    *("corpora", "classes", "protocol", "a", "b", "uar_a", "uar_b", "difference", "p", "p_holm", "verdict"),
    *("comparisons", "speakers", "clips"),
)
RANK_COLUMNS = ("corpora", "classes", "protocol", "place", "run", "uar", "beats", "speakers", "clips")


@dataclass
class Ranked:
    """A group of comparable runs and what `uncertainty.ranking` says of them; None where speakers are unknown."""

    corpora: str
    classes: int
    protocol: str
    runs: list[str]
    speakers: int
    clips: int
    intervals: dict[str, tuple[float, float]]  # run -> of its UAR, as in the comparison table; nan where there is none
    result: dict[str, Any] | None

    @property
    def key(self) -> dict[str, Any]:
        """What the group has in common, as the tables show it."""
        return {"corpora": self.corpora, "classes": self.classes, "protocol": self.protocol}

    @property
    def basis(self) -> str:
        """How the order was found, or why there is none."""
        if not self.result:
            return "no paired tests, a speaker is unknown"
        few = "; with fewer than 6 speakers nothing can be told apart" if self.speakers < 6 else ""
        return f"paired permutation over {self.speakers} speakers, Holm-corrected, {ALPHA:.0%}{few}"


def ranked(table: pd.DataFrame, frames: dict[str, pd.DataFrame]) -> list[Ranked]:
    """The groups of two or more comparable runs, in the order of the comparison table.

    Args:
        table: `evaluation.comparison`: a row a run
        frames: run -> its predictions, with a column p_<emotion> a class
    """
    parts: dict[tuple, list[str]] = {}
    for row in table.itertuples():
        key = (row.corpora, row.classes, row.protocol, same_clips(frames[row.run]))
        parts.setdefault(key, []).append(row.run)
    spans = {row.run: (row.uar_low, row.uar_high) for row in table.itertuples()}
    return [_ranked(key, runs, frames, spans) for key, runs in parts.items() if len(runs) > 1]


def same_clips(frame: pd.DataFrame) -> str:
    """Equal for predictions over the same classes of the same clips with the same true labels, each as often."""
    classes = sorted(column for column in frame.columns if column.startswith("p_"))
    rows = sorted(zip(frame["clip_id"], frame["true"], frame["corpus"], frame["speaker"], strict=True))
    return hashlib.sha256(repr((classes, rows)).encode()).hexdigest()


def _ranked(key: tuple, runs: list[str], frames: dict[str, pd.DataFrame], spans: dict[str, tuple]) -> Ranked:
    one = frames[runs[0]]
    speakers, result = speakers_of(one), None
    if (speakers != "").all():
        labels = [column.removeprefix("p_") for column in one.columns if column.startswith("p_")]
        confusions = [_confusions(frames[run], labels) for run in runs]
        result = paired_tests.compare(runs, np.array(confusions), classification.uar_of, ALPHA)
    sizes = len(set(speakers) - {""}), one["clip_id"].nunique()
    return Ranked(*key[:3], runs, *sizes, {run: spans[run] for run in runs}, result)


def _confusions(frame: pd.DataFrame, labels: list[str]) -> np.ndarray:
    """(S, K, K), a matrix a speaker."""
    true, predicted = frame["true"].tolist(), frame["predicted"].tolist()
    return intervals.speaker_confusions(true, predicted, speakers_of(frame).tolist(), labels)


def pairs_table(groups: list[Ranked]) -> pd.DataFrame:
    """A row a pair of comparable runs; `a` has the higher UAR, `verdict` says whether that means anything."""
    rows = []
    for group in groups:
        pairs = group.result["pairs"] if group.result else []
        value = {run["name"]: run["value"] for run in group.result["runs"]} if group.result else {}
        for pair in pairs:
            a, b = pair["better"], pair["worse"]
            figures = {"uar_a": value[a], "uar_b": value[b], "difference": pair["difference"], "p": pair["p"]}
            verdict = {"p_holm": pair["p_holm"], "verdict": "a beats b" if told_apart(pair) else "not told apart"}
            size = {"comparisons": len(pairs), "speakers": group.speakers, "clips": group.clips}
            rows.append({**group.key, "a": a, "b": b, **figures, **verdict, **size})
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS))


def told_apart(pair: dict[str, Any]) -> bool:
    """Whether the corrected test says that the better run is better."""
    return pair["p_holm"] <= ALPHA


def ranking_table(groups: list[Ranked]) -> pd.DataFrame:
    """A row a run, best first within its group; `beats` names the runs it is significantly better than."""
    rows = []
    for group in groups:
        for place, run in enumerate(group.result["runs"] if group.result else [], start=1):
            of_run = {"place": place, "run": run["name"], "uar": run["value"], "beats": " ".join(run["beats"])}
            rows.append({**group.key, **of_run, "speakers": group.speakers, "clips": group.clips})
    return pd.DataFrame(rows, columns=list(RANK_COLUMNS))
