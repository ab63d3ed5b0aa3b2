"""CCC, Pearson, RMSE, intervals over speakers and the exchange test, against plain computations and simulations."""

import numpy as np
import pytest

from speechemb.metrics import regression


def made(rng, speakers=24, clips=20, noise=1.0, voice=0.5):
    """True and predicted numbers with an error of each speaker, and the speakers' numbers."""
    unit = np.repeat(np.arange(speakers), clips)
    true = rng.normal(size=len(unit))
    predicted = 0.7 * true + voice * rng.normal(size=speakers)[unit] + noise * rng.normal(size=len(unit))
    return true, predicted, unit


def test_the_figures_are_those_of_numpy():
    true, predicted, unit = made(np.random.default_rng(0))
    by_unit = regression.sums(true, predicted, unit, 24)
    total = by_unit.sum(0)
    assert regression.pearson_of(total) == pytest.approx(np.corrcoef(true, predicted)[0, 1])
    assert regression.rmse_of(total) == pytest.approx(np.sqrt(np.mean((true - predicted) ** 2)))
    covariance = np.cov(true, predicted, bias=True)
    ccc = 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + (true.mean() - predicted.mean()) ** 2)
    assert regression.ccc_of(total) == pytest.approx(ccc)
    np.testing.assert_allclose(regression.ccc_of(by_unit)[3], regression.ccc_of(by_unit[3]))
    assert regression.ccc_of_numbers(true[:, None] + 1e6, predicted[:, None] + 1e6) == pytest.approx(ccc)


def test_a_constant_prediction_has_no_concordance():
    total = regression.sums([1, 2, 3], [2, 2, 2], np.zeros(3, int), 1)[0]
    assert regression.ccc_of(total) == 0 and np.isnan(regression.pearson_of(total))
    assert np.isnan(regression.interval("ccc", [total])[0])


@pytest.mark.parametrize("name", ["ccc", "pearson", "rmse"])
def test_95_percent_intervals_hold_the_true_value_about_as_often(name):
    rng = np.random.default_rng(1)
    true, predicted, unit = made(rng, speakers=4000)
    truth = float(regression.STATISTICS[name](regression.sums(true, predicted, unit, 4000).sum(0)))
    held, n = 0, 300
    for _ in range(n):
        true, predicted, unit = made(rng, speakers=16)
        low, high = regression.interval(name, regression.sums(true, predicted, unit, 16), n=400)
        held += low <= truth <= high
    assert 0.91 <= held / n <= 0.985


@pytest.mark.parametrize("speakers", [10, 20])  # all exchanges, and drawn ones
def test_the_exchange_test_finds_a_difference_and_seldom_one_that_is_not(speakers):
    rng, p_values = np.random.default_rng(2), []
    for _ in range(60):
        true, a, unit = made(rng, speakers, clips=10)
        b = 0.7 * true + rng.permutation(a - 0.7 * true)  # as good as a
        sums = [regression.sums(true, of, unit, speakers) for of in (a, b)]
        p_values.append(regression.exchange_test(*sums, draws=500))
    assert np.mean(np.array(p_values) < 0.05) < 0.15
    better = regression.sums(true, 0.9 * true + 0.2 * rng.normal(size=len(true)), unit, speakers)
    assert regression.exchange_test(better, sums[0], draws=2000) < 0.01
    with pytest.raises(ValueError, match="same clips"):
        regression.exchange_test(better + 1, sums[0])
