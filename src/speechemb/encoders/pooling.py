"""Masked pooling: the frames of a clip become one vector; padding frames never count.

A long recording is cut into windows, and pooling gives the same as for the whole recording: `frame_statistics` of
each window -> `merge` the windows of one recording, in order -> `pool`. Everything is computed in float32, whatever
the precision of the encoder.
"""

import torch

from speechemb.encoders import POOLINGS

# What the methods need of each window. "n" (number of frames) is always there, as the weight in `merge`.
Statistics = dict[str, torch.Tensor]


def frame_statistics(hidden: torch.Tensor, lengths: torch.Tensor | None, methods: list[str]) -> Statistics:
    """Statistics over the first `lengths[b]` frames of each clip, or over all frames if `lengths` is None.

    `hidden` (B, T, D) floating point, `lengths` (B,) integer, 1 <= lengths <= T. Returns float32 tensors: `n` (B, 1)
    and, as the methods need them, `mean`, `m2` (sum of squared deviations from the mean), `max`, `first`, `last`,
    each (B, D).
    """
    unknown = sorted(set(methods) - set(POOLINGS))
    if unknown:
        raise ValueError(f"unknown pooling {', '.join(unknown)}: choose from {', '.join(POOLINGS)}")
    padding = None
    if lengths is None:
        lengths = torch.full((len(hidden),), hidden.shape[1], device=hidden.device)
    else:
        padding = (torch.arange(hidden.shape[1], device=hidden.device) >= lengths[:, None])[:, :, None]  # (B, T, 1)
    n = lengths[:, None].float()
    statistics = {"n": n}
    if "first" in methods:
        statistics["first"] = hidden[:, 0].float()
    if "last" in methods:
        statistics["last"] = hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1].float()
    if "max" in methods:
        shown = hidden if padding is None else hidden.masked_fill(padding, -torch.inf)
        statistics["max"] = shown.amax(dim=1).float()
    if "mean" in methods or "std" in methods:
        # masked_fill, not a product with the mask: a padding frame may be NaN
        shown = hidden if padding is None else hidden.masked_fill(padding, 0)
        statistics["mean"] = shown.sum(dim=1, dtype=torch.float32) / n
    if "std" in methods:
        deviation = hidden.float() - statistics["mean"][:, None]
        if padding is not None:
            deviation = deviation.masked_fill(padding, 0)
        statistics["m2"] = deviation.square_().sum(dim=1)
    return statistics


def merge(windows: list[Statistics]) -> Statistics:
    """Statistics of recordings, from those of their consecutive windows.

    Means and squared deviations are combined by the formula of Chan, Golub & LeVeque (1979), which avoids the
    cancellation of a difference of sums of squares.
    """
    merged = dict(windows[0])
    for window in windows[1:]:
        n = merged["n"] + window["n"]
        if "mean" in merged:
            delta = window["mean"] - merged["mean"]
            if "m2" in merged:
                merged["m2"] = merged["m2"] + window["m2"] + delta.square() * (merged["n"] * window["n"] / n)
            merged["mean"] = merged["mean"] + delta * (window["n"] / n)
        if "max" in merged:
            merged["max"] = torch.maximum(merged["max"], window["max"])
        if "last" in merged:
            merged["last"] = window["last"]
        merged["n"] = n
    return merged


def pool(statistics: Statistics, methods: list[str]) -> torch.Tensor:
    """(B, len(methods) * D) float32: the methods side by side, in the order of `methods`; std is the population's."""
    parts = [
        (statistics["m2"] / statistics["n"]).sqrt() if method == "std" else statistics[method] for method in methods
    ]
    return torch.cat(parts, dim=1)
