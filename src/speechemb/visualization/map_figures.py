"""Pictures of maps of the embedding space."""

import numpy as np
from matplotlib.figure import Figure

from speechemb.labels import display_corpora
from speechemb.visualization.style import colours_by


def scatter(axes, points: np.ndarray, values: np.ndarray, colours: dict[str, str], title: str, legend: bool) -> None:
    """A map (n, 2) or (n, 3) on given axes, one colour a value."""
    for value, colour in colours.items():
        chosen = values == value
        if chosen.any():
            axes.scatter(*points[chosen].T, s=6, color=colour, label=value, alpha=0.75, linewidths=0)
    axes.set_xticks([])
    axes.set_yticks([])
    if points.shape[1] == 3:
        axes.set_zticks([])
    axes.set_title(title, fontsize=8)
    if legend:
        axes.legend(fontsize=7, markerscale=2.5, loc="best")


def map_pair(frame, axes_names: tuple[str, ...]) -> Figure:
    """One map twice, coloured by emotion and by speaker; `axes_names` are its two or three coordinate columns."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    projection = "3d" if len(axes_names) == 3 else None
    axes = figure.subplots(1, 2, subplot_kw={"projection": projection})
    points = frame[list(axes_names)].to_numpy()
    name = f"{frame['encoder'].iloc[0]}, {display_corpora(sorted(set(frame['corpus'])))}"
    for one, what in zip(axes, ("emotion", "speaker"), strict=True):
        values = frame[what].to_numpy()
        title = f"{name}: {len(frame)} clips by {what}" + (f" ({len(set(values))})" if what == "speaker" else "")
        scatter(one, points, values, colours_by(what, values), title, legend=what == "emotion")
    return figure


def map_grid(cells: list, what: str) -> Figure:
    """Maps in a grid, encoders as rows and corpora as columns, coloured by `what`."""
    encoders = list(dict.fromkeys(cell["encoder"].iloc[0] for cell in cells))
    corpora = list(dict.fromkeys(cell["map"].iloc[0] for cell in cells))
    figure = Figure(figsize=(4 * len(corpora) + 0.5, 4 * len(encoders)), layout="constrained")
    grid = figure.subplots(len(encoders), len(corpora), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for cell in cells:
        encoder, corpus = cell["encoder"].iloc[0], cell["map"].iloc[0]
        axes = grid[encoders.index(encoder), corpora.index(corpus)]
        axes.set_axis_on()
        values = cell[what].to_numpy()
        title = f"{encoder}, {display_corpora([corpus])}, by {what}"
        scatter(axes, cell[["x", "y"]].to_numpy(), values, colours_by(what, values), title, legend=what == "emotion")
    return figure
