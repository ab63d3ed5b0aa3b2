"""Pictures of maps of the embedding space."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from speechemb.labels import display_corpora
from speechemb.visualization import style


@dataclass(frozen=True)
class EmbeddingMap:
    """Coordinates of n clips of one encoder, and what their colours show."""

    encoder: str
    corpora: list[str]
    points: np.ndarray  # (n, 2) or (n, 3)
    emotions: np.ndarray  # (n,)
    speakers: np.ndarray  # (n,) `<corpus>/<speaker>`: speaker 01 of two corpora is two people; empty: unknown


def map_pair(one: EmbeddingMap) -> Figure:
    """One map twice, coloured by emotion and by speaker."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    projection = "3d" if one.points.shape[1] == 3 else None
    left, right = figure.subplots(1, 2, subplot_kw={"projection": projection})
    title = f"{one.encoder}, {display_corpora(one.corpora)}: {len(one.points)} clips"
    _by_emotion(left, one, f"{title} by emotion")
    known = set(one.speakers.tolist()) - {""}
    _by_speaker(right, one, f"{title} by speaker ({len(known)})")
    return figure


def emotion_grid(maps: list[EmbeddingMap]) -> Figure:
    """Maps of one corpus each in a grid, encoders as rows and corpora as columns, coloured by emotion."""
    figure, places = _grid(maps)
    for axes, one in zip(places, maps, strict=True):
        _by_emotion(axes, one, f"{one.encoder}, {display_corpora(one.corpora)}, by emotion")
    return figure


def speaker_grid(maps: list[EmbeddingMap]) -> Figure:
    """The same grid, coloured by speaker."""
    figure, places = _grid(maps)
    for axes, one in zip(places, maps, strict=True):
        _by_speaker(axes, one, f"{one.encoder}, {display_corpora(one.corpora)}, by speaker")
    return figure


def _grid(maps: list[EmbeddingMap]) -> tuple[Figure, list[Axes]]:
    """A figure, and the place of each map in it; places without a map stay blank."""
    encoders = list(dict.fromkeys(one.encoder for one in maps))
    corpora = list(dict.fromkeys(one.corpora[0] for one in maps))
    figure = Figure(figsize=(4 * len(corpora) + 0.5, 4 * len(encoders)), layout="constrained")
    grid = figure.subplots(len(encoders), len(corpora), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    places = [grid[encoders.index(one.encoder), corpora.index(one.corpora[0])] for one in maps]
    for axes in places:
        axes.set_axis_on()
    return figure, places


def _by_emotion(axes: Axes, one: EmbeddingMap, title: str) -> None:
    _scatter(axes, one.points, one.emotions, style.emotion_colours(one.emotions), title)
    axes.legend(fontsize=7, markerscale=2.5, loc="best")


def _by_speaker(axes: Axes, one: EmbeddingMap, title: str) -> None:
    unknown = int((one.speakers == "").sum())
    if unknown:
        title += f"; grey: {unknown} clips of unknown speakers"
    _scatter(axes, one.points, one.speakers, style.speaker_colours(one.speakers), title)


def _scatter(axes: Axes, points: np.ndarray, values: np.ndarray, colours: dict[str, str], title: str) -> None:
    """Points on given axes, one colour per value."""
    for value, colour in colours.items():
        inside = values == value
        axes.scatter(*points[inside].T, s=6, color=colour, label=value, alpha=0.75, linewidths=0)
    axes.set_xticks([])
    axes.set_yticks([])
    if points.shape[1] == 3:
        axes.set(zticks=[])
    axes.set_title(title, fontsize=8)
