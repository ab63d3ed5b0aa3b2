"""The parts of the report as the template takes them: plain lists and dicts of text and charts."""

from typing import Any

import numpy as np
import pandas as pd

from speechemb.evaluation import comparison, leakage_audit, scores, trained_on
from speechemb.evaluation.mistakes import mistakes
from speechemb.evaluation.scores import Evaluated
from speechemb.evaluation.significance import SHARED, Comparable
from speechemb.labels import display_corpora, ordered
from speechemb.metrics import calibration
from speechemb.reports.outputs import ranking_panel
from speechemb.reports.page.clips import Clips
from speechemb.reports.tables import blocks
from speechemb.reports.text import interval_words, run_title
from speechemb.speakers import known
from speechemb.visualization import charts

SUREST = 12  # mistakes listed for a run


def data_card(clips: Clips) -> dict[str, Any]:
    """Clips by corpus and emotion, and the speakers of each corpus."""
    table = clips.everything
    emotions = ordered(table["true"])
    rows = []
    for corpus, of in table.groupby("corpus"):
        counts = of["true"].value_counts().to_dict()
        speakers = known(of["speaker"].to_numpy(np.str_))
        unknown = int((speakers == "").sum())
        speakers = len(set(speakers.tolist()) - {""})
        row = {"corpus": display_corpora([str(corpus)]), "clips": len(of), "speakers": speakers, "unknown": unknown}
        rows.append({**row, "emotions": [counts.get(emotion, 0) for emotion in emotions]})
    return {"emotions": emotions, "rows": rows, "shown": len(clips.table), "total": len(table)}


