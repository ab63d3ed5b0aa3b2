"""Which runs differ significantly: paired tests between comparable runs.

Runs are comparable where corpora, classes, protocol and number of folds agree (a block of rows of the comparison table)
and the very same clips were tested with the same labels. Two questions are kept apart:

- Confirmatory: is a run better or worse than its reference? All runs with one reference are a family, and Holm's
  correction is for that family alone. What belongs to a family is fixed by the settings and not by the results: by
  default a run's reference is the acoustic baseline with the same classifier, tuning, seed and number of augmented
  copies; `--reference` names one run for all runs comparable with it. Other runs in the folder change no verdict.
- Exploratory: all other pairs. They have a raw p and no verdict: of 20 such pairs one is expected below 5 % by chance.

The runs of a layer curve are in neither: the curve shows them with their intervals. No verdict is possible where the
smallest p that the test can give with so many speakers, times the size of the family, is above 5 %.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from speechemb.encoders import ACOUSTIC
from speechemb.errors import InputError, first
from speechemb.evaluation.comparison import protocol_of, uar_interval
from speechemb.evaluation.scores import Evaluated
from speechemb.metrics import paired_tests

ALPHA = 0.05  # family-wise
EXPLORATORY_DRAWS = 10_000
BETTER, WORSE, SAME = "significantly better", "significantly worse", "no significant difference"
IMPOSSIBLE = "no verdict possible"
SHARED = ("corpora", "classes", "protocol")
PAIR_COLUMNS = (
    *SHARED,
    "family",
    "reference",
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
RANK_COLUMNS = (*SHARED, "place", "run", "uar", "uar_low", "uar_high", "reference", "p_holm", "verdict")
RANK_COLUMNS += ("speakers", "clips")


@dataclass(frozen=True)
class Pair:
    """A test of two runs; of a confirmatory one, `b` is the reference. p is nan where there is no test."""

    a: str
    b: str
    uar_a: float
    uar_b: float
    p: float
    comparisons: int  # in its family, or of all exploratory pairs of comparable runs
    p_holm: float = np.nan  # confirmatory only
    verdict: str = ""  # confirmatory only


@dataclass(frozen=True)
class Comparable:
    """Two or more comparable runs and the tests between them."""

    shared: dict[str, Any]  # corpora, classes, protocol, as the tables show them
    units: int
    unit: str  # speakers, sessions
    clips: int
    runs: list[dict[str, Any]]  # name, uar, uar_low, uar_high; best first
    why_not: str  # why nothing can be tested, or empty
    confirmatory: list[Pair] = field(default_factory=list)
    exploratory: list[Pair] = field(default_factory=list)
    no_reference: dict[str, str] = field(default_factory=dict)  # run -> why it has none

    @property
    def families(self) -> dict[str, list[Pair]]:
        """Reference -> its confirmatory pairs."""
        found: dict[str, list[Pair]] = {}
        for pair in self.confirmatory:
            found.setdefault(pair.b, []).append(pair)
        return found


def compare(runs: list[Evaluated], curve_runs: Iterable[str] = (), reference: str = "") -> list[Comparable]:
    """Every set of two or more comparable runs, sorted by corpora, classes and protocol.

    Args:
        runs: the evaluated runs of a folder
        curve_runs: names of the runs that belong to a layer curve; they are compared as reference only
        reference: tag of the run that all comparable ones are compared with; empty: each with its acoustic baseline

    Raises:
        InputError: there is no run `reference`.
    """
    tags = sorted({run.result["tag"] for run in runs})
    if reference and reference not in tags:
        raise InputError(f"--reference {reference}: there is no such run; choose among {first(tags, 8)}")
    curve_runs = set(curve_runs)
    blocks: dict[tuple, list[Evaluated]] = {}
    for run in runs:
        if run.result["name"] not in curve_runs or run.result["tag"] == reference:
            shared = "+".join(run.result["corpora"]), len(run.result["labels"]), protocol_of(run.result)
            blocks.setdefault((*shared, run.counts.tested), []).append(run)
    return [
        _comparable(dict(zip(SHARED, key, strict=False)), sorted(block, key=_rank), reference)
        for key, block in sorted(blocks.items())
        if len(block) > 1
    ]


def _rank(run: Evaluated) -> tuple[float, str]:
    return -run.result["overall"]["uar"], run.result["name"]


def _comparable(shared: dict[str, Any], block: list[Evaluated], reference: str) -> Comparable:
    counts = block[0].counts
    why_not = counts.why_no_units
    references, no_reference = references_of([run.result for run in block], reference)
    families: dict[int, list[int]] = {}
    for run, against in references.items():
        families.setdefault(against, []).append(run)
    confirmatory = [pair for against, family in families.items() for pair in _family(block, family, against)]
    tested = {frozenset(pair) for pair in references.items()}
    return Comparable(
        shared=shared,
        units=len(counts.units),
        unit=counts.unit_word,
        clips=len(counts.by_clip),
        runs=[_ranked(run.result) for run in block],
        why_not=why_not,
        confirmatory=confirmatory,
        exploratory=_exploratory(block, tested),
        no_reference={block[run].result["name"]: why for run, why in no_reference.items()},
    )


def _ranked(result: dict[str, Any]) -> dict[str, Any]:
    low, high = uar_interval(result)
    return {"name": result["name"], "uar": result["overall"]["uar"], "uar_low": low, "uar_high": high}


def references_of(results: list[dict[str, Any]], reference: str = "") -> tuple[dict[int, int], dict[int, str]]:
    """Of comparable runs: run -> its reference, both as positions; and run -> why it has none."""
    named = [i for i, result in enumerate(results) if result["tag"] == reference]
    if named:
        return {i: named[0] for i in range(len(results)) if i != named[0]}, {}
    found, without = {}, {}
    for i, result in enumerate(results):
        if result["encoder"]["tag"] == ACOUSTIC:
            continue
        baselines = [
            j
            for j, other in enumerate(results)
            if other["encoder"]["tag"] == ACOUSTIC
            and all(other[key] == result[key] for key in ("classifier", "tune", "seed", "augmented"))
        ]
        if len(baselines) == 1:
            found[i] = baselines[0]
        else:
            few = "no acoustic baseline with the same classifier, tuning, seed and copies"
            without[i] = few if not baselines else f"{len(baselines)} acoustic baselines to choose from"
    return found, without


def _differences(block: list[Evaluated], pairs: list[tuple[int, int]]) -> np.ndarray:
    """(P, U) of the pairs; the order of units is the same in all runs of a block."""
    confusions = np.array([run.counts.by_unit for run in block])
    return np.array(
        [
            paired_tests.speaker_differences(confusions[i], confusions[j])
            for i, j in zip(*np.array(pairs).T, strict=True)
        ]
    )


def _family(block: list[Evaluated], family: list[int], against: int) -> list[Pair]:
    """The confirmatory tests of the runs of a family against their reference, in the order of the runs."""
    units, m = len(block[0].counts.units), len(family)
    why = impossible(units, block[0].counts.unit_word, m, block[0].counts.why_no_units)
    p = np.full(m, np.nan)
    p_holm = p.tolist()
    if not block[0].counts.why_no_units:
        p = paired_tests.sign_flip_test(_differences(block, [(i, against) for i in family]))
        p_holm = paired_tests.holm(p)
    pairs = []
    for i, raw, corrected in zip(family, p.tolist(), p_holm, strict=True):
        pair = _pair(block, (i, against), raw, m)
        better = BETTER if pair.uar_a > pair.uar_b else WORSE
        verdict = f"{IMPOSSIBLE}: {why}" if why else better if corrected <= ALPHA else SAME
        pairs.append(replace(pair, p_holm=corrected, verdict=verdict))
    return pairs


def _pair(block: list[Evaluated], pair: tuple[int, int], p: float, comparisons: int) -> Pair:
    a, b = (block[k].result for k in pair)
    return Pair(a["name"], b["name"], a["overall"]["uar"], b["overall"]["uar"], p, comparisons)


def impossible(units: int, unit: str, comparisons: int, why_no_units: str = "") -> str:
    """Why a family of so many comparisons over so many units can have no significant result; empty where it can."""
    if why_no_units:
        return why_no_units
    least = paired_tests.smallest_p(units)
    if least * comparisons <= ALPHA:
        return ""
    times = f", times {comparisons} comparisons" if comparisons > 1 else ""
    return f"with {units} {unit} p is at least {least:.2g}{times}: above {ALPHA:.0%}"


def _exploratory(block: list[Evaluated], tested: set[frozenset[int]]) -> list[Pair]:
    """All pairs that are not confirmatory, with their raw p; the first run of each has the higher UAR."""
    pairs = [(i, j) for i, j in combinations(range(len(block)), 2) if frozenset((i, j)) not in tested]
    if not pairs:
        return []
    p = np.full(len(pairs), np.nan)
    if not block[0].counts.why_no_units:
        p = paired_tests.sign_flip_test(_differences(block, pairs), EXPLORATORY_DRAWS)
    return [_pair(block, pair, raw, len(pairs)) for pair, raw in zip(pairs, p.tolist(), strict=True)]


def pairs_table(comparables: list[Comparable]) -> pd.DataFrame:
    """One row per pair of comparable runs, the confirmatory ones first; only those have a corrected p and a verdict."""
    rows = []
    for runs in comparables:
        for kind, pairs in (("confirmatory", runs.confirmatory), ("exploratory", runs.exploratory)):
            for pair in pairs:
                reference = {"family": kind, "reference": pair.b if kind == "confirmatory" else ""}
                figures = {**vars(pair), "difference": pair.uar_a - pair.uar_b}
                rows.append({**runs.shared, **reference, **figures, "speakers": runs.units, "clips": runs.clips})
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS))


def ranking_table(comparables: list[Comparable]) -> pd.DataFrame:
    """One row per run, best first among comparable runs, with its verdict against its reference."""
    rows = []
    for runs in comparables:
        of = {pair.a: pair for pair in runs.confirmatory}
        for place, run in enumerate(runs.runs, start=1):
            row = {**runs.shared, "place": place, "run": run["name"], **{k: v for k, v in run.items() if k != "name"}}
            row |= {"verdict": verdict_of(runs, run["name"]), "speakers": runs.units, "clips": runs.clips}
            if pair := of.get(run["name"]):
                row |= {"reference": pair.b, "p_holm": pair.p_holm}
            rows.append(row)
    return pd.DataFrame(rows, columns=list(RANK_COLUMNS))


def verdict_of(runs: Comparable, name: str) -> str:
    """A run's verdict against its reference, `reference`, or that it has none."""
    verdicts = {pair.a: pair.verdict for pair in runs.confirmatory}
    if name in verdicts:
        return verdicts[name]
    if name in runs.families:
        return "reference"
    return f"exploratory: {runs.no_reference.get(name, 'a baseline without runs to compare')}"
