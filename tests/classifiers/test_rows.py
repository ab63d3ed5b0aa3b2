"""Features that are too large to be copied for each fold give what copies give."""

import numpy as np
import pytest

from speechemb import classifiers
from speechemb.classifiers import rows
from speechemb.classifiers.rows import Rows


def planted(n: int = 400, d: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors (n, d) of three classes, with an offset and a scale of each feature; class numbers; 20 groups."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    x = rng.normal(size=(n, d)) + 1.5 * rng.normal(size=(3, d))[y]
    x = x * rng.uniform(0.01, 30, size=d) + rng.uniform(-50, 50, size=d)
    return x.astype(np.float32), y, np.arange(n) % 20


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(rows, "BLOCK", 37 * 40 * 4)


@pytest.mark.parametrize(("n", "d"), [(1, 3), (400, 40), (999, 1), (3000, 129)])
def test_moments_in_blocks_are_numpys_to_the_last_bit(small_blocks, n, d):
    x = planted(n, d)[0]
    clips = np.random.default_rng(1).permutation(n)
    mean, deviation = rows.moments(Rows(x, clips))
    np.testing.assert_array_equal(mean, x[clips].mean(axis=0))
    np.testing.assert_array_equal(deviation, x[clips].std(axis=0))


@pytest.mark.parametrize(
    ("name", "settings", "apart"),
    [
        ("mlp", {"networks": 1}, 1e-6),
        ("logistic", {}, 2e-3),  # another path to the same minimum
        ("svm", {}, 1e-4),
        ("xgboost", {"rounds": 20}, 0.2),  # the limits of its bins come from blocks
    ],
)
def test_a_classifier_learns_the_same_from_rows_in_blocks(small_blocks, monkeypatch, name, settings, apart):
    if name == "logistic":
        from speechemb.classifiers import logistic

        monkeypatch.setattr(logistic, "IN_CACHE", 37 * 40 * 4)
    x, y, group = planted()
    train, test = np.arange(0, 400, 2)[::-1].copy(), np.arange(1, 400, 2)
    copied = classifiers.make(name, 3, 0, **settings).fit(x[train], y[train], group[train])
    shared = classifiers.make(name, 3, 0, **settings).fit(Rows(x, train), y[train], group[train])
    one, other = copied.predict_proba(x[test]), shared.predict_proba(Rows(x, test))
    np.testing.assert_allclose(one, other, atol=apart)
    assert (one.argmax(axis=1) == other.argmax(axis=1)).mean() > 0.97
    assert (other.argmax(axis=1) == y[test]).mean() > 0.9
