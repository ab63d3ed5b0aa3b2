"""Charts of the report as plotly.js takes them: a dict with `data`, `layout` and `words`, the chart in one sentence.

Colours of text, grid and background are left to the page, which has a light and a dark theme. Text that comes from data
is escaped: plotly.js reads some HTML in labels.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from speechemb.visualization import style
from speechemb.visualization.comparison_figures import AUDIT_COLOURS, VERDICTS, RankingPanel, audit_kind

Chart = dict[str, Any]
MOST_POINTS = 2000
_NO_VERDICT = style.GREY
_SYMBOLS = {"o": "circle", "v": "triangle-down", "s": "square", "^": "triangle-up", "D": "diamond", "X": "x"}
_SYMBOLS |= {"P": "cross", "*": "star", "<": "triangle-left", ">": "triangle-right", "h": "hexagon", "p": "pentagon"}
_SEVERAL = (style.BLUE, style.RED, "#009E73", "#CC79A7", style.ORANGE, "#56B4E9", style.GREY)


def plain(text: str) -> str:
    """Text that plotly.js shows as it is."""
    return escape(text, quote=False)


def looks(emotions: NDArray[np.str_]) -> dict[str, dict[str, str]]:
    """Colour and symbol of each emotion, and of right and wrong answers, on the map."""
    markers = style.emotion_markers(emotions)
    found = {
        name: {"colour": colour, "symbol": _SYMBOLS.get(markers[name], "circle")}
        for name, colour in style.emotion_colours(emotions).items()
    }
    right, wrong = {"colour": style.BLUE, "symbol": "circle"}, {"colour": style.RED, "symbol": "x"}
    return {"right": right, "wrong": wrong, **found}


def ranking(panel: RankingPanel) -> Chart:
    """UAR with its interval of comparable runs, best on top; colours and markers are verdicts."""
    marks = [VERDICTS.get(verdict, (_NO_VERDICT, "D")) for verdict in panel.verdicts]
    colours = ["#777777" if colour == "black" else colour for colour, _ in marks]
    symbols = [_SYMBOLS.get(marker, "diamond") for _, marker in marks]
    trace = _with_intervals(panel.names, panel.uar, panel.intervals, panel.verdicts)
    trace |= {"type": "scatter", "mode": "markers", "marker": {"color": colours, "symbol": symbols, "size": 9}}
    words = f"UAR with 95 % interval of {len(panel.names)} runs; the best is {panel.names[0]} with {panel.uar[0]:.3f}"
    return {"data": [trace], "layout": _rows(len(panel.names), panel.chance), "words": words}


def audit(rows: pd.DataFrame) -> Chart:
    """UAR of one classifier under every protocol and leakage; columns name, protocol, leak, uar, uar_low, uar_high."""
    kinds = [audit_kind(*of) for of in zip(rows["protocol"], rows["leak"], strict=True)]
    intervals = list(zip(rows["uar_low"], rows["uar_high"], strict=True))
    trace = _with_intervals(rows["name"].tolist(), rows["uar"].tolist(), intervals, kinds)
    trace |= {"type": "bar", "orientation": "h", "marker": {"color": [AUDIT_COLOURS[kind] for kind in kinds]}}
    layout = _rows(len(rows), None)
    layout["xaxis"]["range"] = [0, 1]
    return {"data": [trace], "layout": layout, "words": f"UAR under {len(rows)} ways of dividing the clips"}


def _with_intervals(
    names: Sequence[str], values: Sequence[float], intervals: Sequence[tuple[float, float]], notes: Iterable[str]
) -> Chart:
    """A trace with a row per name; rows of the same name stay apart, because rows are numbered."""
    lows, highs = np.array(intervals, dtype=float).T
    spans = ["no interval" if np.isnan(low) else f"{low:.3f} to {high:.3f}" for low, high in intervals]
    return {
        "x": _listed(values),
        "y": [f"{place + 1}. {plain(name)}" for place, name in enumerate(names)],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "color": "#888888",
            "array": _listed(np.nan_to_num(highs - np.array(values))),
            "arrayminus": _listed(np.nan_to_num(np.array(values) - lows)),
        },
        "hovertext": [
            f"{plain(name)}<br>UAR {value:.3f}, {span}<br>{plain(note)}"
            for name, value, span, note in zip(names, values, spans, notes, strict=True)
        ],
        "hoverinfo": "text",
    }


def _rows(n: int, chance: float | None) -> Chart:
    lines = [] if chance is None else [_line(x0=chance, x1=chance, y0=0, y1=1, yref="paper")]
    x_axis = {"title": {"text": "UAR" if chance is None else f"UAR (dotted: chance {chance:.3f})"}}
    y_axis = {"autorange": "reversed", "automargin": True}
    return {"height": 110 + 26 * n, "xaxis": x_axis, "yaxis": y_axis, "shapes": lines, "showlegend": False}


def layer_curves(curves: dict[str, pd.DataFrame]) -> Chart:
    """UAR by layer of several encoders, with 95 % bands; columns layer, uar, uar_low, uar_high, chance_uar."""
    data: list[Chart] = []
    for (name, curve), colour in zip(curves.items(), _cycled(len(curves)), strict=True):
        there = curve[curve["uar_low"].notna()]
        around = {"x": _listed([*there["layer"], *there["layer"][::-1]])}
        around["y"] = _listed([*there["uar_high"], *there["uar_low"][::-1]])
        data.append({**around, "fill": "toself", "fillcolor": colour, "opacity": 0.15, "line": {"width": 0}})
        data[-1] |= {"hoverinfo": "skip", "showlegend": False, "type": "scatter", "mode": "lines"}
        texts = [
            f"{plain(name)}<br>layer {layer}: UAR {uar:.3f}"
            for layer, uar in zip(curve["layer"], curve["uar"], strict=True)
        ]
        line = {"x": _listed(curve["layer"]), "y": _listed(curve["uar"]), "name": plain(name), "hovertext": texts}
        data.append({**line, "type": "scatter", "mode": "lines+markers", "line": {"color": colour}})
        data[-1] |= {"hoverinfo": "text"}
    axes = {"xaxis": {"title": {"text": style.LAYER_AXIS}, "dtick": 1}, "yaxis": {"title": {"text": "UAR"}}}
    best = ", ".join(f"{name}: layer {curve.loc[curve['uar'].idxmax(), 'layer']}" for name, curve in curves.items())
    return {"data": data, "layout": {"height": 420, **axes, **_LEGEND}, "words": f"UAR by layer; best, {best}"}


_LEGEND = {"legend": {"orientation": "h", "y": -0.2}}


def _cycled(n: int) -> list[str]:
    return [_SEVERAL[i % len(_SEVERAL)] for i in range(n)]


def scatter(true: NDArray[np.float64], predicted: NDArray[np.float64], name: str) -> Chart:
    """Predicted against true numbers (n,), with the diagonal; of many clips `MOST_POINTS` drawn at random."""
    low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
    some = np.random.default_rng(0).permutation(len(true))[:MOST_POINTS]
    trace = {"type": "scatter", "mode": "markers", "x": _listed(true[some]), "y": _listed(predicted[some])}
    trace |= {"marker": {"color": style.BLUE, "size": 5, "opacity": 0.35}, "hoverinfo": "x+y"}
    axes: Chart = {"xaxis": {"title": {"text": f"true {name}"}}, "yaxis": {"title": {"text": f"predicted {name}"}}}
    axes["shapes"] = [_line(x0=low, x1=high, y0=low, y1=high)]
    words = f"predicted against true {name} of {len(some)} clips"
    return {"data": [trace], "layout": {"height": 420, **axes, "showlegend": False}, "words": words}


def recall(names: list[str], values: Sequence[float], notes: Iterable[str], what: str) -> Chart:
    """Recall of each class or UAR of each speaker, as bars."""
    trace = {"type": "bar", "x": [plain(name) for name in names], "y": _listed(values), "hoverinfo": "text"}
    trace |= {"marker": {"color": style.BLUE}, "hovertext": [plain(note) for note in notes]}
    axes = {"xaxis": {"type": "category", "automargin": True}, "yaxis": {"range": [0, 1], "title": {"text": what}}}
    lowest = f"; the lowest is {names[int(np.argmin(values))]} with {min(values):.3f}" if len(values) else ""
    return {"data": [trace], "layout": {"height": 280, **axes}, "words": f"{what} of {len(names)}{lowest}"}


def reliability(bins: dict[str, Any], error: float) -> Chart:
    """Accuracy by confidence; a bar is as opaque as its bin is full."""
    edges, count = np.array(bins["edges"], dtype=float), np.array(bins["count"], dtype=float)
    full = count > 0
    accuracy = np.array(bins["accuracy"], dtype=float)[full]
    trace = {
        "type": "bar",
        "x": _listed(((edges[:-1] + edges[1:]) / 2)[full]),
        "y": _listed(accuracy),
        "width": float(edges[1] - edges[0]),
        "marker": {"color": style.BLUE, "opacity": _listed(0.25 + 0.75 * count[full] / count.max())},
        "hovertext": [f"{n:.0f} clips, accuracy {value:.3f}" for n, value in zip(count[full], accuracy, strict=True)],
        "hoverinfo": "text",
    }
    axes: Chart = {"xaxis": {"range": [0, 1], "title": {"text": "confidence"}}}
    axes |= {"yaxis": {"range": [0, 1], "title": {"text": "accuracy"}}, "shapes": [_line(x0=0, x1=1, y0=0, y1=1)]}
    words = f"accuracy by confidence; expected calibration error {error:.3f}"
    return {
        "data": [trace],
        "layout": {"height": 300, **axes, "shapes": [_line(x0=0, x1=1, y0=0, y1=1)]},
        "words": words,
    }


def risk_coverage(curve: dict[str, NDArray[np.float64]]) -> Chart:
    """Share of wrong answers among those from some confidence on; `curve` is of `calibration.risk_coverage`."""
    there = curve["coverage"] > 0
    confidence, coverage, risk = (curve[name][there] for name in ("thresholds", "coverage", "risk"))
    texts = [
        f"from confidence {t:.2f} on: answers to {c:.0%} of the clips, {r:.1%} of them wrong"
        for t, c, r in zip(confidence, coverage, risk, strict=True)
    ]
    trace = {"type": "scatter", "mode": "lines+markers", "x": _listed(coverage), "y": _listed(risk)}
    trace |= {"line": {"color": style.RED}, "marker": {"size": 4}, "hovertext": texts, "hoverinfo": "text"}
    axes: Chart = {"xaxis": {"range": [0, 1], "title": {"text": "coverage: share of clips answered"}}}
    axes["yaxis"] = {"rangemode": "tozero", "title": {"text": "risk: share of wrong answers"}}
    half = int(np.abs(coverage - 0.5).argmin())
    words = f"answering all clips, {risk[0]:.1%} are wrong; answering the surest {coverage[half]:.0%}, {risk[half]:.1%}"
    return {"data": [trace], "layout": {"height": 300, **axes}, "words": words}


def _line(**ends: Any) -> Chart:
    return {"type": "line", **ends, "line": {"dash": "dot", "width": 1, "color": "#888888"}}


def _listed(values: Any) -> list[float]:
    """Plain numbers with six digits: what JSON takes, and what a picture shows."""
    return [float(f"{value:.6g}") for value in np.asarray(values, dtype=float)]
