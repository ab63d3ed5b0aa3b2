"""The picture of one recording's emotions over time."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from speechemb.visualization import style


def timeline(rows: pd.DataFrame, title: str) -> Figure:
    """Probabilities over time as lines, the emotion of each segment as a strip above them.

    `rows`: the segments of one recording in order, with `start` and `end` in seconds, `emotion`, `p_<emotion>` and
    `note`, as predict.py writes them. Segments with a note are grey; lines have a gap where there are no probabilities.
    """
    columns = [column for column in rows.columns if column.startswith("p_")]
    labels = [column.removeprefix("p_") for column in columns]
    colours = style.emotion_colours(np.array(labels))
    width = float(np.clip(len(rows) / 8, 7, 20))
    figure = Figure(figsize=(width, 3.6), layout="constrained")
    strip, lines = figure.subplots(2, sharex=True, height_ratios=[1, 9])
    middle = rows[["start", "end"]].mean(axis=1).to_numpy()
    edges = np.concatenate([rows["start"].iloc[:1], (middle[1:] + middle[:-1]) / 2, rows["end"].iloc[-1:]])
    bars = np.stack([edges[:-1], np.diff(edges)], axis=1)
    for emotion in rows["emotion"].unique():
        colour = colours.get(emotion, style.LIGHT_GREY)
        strip.broken_barh(bars[rows["emotion"] == emotion].tolist(), (0, 1), color=colour, linewidth=0)
    lines.broken_barh(bars[rows["note"] != ""].tolist(), (0, 1), color=style.LIGHT_GREY, alpha=0.5, linewidth=0)
    for column, label in zip(columns, labels, strict=True):
        lines.plot(middle, rows[column].astype(float), color=colours[label], marker=".", markersize=3, linewidth=1.2)
    strip.set(yticks=[], ylim=(0, 1))
    strip.set_ylabel("emotion", rotation=0, ha="right", va="center", fontsize=8)
    lines.set(xlabel="seconds", ylabel="probability", ylim=(0, 1), xlim=(edges[0], edges[-1]))
    handles: list = [
        Line2D([], [], color=colours[label], marker=".", label=label.replace("$", r"\$")) for label in labels
    ]
    handles.append(Patch(color=style.LIGHT_GREY, label="unknown, or with a note"))
    figure.legend(handles=handles, loc="outside right center", fontsize=8, frameon=False)
    style.set_title(figure, _plain(title))
    return figure


def _plain(text: str) -> str:
    """Text without the dollars by which matplotlib recognises a formula."""
    return text.replace("$", r"\$")