def matrices(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Encoder x classifier, one table for each block of comparable runs."""
    found = []
    for block, (_, rows) in zip(blocks(table), table.groupby(list(SHARED), sort=False), strict=True):
        classifiers = list(dict.fromkeys(rows["classifier"]))
        cells: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for row in rows.to_dict("records"):
            name = comparison.settings_words({**row, "classifier": ""}).replace(", ,", ",").removesuffix(", ")
            name += f" ({row['note']})" if row["note"] else ""
            cell = {"run": row["run"], "uar": row["uar"], "best": row["uar"] == rows["uar"].max()}
            cell["span"] = "" if np.isnan(row["uar_low"]) else f"{row['uar_low']:.3f} to {row['uar_high']:.3f}"
            cells.setdefault(name, {}).setdefault(row["classifier"], []).append(cell)
        lines = [{"name": name, "cells": [of.get(one, []) for one in classifiers]} for name, of in cells.items()]
        found.append({"caption": block.caption, "classifiers": classifiers, "rows": lines})
    return found


def rankings(comparables: list[Comparable], of: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The ranking of each set of comparable runs, as a chart and as rows; `of`: run -> its evaluation."""
    found = []
    for runs in sorted(comparables, key=lambda runs: not comparison.is_strict(runs.shared["protocol"])):
        panel = ranking_panel(runs, [of[run["name"]] for run in runs.runs])
        title = panel.title.replace("\n", ": ")
        found.append({"title": title, "chart": charts.ranking(panel), "panel": panel})
    return found


def curve_charts(curves: dict[str, pd.DataFrame], results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The layer curves of all encoders, one chart for each block of comparable runs."""
    of = {result["name"]: result for result in results}
    found: dict[str, dict[str, pd.DataFrame]] = {}
    for curve in curves.values():
        row = comparison.run_row(of[curve["run"].iloc[0]])
        name = f"{row['encoder']} {row['pooling']}, {row['classifier']}"
        group = found.setdefault(comparison.block_words(row), {})
        group[name if name not in group else curve["run"].iloc[0]] = curve
    return [{"title": title, "chart": charts.layer_curves(group)} for title, group in found.items()]


def audits(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The leakage audit, one chart and table for each set of runs that are compared."""
    if table.empty:
        return []
    return [
        {"title": panel, "chart": charts.audit(rows), "rows": rows.to_dict("records")}
        for panel, rows in leakage_audit.with_titles(table).groupby("panel", sort=False)
    ]


def cross_corpora(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Training x test corpus of each cross-corpus run."""
    found = []
    for cells in scores.cross_corpus_cells(results).values():
        one = next(iter(cells.values()))
        rows = [
            {"train": train, "cells": [_cross_cell(cells.get((train, test))) for test in one["corpora"]]}
            for train in one["corpora"]
        ]
        words = comparison.settings_words(comparison.run_row(one))
        notes = sorted({comparison.note_of(result) for result in cells.values()} - {""})
        found.append({"caption": "; ".join([words, *notes]), "corpora": one["corpora"], "rows": rows})
    return found


def _cross_cell(result: dict[str, Any] | None) -> dict[str, Any] | None:
    if result is None:
        return None
    return {"uar": result["overall"]["uar"], "span": interval_words(result), "clips": result["clips"]}


def raters(results: list[dict[str, Any]]) -> list[list[str]]:
    """The cells of each run whose labels are raters' votes, in the order of the template's head."""
    found = []
    for result in results:
        if beside := result["raters"]:
            agreed, task = beside["agreed"]["over_half"], beside["emosuperb"]
            found.append([
                result["name"],
                _with_span(beside["agreement"], beside["agreement_interval_95"]),
                _with_span(beside["raters_agreement"], beside["raters_agreement_interval_95"]),
                f"{beside['cross_entropy']:.3f}",
                f"{beside['raters_entropy']:.3f}",
                f"{agreed['uar']:.3f} of {agreed['clips']} clips" if agreed["clips"] else "no clips",
                f"{task['macro_f1_fold_mean']:.3f}" if task else "",
            ])  # fmt: skip
    return found


def _with_span(value: float | None, interval: list[float] | None) -> str:
    if value is None:
        return "unknown without single votes"
    return f"{value:.3f}" + (" ({:.3f} to {:.3f})".format(*interval) if interval else "")


def surest(run: Evaluated) -> pd.DataFrame:
    """The surest wrong answers of a run, of `evaluation.mistakes`."""
    return mistakes(run.predictions, run.result["labels"]).head(SUREST)


def run_part(run: Evaluated, clips: Clips, stamp: dict[str, Any]) -> dict[str, Any]:
    """One run: its figures, charts, confusion matrix and surest mistakes."""
    result = run.result
    wrong = surest(run)
    numbers = clips.numbers(wrong["clip_id"])
    return {
        "name": result["name"],
        "title": run_title(result).splitlines(),
        "uar": result["overall"]["uar"],
        "facts": [*_facts(result), ("clips excluded", _excluded(stamp))],
        "warnings": trained_on.warnings(result["trained_on"]),
        "labels": result["labels"],
        "matrix": [[_number(count) for count in row] for row in result["confusion_matrix"]],
        "charts": run_charts(run),
        "mistakes": [
            {**row, "number": int(number)} for row, number in zip(wrong.to_dict("records"), numbers, strict=True)
        ],
        "stamp": stamp,
    }


def _excluded(stamp: dict[str, Any]) -> str:
    dropped = f"{stamp['dropped']} (excluded_{stamp['tag']}.csv says why)" if stamp["dropped"] else "none"
    return dropped + (f"; {stamp['left_out']} of classes that are not in this run" if stamp["left_out"] else "")


def _facts(result: dict[str, Any]) -> list[tuple[str, str]]:
    overall, majority = result["overall"], result["majority"]
    both = result["speakers_on_both_sides"]
    auroc = "none" if result["auroc"] is None else f"{result['auroc']:.3f}"
    return [
        ("95 % interval of UAR", interval_words(result)),
        ("accuracy", f"{overall['accuracy']:.3f} (always {majority['label']}: {majority['accuracy']:.3f})"),
        ("F1", f"{overall['macro_f1']:.3f} macro, {overall['weighted_f1']:.3f} weighted"),
        ("clips, speakers", f"{result['clips']}, {result['speakers']}"),
        ("speakers in both training and test", "unknown" if both is None else str(both)),
        ("AUROC of confidence for being right", auroc),
        ("expected calibration error", f"{result['calibration_error']:.3f}"),
        ("encoder trained on", trained_on.words(result["trained_on"])),
    ]


def run_charts(run: Evaluated) -> list[dict[str, Any]]:
    """Recall by class, UAR by speaker, reliability, and risk by coverage."""
    result = run.result
    labels, classes, speakers = result["labels"], result["per_class"], result["by_speaker"]
    recalls = [classes[label]["recall"] for label in labels]
    notes = [
        f"{label}: recall {classes[label]['recall']:.3f} of {classes[label]['support']:g} clips" for label in labels
    ]
    found = [{"title": "Recall by class", "chart": charts.recall(labels, recalls, notes, "recall")}]
    if speakers:
        names, values = [of["speaker"] for of in speakers], [of["uar"] for of in speakers]
        notes = [f"{of['speaker']}: UAR {of['uar']:.3f}, {of['clips']} clips {of['doubt']}" for of in speakers]
        found.append({"title": "UAR by speaker", "chart": charts.recall(names, values, notes, "UAR")})
    bins = charts.reliability(result["reliability"], result["calibration_error"])
    found.append({"title": "Reliability: accuracy by confidence", "chart": bins})
    confidence = run.predictions[[f"p_{label}" for label in labels]].to_numpy(float).max(axis=1)
    right = (run.predictions["true"] == run.predictions["predicted"]).to_numpy()
    curve = charts.risk_coverage(calibration.risk_coverage(right, confidence))
    return [*found, {"title": "Risk and coverage, if only the surest answers are given", "chart": curve}]


def _number(count: float) -> str:
    return f"{count:.0f}" if float(count).is_integer() else f"{count:.1f}"
