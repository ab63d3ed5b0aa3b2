"""Arrays in, matplotlib figures out; no file is read or written here."""

import matplotlib

matplotlib.use("Agg")  # no display on a server or in a Codespace

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure


def confusion_matrix(matrix: np.ndarray, labels: list[str], title: str) -> Figure:
    """Counts (K, K), rounded where they are means of repeats, as numbers on the share of each true class as colour."""
    matrix = np.asarray(matrix)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    text = np.array(
        [[f"{s:.0%}\n{n:.0f}" for s, n in zip(*rows, strict=True)] for rows in zip(share, matrix, strict=True)]
    )
    size = 2.2 + 0.75 * len(labels)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    sns.heatmap(share, annot=text, fmt="", cmap="Blues", vmin=0, vmax=1, xticklabels=labels, yticklabels=labels,
                cbar=False, annot_kws={"size": 8}, square=True, ax=axes)  # fmt: skip
    axes.set(xlabel="predicted", ylabel="true")
    axes.tick_params(axis="y", rotation=0)
    axes.set_title(title, fontsize=8)
    return figure


def reliability(bins: dict[str, np.ndarray], error: float, title: str) -> Figure:
    """How often answers of some confidence are right, over the bins of `metrics.reliability`; their counts below."""
    figure = Figure(figsize=(4.2, 4.8), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    middle, width = (bins["edges"][:-1] + bins["edges"][1:]) / 2, np.diff(bins["edges"])
    axes.bar(middle, np.nan_to_num(bins["accuracy"]), width, color="#9ecae1", edgecolor="white", label="right answers")
    axes.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1, label="perfectly calibrated")
    axes.plot(bins["confidence"], bins["accuracy"], "o", color="#08306b", markersize=4, label="mean of the bin")
    axes.set(ylim=(0, 1), xlim=(0, 1), ylabel="share of right answers")
    axes.legend(fontsize=8, loc="upper left", title=f"calibration error {error:.3f}", title_fontsize=8)
    below.bar(middle, bins["count"], width, color="#cccccc", edgecolor="white")
    below.set(xlabel="confidence", ylabel="clips")
    axes.set_title(title, fontsize=8)
    return figure


def fairness(result: dict, title: str) -> Figure | None:
    """UAR by gender and by speaker with their intervals, beside the UAR of all and chance; None without speakers."""
    genders, speakers = result["by_gender"], result["by_speaker"]
    if not speakers:
        return None
    rows = [(f"{name}: {len_} speakers", name, of) for name, of in genders.items() for len_ in [of["speakers"]]]
    rows += [(of["speaker"].split("/")[-1], of["gender"], of) for of in speakers]
    figure = Figure(figsize=(2.5 + 0.22 * len(rows), 4), layout="constrained")
    axes = figure.subplots()
    colours = dict(zip(sorted({gender for _, gender, _ in rows}), ("#3182bd", "#E69F00", "#999999"), strict=False))
    for place, (_, gender, of) in enumerate(rows):
        gap = place + (place >= len(genders) > 0)
        axes.bar(gap, of["uar"], 0.8, color=colours.get(gender, "#999999"))
        if of["interval_95"]:
            axes.vlines(gap, *of["interval_95"], color="black", linewidth=0.8)
    places = [place + (place >= len(genders) > 0) for place in range(len(rows))]
    axes.axhline(result["overall"]["uar"], color="black", linewidth=1, label="UAR of all")
    axes.axhline(result["chance_uar"], color="black", linestyle=":", linewidth=1, label="chance")
    axes.set_xticks(places, [name for name, _, _ in rows], rotation=90, fontsize=7)
    axes.margins(x=0.01)
    axes.set(ylim=(0, 1), ylabel="UAR")
    axes.legend(fontsize=8, loc="upper left", ncols=2)
    axes.set_title(title, fontsize=8)
    return figure


