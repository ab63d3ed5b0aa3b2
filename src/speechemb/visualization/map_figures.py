"""Pictures of maps of the embedding space."""

from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from speechemb.labels import display_corpora
from speechemb.visualization import style

MOST_SPEAKERS = 30  # in a legend
POINTS = 8_000, 6.0, 45.0  # area of a dot: 8,000 pt² over the number of clips, within these limits


@dataclass(frozen=True)
class EmbeddingMap:
    """Coordinates of n clips of one encoder, and what their colours show."""

    encoder: str
    corpora: list[str]
    points: np.ndarray  # (n, 2) or (n, 3)
    emotions: np.ndarray  # (n,)
    speakers: np.ndarray  # (n,) `<corpus>/<speaker>`: speaker 01 of two corpora is two people; empty: unknown
    shares: dict[str, str] = field(default_factory=dict)  # what neighbours have in common by emotion and by speaker


def map_pair(one: EmbeddingMap) -> Figure:
    """One map twice, coloured by emotion and by speaker."""
    figure = Figure(figsize=(14, 5.6), layout="constrained")
    projection = "3d" if one.points.shape[1] == 3 else None
    left, right = figure.subplots(1, 2, subplot_kw={"projection": projection})
    title = f"{one.encoder}, {display_corpora(one.corpora)}: {len(one.points)} clips"
    _by_emotion(left, one, f"{title} by emotion")
    _by_speaker(right, one, f"{title} by speaker ({len(set(one.speakers.tolist()) - {''})})")
    return figure


def emotion_grid(maps: list[EmbeddingMap]) -> Figure:
    """Maps of one corpus each in a grid, encoders as rows and corpora as columns, coloured by emotion."""
    figure, places = _grid(maps)
    for axes, one in zip(places, maps, strict=True):
        _by_emotion(axes, one, _cell_title(one))
    return figure


def speaker_grid(maps: list[EmbeddingMap]) -> Figure:
    """The same grid, coloured by speaker."""
    figure, places = _grid(maps)
    for axes, one in zip(places, maps, strict=True):
        _by_speaker(axes, one, _cell_title(one))
    return figure


def _cell_title(one: EmbeddingMap) -> str:
    return f"{one.encoder}\n{display_corpora(one.corpora)}: {len(one.points)} clips"


def _grid(maps: list[EmbeddingMap]) -> tuple[Figure, list[Axes]]:
    """A figure, and the place of each map in it; places without a map stay blank. A single map is larger."""
    encoders = list(dict.fromkeys(one.encoder for one in maps))
    corpora = list(dict.fromkeys(one.corpora[0] for one in maps))
    side = 6 if len(maps) == 1 else 4.2
    figure = Figure(figsize=((side + 1.2) * len(corpora), side * len(encoders)), layout="constrained")
    grid = figure.subplots(len(encoders), len(corpora), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    places = [grid[encoders.index(one.encoder), corpora.index(one.corpora[0])] for one in maps]
    for axes in places:
        axes.set_axis_on()
    return figure, places


def _by_emotion(axes: Axes, one: EmbeddingMap, title: str) -> None:
    markers = style.emotion_markers(one.emotions)
    _scatter(axes, one.points, one.emotions, style.emotion_colours(one.emotions), markers, {})
    _legend(axes, len(markers))
    _title(axes, title, one.shares.get("emotion", ""))


def _by_speaker(axes: Axes, one: EmbeddingMap, title: str) -> None:
    colours = style.speaker_colours(one.speakers)
    names = {"": "unknown"}
    if len(one.corpora) == 1:
        names |= {speaker: speaker.split("/", 1)[1] for speaker in colours if speaker}
    _scatter(axes, one.points, one.speakers, colours, {}, names)
    unknown = int((one.speakers == "").sum())
    if unknown:
        title += f"; grey: {unknown} clips of unknown speakers"
    if len(colours) <= MOST_SPEAKERS:
        _legend(axes, len(colours))
    else:
        title += "; too many for a legend"
    _title(axes, title, one.shares.get("speaker", ""))


def _legend(axes: Axes, n: int) -> None:
    """Beside the map, where it hides no point; dots of one size, whatever theirs is."""
    legend = axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False, ncols=1 + (n > 16))
    for handle in legend.legend_handles:
        if handle:
            handle.set(sizes=[30], alpha=1)


def _title(axes: Axes, title: str, share: str) -> None:
    axes.set_title("\n".join(filter(None, [title, share])), fontsize=9)


def _scatter(
    axes: Axes, points: np.ndarray, values: np.ndarray, colours: dict, markers: dict[str, str], names: dict[str, str]
) -> None:
    """Points on given axes, one colour per value; where it has them, a marker and a name in the legend."""
    total, smallest, largest = POINTS
    size = float(np.clip(total / len(points), smallest, largest))
    for value, colour in colours.items():
        inside = values == value
        look = {"depthshade": False} if points.shape[1] == 3 else {}
        look |= {"s": size, "color": colour, "marker": markers.get(value, "o"), "alpha": 0.8, "linewidths": 0}
        axes.scatter(*points[inside].T, label=names.get(value, value), **look)
    axes.set_xticks([])
    axes.set_yticks([])
    if points.shape[1] == 3:
        axes.set(zticks=[])
        for name in ("xaxis", "yaxis", "zaxis"):
            axis = getattr(axes, name)
            axis.set_pane_color((1, 1, 1, 0))
            axis.line.set_color(style.GREY)
