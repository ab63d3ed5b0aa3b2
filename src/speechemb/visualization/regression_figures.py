"""The picture of a run on numbers: predicted against true."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from speechemb.visualization import style

FEW = 12  # different true numbers up to which they are drawn as steps, with the spread of the predictions at each


class Panel(NamedTuple):
    """One target: its title, and the true and predicted numbers (n,) of the clips."""

    title: str
    true: np.ndarray
    predicted: np.ndarray


def scatter(panels: list[Panel], title: str) -> Figure:
    """A panel per target: a point per clip, the diagonal, and where true numbers are few, median and quartiles."""
    figure = Figure(figsize=(4.2 * len(panels), 4.4), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        low = min(panel.true.min(), panel.predicted.min())
        high = max(panel.true.max(), panel.predicted.max())
        margin = 0.04 * (high - low)
        values = np.unique(panel.true)
        axes.plot([low, high], [low, high], color=style.GREY, linewidth=1, linestyle=":", zorder=1)
        axes.scatter(
            panel.true, panel.predicted, s=8, color=style.BLUE, alpha=0.25, linewidths=0, rasterized=True, zorder=2
        )
        if len(values) <= FEW:
            quartiles = np.array([np.percentile(panel.predicted[panel.true == one], (25, 50, 75)) for one in values])
            reach = np.abs(quartiles[:, [0, 2]] - quartiles[:, [1]]).T
            axes.errorbar(values, quartiles[:, 1], reach, color=style.RED, fmt="o", capsize=4, zorder=3)
        axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
        axes.set(xlabel="true", ylabel="predicted", aspect="equal")
        axes.set_title(panel.title, fontsize=9)
    style.set_title(figure, title)
    return figure
