"""Pooling against numpy on each clip alone."""

import numpy as np
import pytest
import torch

from speechemb.encoders.pooling import POOLINGS, frame_statistics, merge, pool

LENGTHS = [7, 1, 12, 5]


def expected(clip: np.ndarray, methods) -> np.ndarray:
    """What numpy makes of one clip's frames (T, D), in float64."""
    clip = clip.astype(np.float64)
    known = {"mean": clip.mean(0), "std": clip.std(0), "max": clip.max(0), "first": clip[0], "last": clip[-1]}
    return np.concatenate([known[method] for method in methods])


@pytest.fixture
def clips() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(100 + rng.standard_normal((length, 6))).astype(np.float32) for length in LENGTHS]


def padded(clips: list[np.ndarray], value: float) -> torch.Tensor:
    batch = torch.full((len(clips), max(map(len, clips)) + 2, clips[0].shape[1]), value)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    return batch


@pytest.mark.parametrize("methods", [list(POOLINGS), ["last", "std"], ["max"], ["std"]])
@pytest.mark.parametrize("padding", [0.0, 1e6, float("nan")])
def test_pools_the_valid_frames_only(clips, methods, padding):
    statistics = frame_statistics(padded(clips, padding), torch.tensor(LENGTHS), methods)
    pooled = pool(statistics, methods)
    assert pooled.dtype == torch.float32
    np.testing.assert_allclose(pooled.numpy(), [expected(clip, methods) for clip in clips], rtol=1e-5, atol=1e-5)


def test_without_lengths_every_frame_counts():
    hidden = torch.randn(3, 9, 4)
    pooled = pool(frame_statistics(hidden, None, list(POOLINGS)), list(POOLINGS))
    wanted = [expected(clip, POOLINGS) for clip in hidden.numpy()]
    np.testing.assert_allclose(pooled.numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_windows_merge_to_the_whole_recording(clips):
    """Unequal windows of a signal with a large offset, where a difference of sums of squares would cancel."""
    recording = np.concatenate(clips) + 1000
    cuts = np.cumsum(LENGTHS)[:-1]
    windows = [
        frame_statistics(torch.from_numpy(part)[None], None, list(POOLINGS)) for part in np.split(recording, cuts)
    ]
    pooled = pool(merge(windows), list(POOLINGS)).numpy()[0]
    np.testing.assert_allclose(pooled, expected(recording, POOLINGS), rtol=1e-5)


def test_statistics_of_bf16_states_are_computed_in_float32():
    """1,001 frames of 1.0 and one of 257.0: a bf16 sum would stall at 256."""
    hidden = torch.ones(1, 1002, 1, dtype=torch.bfloat16)
    hidden[0, -1] = 257
    pooled = pool(frame_statistics(hidden, None, ["mean", "std"]), ["mean", "std"]).numpy()[0]
    np.testing.assert_allclose(pooled, expected(hidden[0].float().numpy(), ["mean", "std"]), rtol=1e-3)


def test_one_frame_has_a_deviation_of_zero():
    assert (pool(frame_statistics(torch.randn(2, 1, 3), None, ["std"]), ["std"]) == 0).all()


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="median"):
        frame_statistics(torch.randn(1, 2, 3), None, ["mean", "median"])
