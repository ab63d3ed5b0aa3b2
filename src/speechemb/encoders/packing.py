"""Clips of any lengths as the rows of one matrix (frames of all clips, D), without padding."""

from itertools import groupby

import torch

TOGETHER = 512  # frames of equally long clips that go through attention together

Stretches = list[tuple[int, int]]  # (clips, frames of each) of neighbouring clips of equal length


def stretches_of(frames: list[int]) -> Stretches:
    """The stretches of clips with these numbers of frames, each of at most TOGETHER frames or of one clip."""
    stretches = []
    for length, group in groupby(frames):
        clips, most = len(list(group)), max(1, TOGETHER // length)
        stretches += [(min(most, clips - i), length) for i in range(0, clips, most)]
    return stretches


def split(packed: torch.Tensor, stretches: Stretches) -> list[torch.Tensor]:
    """(frames of all clips, D) -> one view (n, T, D) per stretch."""
    parts = packed.split([clips * frames for clips, frames in stretches])
    return [part.view(clips, frames, -1) for part, (clips, frames) in zip(parts, stretches, strict=True)]
