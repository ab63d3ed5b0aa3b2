"""The picture of changed recordings: what each change does to the UAR of one or several runs."""

import pandas as pd
from matplotlib.figure import Figure

from speechemb.visualization import style


def robustness(table: pd.DataFrame) -> Figure:
    """Change of UAR with its interval, one panel per run, one row per change; at the right, answers that stay.

    Columns: run, change, uar_clean, difference, difference_low, difference_high, unchanged.
    """
    runs = list(table.groupby("run", sort=False))
    names = list(dict.fromkeys(table["change"]))
    figure = Figure(figsize=(2.1 + 2.9 * len(runs), 0.24 * len(names) + 1.5), layout="constrained")
    panels = figure.subplots(1, len(runs), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (run, rows) in zip(panels, runs, strict=True):
        places = [names.index(name) for name in rows["change"]]
        axes.axvline(0, color="black", linestyle=":", linewidth=1)
        axes.hlines(places, rows["difference_low"], rows["difference_high"], color=style.LIGHT, linewidth=3)
        axes.plot(rows["difference"], places, "o", color=style.DARK, markersize=4)
        axes.grid(axis="y", color=style.LIGHT_GREY, linewidth=0.4)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8)
        axes.set_xlabel("change of UAR, 95 % interval", fontsize=8)
        axes.set_title(panel_title(str(run), rows["uar_clean"].iloc[0]), fontsize=8, loc="left")
        right = axes.secondary_yaxis("right")
        right.set_yticks(places, [f"{share:.0%}" for share in rows["unchanged"]], fontsize=7)
        right.tick_params(length=0)
    panels[0].set_yticks(range(len(names)), names, fontsize=8)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    figure.supxlabel("right of each panel: share of answers that stay the same", fontsize=8)
    return figure


def panel_title(run: str, uar: float) -> str:
    """A run's name in lines that fit a panel, and its UAR on clean clips."""
    words, lines = run.split("-"), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 30:
            lines.append("")
        lines[-1] += ("-" if lines[-1] else "") + word
    return "\n".join([*lines, f"clean: UAR {uar:.3f}"])
