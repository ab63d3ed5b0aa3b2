"""The novelty of a recording: a share of held-out training clips, whatever the features are like."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from speechemb.classifiers.novelty import FLAGGED, NAME, Novelty


def clips(speakers, rng, per=20, dim=60, shift=1.0):
    """Features with a few strong directions, a shift for each speaker, and a constant feature."""
    mix = np.random.default_rng(1).normal(size=(dim, dim)) * np.geomspace(10, 0.1, dim)[:, None]
    names = np.repeat(np.arange(speakers), per)
    x = (rng.normal(size=(speakers * per, dim)) + shift * rng.normal(size=(speakers, dim))[names]) @ mix
    x[:, 7] = 3.0
    return x.astype(np.float32), np.array([f"s{name:02d}" for name in names])


def test_new_speakers_are_as_novel_as_those_held_out_and_other_things_are_flagged():
    rng = np.random.default_rng(0)
    x, speakers = clips(30, rng)
    novelty = Novelty().fit(x, speakers)
    share = novelty.share(clips(30, rng)[0])
    assert 0.4 < share.mean() < 0.6 and (share > FLAGGED).mean() < 0.05
    assert (novelty.share(x) < share.mean()).mean() > 0.5  # who was fitted is less novel than that
    assert (novelty.share(rng.normal(size=(50, 60)).astype(np.float32) * x.std(axis=0) * 3) == 1).all()
    assert (novelty.share(x[:, ::-1].copy()) > FLAGGED).mean() > 0.9  # the same numbers in other places


def test_speakers_are_held_out_not_clips():
    x, speakers = clips(10, np.random.default_rng(0), shift=3.0)
    by_speaker, by_clip = Novelty().fit(x, speakers), Novelty().fit(x, np.arange(len(x)).astype(str))
    assert np.median(by_speaker.arrays["scores"]) > 1.2 * np.median(by_clip.arrays["scores"])
    Novelty().fit(x, np.zeros(len(x)))  # one speaker: clips are held out


def test_a_probe_that_weighs_layers_has_the_mean_of_its_layers():
    x, speakers = clips(6, np.random.default_rng(0))
    layers = np.stack([x - 1, x, x + 1], axis=1)
    assert np.allclose(Novelty().fit(layers, speakers).share(layers), Novelty().fit(x, speakers).share(x), atol=0.05)


def test_saved_it_is_the_same_and_damaged_it_is_refused(tmp_path):
    x, speakers = clips(6, np.random.default_rng(0))
    novelty = Novelty().fit(x, speakers)
    novelty.save(tmp_path)
    loaded = Novelty().load(tmp_path)
    assert loaded.features == 60 and np.array_equal(loaded.share(x), novelty.share(x))
    again = Novelty().fit(x, speakers)
    assert all(np.array_equal(again.arrays[name], novelty.arrays[name]) for name in novelty.arrays)
    arrays = load_file(tmp_path / NAME)
    unsorted = {**arrays, "scores": arrays["scores"][::-1].copy()}
    wrong = [unsorted, {**arrays, "scale": 0 * arrays["scale"]}, {**arrays, "mean": arrays["mean"][1:]}]
    for made in [*wrong, {**arrays, "rest": np.array([np.nan])}, {"axes": arrays["axes"]}]:
        save_file(made, tmp_path / NAME)
        with pytest.raises(ValueError):
            Novelty().load(tmp_path)
