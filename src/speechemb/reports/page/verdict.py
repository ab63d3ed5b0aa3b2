"""The first sentence of the report: which run is best, how sure that is, or why nothing can be said."""

import math
from typing import Any

from speechemb.evaluation.comparison import block_words, is_strict, run_row, settings_words
from speechemb.evaluation.significance import BETTER, SAME, WORSE, Comparable, impossible
from speechemb.reports.text import interval_words


def verdicts(comparables: list[Comparable], results: list[dict[str, Any]]) -> list[str]:
    """One sentence for each set of comparable runs, the speaker-independent ones first; else one for each run."""
    of = {result["name"]: result for result in results}
    if not comparables:
        return [f"{_best(result)} Nothing to compare it with: no verdict possible." for result in results[:3]]
    return [_of_set(runs, of) for runs in sorted(comparables, key=_strictness)]


def _strictness(runs: Comparable) -> tuple[bool, int]:
    return not is_strict(runs.shared["protocol"]), -len(runs.runs)


def _best(result: dict[str, Any]) -> str:
    row = run_row(result)
    return (
        f"{block_words(row)}: {settings_words(row)} reaches a UAR of {result['overall']['uar']:.3f} "
        f"(95 % interval {interval_words(result)}; chance {result['chance_uar']:.3f})."
    )


def _of_set(runs: Comparable, of: dict[str, dict[str, Any]]) -> str:
    best = runs.runs[0]["name"]
    sentence = f"{_best(of[best])} It is the best of {len(runs.runs)} comparable runs on {runs.clips} clips"
    if why := impossible(runs.units, runs.unit, 1, runs.why_not):
        return f"{sentence}; no verdict possible: {why}."
    return f"{sentence}; {_against_reference(runs, best)}{_against_second(runs, best)}."


def _against_reference(runs: Comparable, best: str) -> str:
    """The confirmatory test of the best run, or why there is none."""
    if best in runs.families:
        better = sum(pair.verdict == WORSE for pair in runs.families[best])
        return f"it is itself the reference, and significantly better than {better} of {len(runs.families[best])} runs"
    pair = next((pair for pair in runs.confirmatory if pair.a == best), None)
    if pair is None:
        return f"no verdict: {runs.no_reference.get(best, 'it has no reference')}"
    points = 100 * (pair.uar_a - pair.uar_b)
    if pair.verdict in (BETTER, WORSE, SAME):
        words = {BETTER: "significantly better than", WORSE: "significantly worse than"}
        how = words.get(pair.verdict, "not significantly different from")
        return f"it is {how} its reference {pair.b} ({points:+.1f} points, corrected p {pair.p_holm:.2g})"
    return f"against its reference {pair.b} ({points:+.1f} points), {pair.verdict}"


def _against_second(runs: Comparable, best: str) -> str:
    """The raw p against the second best, which is no verdict."""
    second = runs.runs[1]["name"]
    pair = next((pair for pair in runs.exploratory if {pair.a, pair.b} == {best, second}), None)
    if pair is None or math.isnan(pair.p):
        return ""
    return f"; from the second best, {second}, it differs with a raw p of {pair.p:.2g}, which is no verdict"
