"""Pictures of several runs for step 4: ranking, layer curve, cross-corpus matrix and leakage audit."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from speechemb.visualization import style
from speechemb.visualization.evaluation_figures import cell_size, heat_map


@dataclass(frozen=True)
class RankingPanel:
    """Comparable runs, best first, and their verdicts: a word of `VERDICTS`, or something else (grey)."""

    title: str
    names: list[str]
    uar: list[float]
    intervals: list[tuple[float, float]]  # nan where there is none
    verdicts: list[str]
    chance: float


VERDICTS = {  # colour and marker
    "significantly better": (style.BLUE, "o"),
    "significantly worse": (style.RED, "v"),
    "no significant difference": (style.GREY, "o"),
    "reference": ("black", "s"),
}
_NO_VERDICT = ("#555555", "D")


def ranking(panels: list[RankingPanel]) -> Figure:
    """UAR with its interval, one panel per set of comparable runs; colours and markers are verdicts."""
    heights = [0.27 * len(panel.names) + 1.0 for panel in panels]
    figure = Figure(figsize=(9, sum(heights) + 0.5), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, panel in zip(grid, panels, strict=True):
        rows = zip(panel.uar, panel.intervals, panel.verdicts, strict=True)
        for place, (uar, (low, high), verdict) in enumerate(rows):
            colour, marker = VERDICTS.get(verdict, _NO_VERDICT)
            axes.hlines(place, low, high, color=colour, linewidth=1)
            axes.plot(uar, place, marker, color=colour, markersize=5)
        axes.set_yticks(range(len(panel.names)), panel.names, fontsize=9)
        axes.set(ylim=(len(panel.names) - 0.5, -0.5), xlabel="pooled UAR with 95 % interval")
        _values_beside(axes, panel.uar, panel.intervals)
        _zoom(axes, [panel.uar, *zip(*panel.intervals, strict=True)], panel.chance)
        axes.set_title(panel.title, fontsize=9, loc="left")
    words = {**VERDICTS, "no verdict": _NO_VERDICT}
    handles = [Line2D([], [], color=colour, marker=marker, label=word) for word, (colour, marker) in words.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(words), fontsize=8)
    return figure


def _values_beside(axes: Axes, uar: list[float], intervals: list[tuple[float, float]]) -> None:
    """Each row's UAR and interval in figures, right of the axes."""
    right = axes.secondary_yaxis("right")
    words = [
        f"{value:.3f}" + ("" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]")
        for value, (low, high) in zip(uar, intervals, strict=True)
    ]
    right.set_yticks(range(len(words)), words, fontsize=8)
    right.tick_params(length=0)


def _zoom(axes: Axes, values: list, chance: float) -> None:
    """Show what varies; chance is a line where it is near, and else a word in the corner."""
    limits, near = _limits(values, chance)
    axes.set_xlim(limits)
    if near:
        axes.axvline(chance, color="black", linestyle=":", linewidth=1)
    words = f"{'dotted: ' if near else ''}chance {chance:.3f}"
    axes.text(0.995, 0.02, words, transform=axes.transAxes, ha="right", va="bottom", fontsize=8)


def _limits(values: list, chance: float) -> tuple[tuple[float, float], bool]:
    """The limits of an axis that show the values, and chance too where it is no further away than they spread."""
    low, high = np.nanmin(values), np.nanmax(values)
    pad = 0.05 * (high - low) + 0.01
    near = bool(low - chance < high - low)
    return ((min(low, chance) if near else low) - pad, high + pad), near


def layer_curve(curve: pd.DataFrame, title: str) -> Figure:
    """UAR of each layer with its 95 % interval (columns layer, uar, uar_low, uar_high, chance_uar), the best marked.

    The best of many layers looks better than it is: its figure was chosen on the test folds.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    layers, uar, chance = curve["layer"], curve["uar"], curve["chance_uar"].iloc[0]
    axes.fill_between(layers, curve["uar_low"], curve["uar_high"], color=style.PALE, label="95 % over speakers")
    axes.plot(layers, uar, color=style.DARK, marker="o", markersize=4)
    best = curve.loc[uar.idxmax()]
    axes.plot(best["layer"], best["uar"], "*", color=style.RED, markersize=12, label=f"best: layer {best['layer']:.0f}")
    axes.annotate(f"{best['uar']:.3f}", (best["layer"], best["uar"]), (0, 8), textcoords="offset points", ha="center")
    limits, near = _limits([uar, curve["uar_low"], curve["uar_high"]], chance)
    if near:
        axes.axhline(chance, color="black", linestyle=":", linewidth=1, label=f"chance {chance:.3f}")
    axes.set(ylim=limits, xticks=layers)
    axes.set(xlabel=style.LAYER_AXIS, ylabel="UAR" if near else f"UAR (chance {chance:.3f})")
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    style.set_title(figure, title)
    return figure


def cross_corpus(matrix: np.ndarray, text: np.ndarray, corpora: list[str], title: str) -> Figure:
    """UAR (n, n) and the words of the cells; rows are training corpora, columns test corpora; NaN: not run."""
    cell = max(cell_size(corpora), 1.15)
    figure = Figure(figsize=(cell * len(corpora) + 2.2, cell * len(corpora) + 1.8), layout="constrained")
    axes = figure.subplots()
    heat_map(matrix, text, corpora, axes, cell)
    axes.set(xlabel="tested on", ylabel="trained on")
    style.set_title(figure, title)
    return figure


AUDIT_COLOURS = {"speaker-independent": style.BLUE, "other folds": style.LIGHT, "deliberate leakage": style.RED}


def audit(table: pd.DataFrame) -> Figure:
    """UAR of one classifier under every protocol and leakage, one panel per value of `panel`, one bar per row.

    Columns: panel, name (of the bar), protocol, leak, uar, uar_low, uar_high.
    """
    groups = list(table.groupby("panel", sort=False))
    heights = [0.3 * len(rows) + 0.9 for _, rows in groups]
    figure = Figure(figsize=(9.5, sum(heights) + 0.4), layout="constrained")
    grid = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (panel, rows) in zip(grid, groups, strict=True):
        kinds = [audit_kind(*of) for of in zip(rows["protocol"], rows["leak"], strict=True)]
        places = range(len(rows))
        axes.barh(places, rows["uar"], color=[AUDIT_COLOURS[kind] for kind in kinds])
        axes.hlines(places, rows["uar_low"], rows["uar_high"], color="black", linewidth=1)
        axes.set_yticks(places, rows["name"], fontsize=9)
        axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5), xlabel="UAR with 95 % interval over speakers")
        _values_beside(axes, rows["uar"].tolist(), list(zip(rows["uar_low"], rows["uar_high"], strict=True)))
        axes.set_title(str(panel), fontsize=9, loc="left")
    handles = [Patch(color=colour, label=kind) for kind, colour in AUDIT_COLOURS.items()]
    figure.legend(handles=handles, fontsize=8, loc="outside lower center", ncols=len(handles))
    return figure


def audit_kind(protocol: str, leak: str) -> str:
    return "deliberate leakage" if leak else "speaker-independent" if protocol == "speaker" else "other folds"
