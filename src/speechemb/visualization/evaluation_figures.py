"""Pictures of one run: arrays and figures of an evaluation in, matplotlib figures out."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import binomtest

from speechemb.visualization import style

MOST_SPEAKERS = 40  # rows; of more speakers the worst and the best are shown
FEW_IN_BIN = 10  # clips, below which a bin's dot is hollow


def heat_map(shade: np.ndarray, text: np.ndarray, labels: list[str], axes: Axes, cell: float) -> None:
    """A matrix (K, K) with values from 0 to 1 as shades of blue, and text in the cells; NaN cells are blank."""
    sns.heatmap(
        shade,
        annot=text,
        fmt="",
        annot_kws={"size": min(9.0, 11 * cell)},
        cmap="Blues",
        vmin=0,
        vmax=1,
        cbar=False,
        mask=np.isnan(shade),
        square=True,
        linewidths=0.5,
        linecolor=style.LIGHT_GREY,
        xticklabels=labels,
        yticklabels=labels,
        ax=axes,
    )
    axes.tick_params(rotation=0, labelsize=9)


def cell_size(labels: list[str]) -> float:
    """The side of a cell in inches: wide enough for the longest label to be written across."""
    return max(0.72, 0.09 * max(map(len, labels)) + 0.1)


def confusion_matrix(matrix: np.ndarray, labels: list[str], title: str) -> Figure:
    """Confusion matrix (K, K): each cell shows its share of the true class, also as colour, and the count.

    Counts that are means of repeats are rounded; cells without a clip are blank.
    """
    of_class = matrix.sum(axis=1, keepdims=True)
    share = matrix / np.maximum(of_class, 1)
    text = np.array([f"{s:.0%}\n{n:.0f}" if n else "" for s, n in zip(share.flat, matrix.flat, strict=True)])
    cell = cell_size(labels)
    figure = Figure(figsize=(cell * len(labels) + 1.8, cell * len(labels) + 1.5), layout="constrained")
    axes = figure.subplots()
    heat_map(share, text.reshape(matrix.shape), labels, axes, cell)
    axes.set_yticklabels([f"{label}\nn = {n:.0f}" for label, n in zip(labels, of_class[:, 0], strict=True)])
    axes.set(xlabel="predicted", ylabel="true")
    style.set_title(figure, title)
    return figure


def reliability(bins: dict[str, np.ndarray], summary: str, title: str) -> Figure:
    """Accuracy by confidence, over the bins of `calibration.reliability`: the larger the dot, the more clips.

    Intervals are Wilson's for a share of so many clips. They take clips as independent, so they are rather too short.

    Args:
        bins: of `calibration.reliability`
        summary: figures of the probabilities
        title: of the picture
    """
    figure = Figure(figsize=(4.6, 5.4), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    counts = np.asarray(bins["count"], float)
    axes.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1, label="perfectly calibrated")
    for n, accuracy, confidence in zip(counts, bins["accuracy"], bins["confidence"], strict=True):
        if n > 0:
            low, high = _wilson(accuracy, n)
            axes.vlines(confidence, low, high, color=style.LIGHT, linewidth=1)
            size = 3 + 6 * float(np.sqrt(n / counts.max()))
            axes.plot(confidence, accuracy, markersize=size, **_dot(style.DARK, hollow=n < FEW_IN_BIN))
    axes.set(ylim=(-0.02, 1.02), xlim=(0, 1), ylabel="accuracy")
    edges = np.asarray(bins["edges"])
    below.bar((edges[:-1] + edges[1:]) / 2, counts, np.diff(edges), color=style.LIGHT_GREY, edgecolor="white")
    below.set(xlabel="confidence", ylabel="clips")
    handles = [
        Line2D([], [], label="clips of a bin, 95 %", **_dot(style.DARK)),
        Line2D([], [], label=f"fewer than {FEW_IN_BIN}", **_dot(style.DARK, hollow=True)),
        *axes.get_legend_handles_labels()[0],
    ]
    figure.legend(handles=handles, fontsize=8, loc="outside lower center", ncols=3, columnspacing=1, handletextpad=0.2)
    style.set_title(figure, f"{title}\n{summary}")
    return figure


def _wilson(share: float, clips: float) -> tuple[float, float]:
    n = max(round(clips), 1)
    interval = binomtest(round(share * n), n).proportion_ci(method="wilson")
    return interval.low, interval.high


def _dot(colour: str, hollow: bool = False) -> dict:
    return {"marker": "o", "linestyle": "", "color": colour, "markerfacecolor": "white" if hollow else colour}


def fairness(result: dict, title: str) -> Figure:
    """UAR by gender and by speaker with their intervals, the worst first, beside the UAR of all clips and chance.

    Speakers whose UAR says little have hollow grey dots. Of many speakers the worst and the best are shown.

    Args:
        result: `by_gender`, `by_speaker`, `overall` and `chance_uar` of an evaluation
        title: of the picture
    """
    colours = dict(zip(result["by_gender"], (style.MIDDLE, style.ORANGE, style.DARK), strict=False))
    rows = _fairness_rows(result)
    figure = Figure(figsize=(6, 0.2 * len(rows) + 1.9), layout="constrained")
    axes = figure.subplots()
    for place, (_, gender, of) in enumerate(rows):
        if of:
            colour = style.GREY if of.get("doubt") else colours.get(gender, style.MIDDLE)
            if of["interval_95"]:
                axes.hlines(place, *of["interval_95"], color=colour, linewidth=1)
            axes.plot(of["uar"], place, markersize=5, **_dot(colour, hollow=bool(of.get("doubt"))))
    axes.axvline(result["overall"]["uar"], color="black", linewidth=1, label="UAR of all clips")
    axes.axvline(result["chance_uar"], color="black", linestyle=":", linewidth=1, label="chance")
    axes.set_yticks(*zip(*[(place, name) for place, (name, _, _) in enumerate(rows) if name], strict=True), fontsize=8)
    axes.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.4, -0.6), xlabel="UAR with 95 % interval")
    handles = axes.get_legend_handles_labels()[0]
    handles += [Line2D([], [], label=name, **_dot(colour)) for name, colour in colours.items()]
    if any(of["doubt"] for of in result["by_speaker"]):
        handles.append(Line2D([], [], label="one emotion only, or few clips", **_dot(style.GREY, hollow=True)))
    figure.legend(handles=handles, fontsize=8, loc="outside lower center", ncols=3)
    style.set_title(figure, title)
    return figure


def _fairness_rows(result: dict) -> list[tuple[str, str, dict]]:
    """Name, gender and figures of each row: genders, an empty one, speakers. A row without figures is a gap."""
    genders = [
        (f"{name} ({of['speakers']} speakers, n = {of['clips']})", name, of) for name, of in result["by_gender"].items()
    ]
    speakers = [
        (f"{of['speaker'].split('/', 1)[-1]} (n = {of['clips']})", of["gender"], of) for of in result["by_speaker"]
    ]
    if (hidden := len(speakers) - MOST_SPEAKERS) > 0:
        half = MOST_SPEAKERS // 2
        speakers = [*speakers[:half], (f"{hidden} further speakers", "", {}), *speakers[-half:]]
    return [*genders, *[("", "", {})] * bool(genders), *speakers]


def layer_weights(weights: pd.DataFrame, title: str) -> Figure:
    """Learned weight of each layer (columns fold, layer, weight): a thin line per fold, a thick one for their mean."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    table = weights[weights["fold"] != "final"].pivot(index="layer", columns="fold", values="weight")
    axes.plot(table.index, table.to_numpy(), color=style.LIGHT, linewidth=1)
    axes.plot(table.index, table.mean(axis=1), color=style.DARK, marker="o", markersize=4, label="mean over folds")
    axes.axhline(1 / len(table), color="black", linestyle=":", linewidth=1, label="equal weights")
    axes.set(xlabel=style.LAYER_AXIS, ylabel="weight", xticks=table.index, ylim=(0, None))
    axes.legend(fontsize=8)
    style.set_title(figure, title)
    return figure
