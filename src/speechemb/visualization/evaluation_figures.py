"""Pictures of step 4: arrays, tables and figures of evaluations in, matplotlib figures out."""

from dataclasses import dataclass

import matplotlib

matplotlib.use("Agg")  # no display on a server or in a Codespace

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from speechemb.visualization import style


def confusion_matrix(matrix: np.ndarray, labels: list[str], title: str) -> Figure:
    """Confusion matrix (K, K): each cell shows its share of the true class, also as colour, and the count.

    Counts that are means of repeats are rounded.
    """
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    text = [[f"{share[i, j]:.0%}\n{matrix[i, j]:.0f}" for j in range(len(labels))] for i in range(len(labels))]
    size = 2.2 + 0.75 * len(labels)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    sns.heatmap(
        share,
        annot=np.array(text),
        fmt="",
        annot_kws={"size": 8},
        cmap="Blues",
        vmin=0,
        vmax=1,
        cbar=False,
        square=True,
        xticklabels=labels,
        yticklabels=labels,
        ax=axes,
    )
    axes.set(xlabel="predicted", ylabel="true")
    axes.tick_params(axis="y", rotation=0)
    axes.set_title(title, fontsize=8)
    return figure


def reliability(bins: dict[str, np.ndarray], summary: str, title: str) -> Figure:
    """Accuracy by confidence, over the bins of `calibration.reliability`, with the number of clips per bin below.

    Args:
        bins: of `calibration.reliability`
        summary: figures of the probabilities, shown in the legend
        title: of the picture
    """
    figure = Figure(figsize=(4.2, 4.8), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    middle, width = (bins["edges"][:-1] + bins["edges"][1:]) / 2, np.diff(bins["edges"])
    axes.bar(
        middle,
        np.nan_to_num(bins["accuracy"]),
        width,
        color=style.LIGHT,
        edgecolor="white",
        label="accuracy",
    )
    axes.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1, label="perfectly calibrated")
    axes.plot(bins["confidence"], bins["accuracy"], "o", color=style.DARK, markersize=4, label="at the mean confidence")
    axes.set(ylim=(0, 1), xlim=(0, 1), ylabel="accuracy")
    axes.legend(fontsize=8, loc="upper left", title=summary, title_fontsize=8)
    below.bar(middle, bins["count"], width, color=style.LIGHT_GREY, edgecolor="white")
    below.set(xlabel="confidence", ylabel="clips")
    axes.set_title(title, fontsize=8)
    return figure


def fairness(result: dict, title: str) -> Figure:
    """UAR by gender and by speaker with their intervals, beside the UAR of all clips and chance.

    Speakers whose UAR says little are grey, with their number of clips.

    Args:
        result: `by_gender`, `by_speaker`, `overall` and `chance_uar` of an evaluation
        title: of the picture
    """
    genders = list(result["by_gender"].items())
    colours = dict(zip([name for name, _ in genders], (style.MIDDLE, style.ORANGE, style.DARK), strict=False))
    bars = [(f"{name}: {of['speakers']} speakers", colours.get(name, style.MIDDLE), of) for name, of in genders]
    for of in result["by_speaker"]:
        name = of["speaker"].split("/", 1)[-1] + (f" (n = {of['clips']})" if of["doubt"] else "")
        colour = style.LIGHT_GREY if of["doubt"] else colours.get(of["gender"], style.PALE)
        bars.append((name, colour, of))
    # One empty place divides genders from speakers.
    places = [place + 1 if genders and place >= len(genders) else place for place in range(len(bars))]
    figure = Figure(figsize=(max(2.5 + 0.22 * len(bars), 4.5), 4.2), layout="constrained")
    axes = figure.subplots()
    for place, (_, colour, of) in zip(places, bars, strict=True):
        axes.bar(place, of["uar"], 0.8, color=colour)
        if of["interval_95"]:
            axes.vlines(place, *of["interval_95"], color="black", linewidth=0.8)
    axes.axhline(result["overall"]["uar"], color="black", linewidth=1, label="UAR of all clips")
    axes.axhline(result["chance_uar"], color="black", linestyle=":", linewidth=1, label="chance")
    axes.set_xticks(places, [name for name, _, _ in bars], rotation=90, fontsize=7)
    axes.margins(x=0.01)
    axes.set(ylim=(0, 1.15), ylabel="UAR", yticks=np.linspace(0, 1, 6))
    handles = axes.get_legend_handles_labels()[0]
    if any(of["doubt"] for of in result["by_speaker"]):
        handles.append(Patch(color=style.LIGHT_GREY, label="one emotion only, or few clips"))
    axes.legend(handles=handles, fontsize=8, loc="upper left", ncols=2)
    axes.set_title(title, fontsize=8)
    return figure