def layer_weights(weights, title: str) -> Figure:
    """Learned weights of each layer (columns fold, layer, weight): a thin line a fold, the mean over folds thick."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    table = weights[weights["fold"] != "final"].pivot(index="layer", columns="fold", values="weight")
    axes.plot(table.index, table.to_numpy(), color="#9ecae1", linewidth=1)
    axes.plot(table.index, table.mean(axis=1), color="#08306b", marker="o", markersize=4, label="mean over folds")
    axes.axhline(1 / len(table), color="black", linestyle=":", linewidth=1, label="equal weights")
    axes.set(xlabel="layer (0: the transformer's input)", ylabel="weight", xticks=table.index, ylim=(0, None))
    axes.legend(fontsize=8)
    axes.set_title(title, fontsize=8)
    return figure


def ranking(groups: list) -> Figure:
    """UAR and interval of every run, best on top, one panel per group (`significance.Ranked`)."""
    heights = [0.35 * len(group.runs) + 0.8 for group in groups]
    figure = Figure(figsize=(9, sum(heights) + 0.3), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, group in zip(panels, groups, strict=True):
        runs = group.result["runs"]
        axes.plot([run["value"] for run in runs], range(len(runs)), "o", color="#08306b")
        for place, run in enumerate(runs):
            axes.hlines(place, *group.intervals[run["name"]], color="#08306b", linewidth=1)
        axes.set_yticks(range(len(runs)), [run["name"] for run in runs], fontsize=7)
        axes.set(ylim=(len(runs) - 0.5, -0.5), xlabel="UAR with 95 % interval")
        axes.set_title(f"{group.corpora}, {group.classes} classes, {group.protocol}: {group.basis}", fontsize=8)
    return figure


def layer_curve(curve, title: str) -> Figure:
    """UAR of each layer with its 95 % interval (columns layer, uar, uar_low, uar_high, chance_uar)."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(curve["layer"], curve["uar_low"], curve["uar_high"], color="#c6dbef", label="95 % over speakers")
    axes.plot(curve["layer"], curve["uar"], color="#08306b", marker="o", markersize=4)
    axes.axhline(curve["chance_uar"].iloc[0], color="black", linestyle=":", linewidth=1, label="chance")
    axes.set(xlabel="layer (0: the transformer's input)", ylabel="UAR", xticks=curve["layer"], ylim=(0, 1))
    axes.legend(fontsize=8)
    axes.set_title(title, fontsize=8)
    return figure


def cross_corpus(matrix: np.ndarray, corpora: list[str], title: str) -> Figure:
    """UAR (n, n) of training corpus (row) x test corpus (column); NaN where nothing was tested."""
    size = 2.5 + 0.9 * len(corpora)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    sns.heatmap(matrix, annot=True, fmt=".3f", cmap="viridis", vmin=0, vmax=1, mask=np.isnan(matrix), square=True,
                xticklabels=corpora, yticklabels=corpora, cbar_kws={"label": "UAR"}, ax=axes)  # fmt: skip
    axes.set(xlabel="tested on", ylabel="trained on")
    axes.set_title(title, fontsize=8)
    return figure


def audit(table) -> Figure:
    """UAR of the same classifier under every protocol and mistake, one panel per value of `panel`, one bar per row."""
    groups = list(table.groupby("panel", sort=False))
    heights = [0.3 * len(rows) + 0.7 for _, rows in groups]
    figure = Figure(figsize=(8, sum(heights) + 0.3), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (panel, rows) in zip(panels, groups, strict=True):
        colours = ["#D55E00" if leak else "#0072B2" if p == "speaker" else "#9ecae1"
                   for p, leak in zip(rows["protocol"], rows["leak"], strict=True)]  # fmt: skip
        places = range(len(rows))
        axes.barh(places, rows["uar"], color=colours)
        axes.hlines(places, rows["uar_low"], rows["uar_high"], color="black", linewidth=1)
        axes.set_yticks(places, rows["name"], fontsize=8)
        axes.set(xlim=(0, 1), xlabel="UAR")
        axes.set_title(panel, fontsize=8)
    return figure
