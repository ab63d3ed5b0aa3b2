"""`report.html` from what step 4 found, and its map brought up to date by step 5."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from speechemb.artifacts import storage
from speechemb.evaluation import comparison
from speechemb.evaluation.scores import Evaluated
from speechemb.evaluation.significance import Comparable
from speechemb.reports.other_targets import Others
from speechemb.reports.outputs import Output
from speechemb.reports.page import build, clips, sections, sound, verdict
from speechemb.visualization import charts

NAME = "report.html"
MAP = "umap_emotion.csv"  # of step 5


@dataclass(frozen=True)
class Found:
    """What step 4 found in a results folder."""

    runs: list[Evaluated]
    read: list[tuple[pd.DataFrame, dict[str, Any]]]  # the predictions and their stamps
    table: pd.DataFrame  # of `comparison.runs_table`
    comparables: list[Comparable]
    curves: dict[str, pd.DataFrame]
    audit: pd.DataFrame
    warnings: list[str]
    command: str
    others: Others  # targets other than emotion


@dataclass(frozen=True)
class Report:
    """A planned page: its clips, its runs in the order of the comparison table, and the sound it is to hold."""

    found: Found
    table: pd.DataFrame  # of its runs
    clips: clips.Clips
    files: dict[int, Path]  # of `sound.files_of`
    runs: list[Evaluated]
    wanted: list[int]  # numbers of the clips whose sound is embedded

    def announced(self) -> str:
        """What sound the page is about to hold, and how much."""
        n, megabytes = sound.estimate(self.files, self.wanted)
        if not n:
            return f"{NAME} holds no recordings"
        return (
            f"{NAME} holds {n} recordings, about {megabytes:.1f} MB: whoever gets the page gets the voices "
            "(--report-audio none leaves them out)"
        )

    def write(self, out: Output) -> None:
        """The page, with the sound that there is."""
        sounds = sound.gather(self.clips, self.files, self.wanted, out.folder)
        parts = self._parts(sounds)
        data = {
            "clips": self.clips.as_json(),
            "runs": [_run_data(run, self.clips) for run in self.runs],
            "links": sounds.links,
            "colours": charts.looks(self.clips.table["true"].to_numpy(str)),
        }
        data["charts"] = parts.pop("charts")
        out.text(NAME, build.render(parts, data, _coordinates(out.folder)))

    def _parts(self, sounds: sound.Sounds) -> dict[str, Any]:
        """What the template shows, with every chart replaced by its number in `charts`."""
        found, results = self.found, [run.result for run in self.found.runs]
        of = {result["name"]: result for result in results}
        stamps = {stamp["tag"]: stamp for _, stamp in found.read}
        parts = {
            "verdicts": verdict.verdicts(found.comparables, [of[name] for name in self.table["run"]]),
            "warnings": found.warnings,
            "card": sections.data_card(self.clips),
            "matrices": sections.matrices(self.table),
            "rankings": sections.rankings(found.comparables, of),
            "curves": sections.curve_charts(found.curves, results),
            "audits": sections.audits(found.audit),
            **found.others.sections(),
            "crosses": sections.cross_corpora(results),
            "raters": sections.raters(results),
            "runs": [sections.run_part(run, self.clips, stamps[run.result["tag"]]) for run in self.runs],
            "sounds": sounds,
            "command": found.command,
            "places": {run.result["name"]: place for place, run in enumerate(self.runs)},
        }
        numbered: list[dict[str, Any]] = []
        _number_charts(parts, numbered)
        return {**parts, "charts": numbered}


def plan(found: Found, audio: str) -> Report:
    """The page of these results; `audio`: `mistakes`, `all` or `none`."""
    of = {run.result["name"]: run for run in found.runs}
    table = _strictest_first(found.table.loc[~found.table["run"].isin(comparison.runs_of_curves(found.curves))])
    runs = [of[name] for name in table["run"]]
    listed = clips.collect(found.runs)
    wanted = {"none": [], "all": range(len(listed.table)), "mistakes": _mistaken(runs, listed)}[audio]
    return Report(found, table, listed, sound.files_of(listed), runs, list(wanted))


def _strictest_first(table: pd.DataFrame) -> pd.DataFrame:
    """Speaker-independent runs before the others, and else as in the comparison table."""
    looser = ~table["protocol"].map(comparison.is_strict).astype(bool)
    return table.iloc[looser.argsort(kind="stable")]


def _mistaken(runs: list[Evaluated], listed: clips.Clips) -> list[int]:
    """The surest mistakes: of each run the first, then of each the second, ..."""
    numbers = [listed.numbers(sections.surest(run)["clip_id"]).tolist() for run in runs]
    ranked = sorted((place, number) for of in numbers for place, number in enumerate(of) if number >= 0)
    return list(dict.fromkeys(number for _, number in ranked))


def _run_data(run: Evaluated, listed: clips.Clips) -> dict[str, Any]:
    result = run.result
    return {"name": result["name"], "labels": result["labels"], **clips.answers(run, listed)}


def _number_charts(part: Any, numbered: list[dict[str, Any]]) -> None:
    """Give each chart inside its number: the page's script draws it where that number stands."""
    if isinstance(part, list):
        for item in part:
            _number_charts(item, numbered)
    elif isinstance(part, dict):
        if "chart" in part:
            chart = part.pop("chart")
            part.update(number=len(numbered), words=chart["words"], height=chart["layout"]["height"])
            numbered.append(chart)
        for item in list(part.values()):
            _number_charts(item, numbered)


def _coordinates(folder: Path) -> pd.DataFrame | None:
    """The maps of step 5, where they are there and unchanged."""
    try:
        return storage.read_csv(folder / MAP, "map", ("encoder", "map", "clip_id", "x", "y"), remedy="")[0]
    except storage.ArtifactError:
        return None


def refresh_map(folder: Path, table: pd.DataFrame) -> bool:
    """Bring the map of the folder's report up to date, where it has a report."""
    path = folder / NAME
    if not path.is_file():
        return False
    page = build.with_map(path.read_text(encoding="utf-8"), table)
    if page is not None:
        storage.write_text(path, page)
    return page is not None