def layer_weights(weights: pd.DataFrame, title: str) -> Figure:
    """Learned weight of each layer (columns fold, layer, weight): a thin line per fold, a thick one for their mean."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    table = weights[weights["fold"] != "final"].pivot(index="layer", columns="fold", values="weight")
    axes.plot(table.index, table.to_numpy(), color=style.LIGHT, linewidth=1)
    axes.plot(table.index, table.mean(axis=1), color=style.DARK, marker="o", markersize=4, label="mean over folds")
    axes.axhline(1 / len(table), color="black", linestyle=":", linewidth=1, label="equal weights")
    axes.set(xlabel="layer (0: projected CNN features)", ylabel="weight", xticks=table.index, ylim=(0, None))
    axes.legend(fontsize=8)
    axes.set_title(title, fontsize=8)
    return figure


@dataclass(frozen=True)
class RankingPanel:
    """Comparable runs, best first, and their verdicts: a word of `VERDICT_COLOURS`, or something else (grey)."""

    title: str
    names: list[str]
    uar: list[float]
    intervals: list[tuple[float, float]]  # nan where there is none
    verdicts: list[str]


VERDICT_COLOURS = {
    "significantly better": style.BLUE,
    "significantly worse": style.RED,
    "no significant difference": style.LIGHT,
    "reference": "black",
}


def ranking(panels: list[RankingPanel]) -> Figure:
    """UAR with its interval, one panel per set of comparable runs; colours are verdicts against the reference."""
    heights = [0.35 * len(panel.names) + 0.8 for panel in panels]
    figure = Figure(figsize=(10, sum(heights) + 0.6), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, panel in zip(grid, panels, strict=True):
        for place, (uar, (low, high), verdict) in enumerate(
            zip(panel.uar, panel.intervals, panel.verdicts, strict=True)
        ):
            colour = VERDICT_COLOURS.get(verdict, style.GREY)
            axes.hlines(place, low, high, color=colour, linewidth=1)
            axes.plot(uar, place, "s" if verdict == "reference" else "o", color=colour)
        axes.set_yticks(range(len(panel.names)), panel.names, fontsize=7)
        axes.set(ylim=(len(panel.names) - 0.5, -0.5), xlabel="pooled UAR with 95 % interval")
        axes.set_title(panel.title, fontsize=8)
    words = [*VERDICT_COLOURS, "no verdict"]
    handles = [Line2D([], [], color=VERDICT_COLOURS.get(word, style.GREY), marker="o", label=word) for word in words]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(words), fontsize=7)
    return figure


def layer_curve(curve: pd.DataFrame, title: str) -> Figure:
    """UAR of each layer with its 95 % interval (columns layer, uar, uar_low, uar_high, chance_uar)."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(curve["layer"], curve["uar_low"], curve["uar_high"], color=style.PALE, label="95 % over speakers")
    axes.plot(curve["layer"], curve["uar"], color=style.DARK, marker="o", markersize=4)
    axes.axhline(curve["chance_uar"].iloc[0], color="black", linestyle=":", linewidth=1, label="chance")
    axes.set(xlabel="layer (0: projected CNN features)", ylabel="UAR", xticks=curve["layer"], ylim=(0, 1))
    axes.legend(fontsize=8)
    axes.set_title(title, fontsize=8)
    return figure


def cross_corpus(matrix: np.ndarray, corpora: list[str], title: str) -> Figure:
    """UAR (n, n); rows are training corpora, columns test corpora; NaN where nothing was tested."""
    size = 2.5 + 0.9 * len(corpora)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    sns.heatmap(
        matrix,
        annot=True,
        fmt=".3f",
        cmap="viridis",
        vmin=0,
        vmax=1,
        cbar_kws={"label": "UAR"},
        mask=np.isnan(matrix),
        square=True,
        xticklabels=corpora,
        yticklabels=corpora,
        ax=axes,
    )
    axes.set(xlabel="tested on", ylabel="trained on")
    axes.set_title(title, fontsize=8)
    return figure


def audit(table: pd.DataFrame) -> Figure:
    """UAR of one classifier under every protocol and leakage, one panel per value of `panel`, one bar per row.

    Columns: panel, name (of the bar), protocol, leak, uar, uar_low, uar_high.
    """
    groups = list(table.groupby("panel", sort=False))
    heights = [0.3 * len(rows) + 0.7 for _, rows in groups]
    figure = Figure(figsize=(8, sum(heights) + 0.3), layout="constrained")
    grid = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (panel, rows) in zip(grid, groups, strict=True):
        colours = [_audit_colour(*of) for of in zip(rows["protocol"], rows["leak"], strict=True)]
        places = range(len(rows))
        axes.barh(places, rows["uar"], color=colours)
        axes.hlines(places, rows["uar_low"], rows["uar_high"], color="black", linewidth=1)
        axes.set_yticks(places, rows["name"], fontsize=8)
        axes.set(xlim=(0, 1), xlabel="UAR")
        axes.set_title(panel, fontsize=8)
    return figure


def _audit_colour(protocol: str, leak: str) -> str:
    if leak:
        return style.RED
    return style.BLUE if protocol == "speaker" else style.LIGHT
