"""Intervals and paired tests: known answers, scipy as an independent implementation, and a short simulation."""

import doctest
import importlib.util
import itertools
import json

import numpy as np
import pytest
from conftest import ROOT
from scipy import special, stats
from sklearn.metrics import confusion_matrix

from speechemb.metrics import classification, confusion, intervals, paired_tests
from speechemb.metrics.classification import accuracy_of, uar_of


def speakers(seed: int, n: int, clips: int = 20, hit: float = 0.6, spread: float = 0.1) -> np.ndarray:
    """Confusion matrices of n speakers with `clips` clips a class, (n, 3, 3)."""
    rng = np.random.default_rng(seed)
    p = np.clip(hit + spread * rng.standard_normal((n, 1)), 0.05, 0.95)
    rows = np.eye(3) * p[..., None] + (1 - np.eye(3)) * (1 - p[..., None]) / 2
    return rng.multinomial(clips, rows)


@pytest.fixture(scope="module")
def simulation():
    """benchmarks/interval_coverage.py as a module."""
    path = ROOT / "benchmarks" / "interval_coverage.py"
    spec = importlib.util.spec_from_file_location("benchmark_interval_coverage", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Confusions by speaker


def test_matrices_are_the_matrix_of_each_unit():
    rng = np.random.default_rng(0)
    true, predicted, who = rng.integers(0, 3, (3, 200))
    matrices = confusion.matrices(true, predicted, who, 4, 3)
    assert matrices.dtype == np.int64 and matrices.shape == (4, 3, 3) and matrices[3].sum() == 0
    for speaker in range(3):
        expected = confusion_matrix(true[who == speaker], predicted[who == speaker], labels=[0, 1, 2])
        np.testing.assert_array_equal(matrices[speaker], expected)
    np.testing.assert_array_equal(matrices.sum(0), confusion.matrix(true, predicted, 3))


def test_predictions_without_a_unit_are_refused():
    with pytest.raises(ValueError, match="2 true but 2 predicted labels, of 1 units"):
        confusion.matrices(np.array([0, 1]), np.array([0, 1]), np.array([0]), 1, 2)


# The interval


def test_interval_agrees_with_scipys_bootstrap_of_speaker_means():
    confusions = speakers(1, 12)
    values = accuracy_of(confusions)  # as many clips each, so accuracy is the mean over speakers
    error = stats.bootstrap(
        (values,),
        lambda x, axis: special.logit(x.mean(axis)),
        n_resamples=20_000,
        rng=np.random.default_rng(0),
    ).standard_error
    reach = stats.t.ppf(0.95, 11) * np.sqrt(12 / 11) * error
    expected = special.expit(special.logit(values.mean()) + np.array([-reach, reach]))
    measured = intervals.speaker_interval(accuracy_of, confusions, level=0.9, n=20_000)
    np.testing.assert_allclose(measured, expected, atol=0.002)


@pytest.mark.parametrize("statistic", classification.STATISTICS.values(), ids=classification.STATISTICS)
def test_interval_surrounds_the_statistic_and_stays_between_0_and_1(statistic):
    for hit in (0.06, 0.5, 0.94):
        confusions = speakers(2, 8, clips=4, hit=hit, spread=0.3)
        low, high = intervals.speaker_interval(statistic, confusions)
        assert 0 <= low < statistic(confusions.sum(0)) < high <= 1


def test_interval_depends_on_speakers_and_not_on_clips():
    confusions = speakers(3, 10, clips=200)
    width = np.diff(intervals.speaker_interval(uar_of, confusions))
    tenfold = np.diff(intervals.speaker_interval(uar_of, 10 * confusions))
    many = np.diff(intervals.speaker_interval(uar_of, np.repeat(confusions, 10, axis=0)))
    assert tenfold == pytest.approx(width, rel=1e-6)
    assert many < width / 2.5


def test_interval_widens_where_few_speakers_have_most_of_the_clips():
    even = np.repeat(speakers(13, 1, clips=100), 10, axis=0) + np.arange(10)[:, None, None] * np.eye(3)
    for others, least in ((0.5, 1.0), (0.1, 1.5), (1e-3, 3.0)):
        uneven = even * np.where(np.arange(10) % 5 == 0, 1.0, others)[:, None, None]
        widths = [np.ptp(intervals.speaker_interval(accuracy_of, c)) for c in (even, uneven)]
        assert widths[1] > least * widths[0]
    assert intervals.speaker_interval(accuracy_of, even * np.r_[1.0, np.full(9, 1e-9)][:, None, None]) == (0, 1)


def test_interval_is_the_same_for_the_same_seed_and_wider_for_a_higher_level():
    confusions = speakers(4, 9)
    first, again, other = (intervals.speaker_interval(uar_of, confusions, seed=s) for s in (0, 0, 1))
    assert first == again != other
    narrow = intervals.speaker_interval(uar_of, confusions, level=0.5)
    assert first[0] < narrow[0] < narrow[1] < first[1]


def test_no_interval_where_the_spread_cannot_be_estimated():
    one = speakers(5, 1)
    nobody = np.zeros_like(one)
    perfect = np.tile(20 * np.eye(3), (5, 1, 1))
    for confusions in (one, np.concatenate([one, nobody]), perfect, perfect[:, ::-1]):
        low, high = intervals.speaker_interval(lambda m: np.where(uar_of(m) > 0.34, uar_of(m), 0), confusions)
        assert np.isnan(low) and np.isnan(high)


def test_where_units_do_not_vary_there_is_no_interval_but_the_reason():
    constant = np.zeros((6, 3, 3))
    constant[:, :, 0] = np.arange(1, 19).reshape(6, 3)
    rare = constant.copy()
    rare[1:, 2] = 0  # one speaker alone has the third class: resamples that lack it have another UAR
    alike = np.tile(10 * np.eye(3) + 1, (6, 1, 1))
    for confusions, why in (
        (constant, "every answer is the same class"),
        (rare, "every answer is the same class"),
        (alike, "no variation between speakers"),
        (alike * np.arange(1, 7)[:, None, None], "no variation between speakers"),
        (alike[:1], "fewer than two speakers"),
        (np.tile(np.eye(3), (4, 1, 1)), "the figure is exactly 1"),
    ):
        assert np.isnan(intervals.speaker_interval(uar_of, confusions)).all()
        assert intervals.why_no_interval(uar_of, confusions) == why
    assert intervals.why_no_interval(uar_of, speakers(6, 6)) == ""
    assert intervals.why_no_interval(uar_of, alike, "sessions") == "no variation between sessions"


def test_absent_classes_are_survived():
    rare = speakers(6, 6)
    rare[1:, 2] = 0  # one speaker alone has the third class: many resamples lack it
    low, high = intervals.speaker_interval(uar_of, rare)
    assert 0 < low < uar_of(rare.sum(0)) < high < 1


# The paired test


def p_of(a, b, **how) -> float:
    return paired_tests.sign_flip_test(paired_tests.speaker_differences(a, b)[None], **how).item()


def test_speakers_differences_add_up_to_the_difference_in_uar_under_every_exchange():
    a, b = speakers(7, 6, clips=5), speakers(8, 6, clips=5)
    a[2, 1], b[2, 1] = 0, 0  # a speaker without the second class
    of = paired_tests.speaker_differences(a, b)
    for swap in itertools.product([False, True], repeat=6):
        exchanged = np.where(swap, b.T, a.T).T, np.where(swap, a.T, b.T).T
        signs = 1 - 2 * np.array(swap)
        assert (signs * of).sum() == pytest.approx(uar_of(exchanged[0].sum(0)) - uar_of(exchanged[1].sum(0)), abs=1e-12)
    absent = np.zeros((6, 4, 4))  # a class that nobody speaks is not among those that are averaged
    absent[:, :3, :3] = a
    other = np.zeros((6, 4, 4))
    other[:, :3, :3] = b
    np.testing.assert_allclose(paired_tests.speaker_differences(absent, other), of)
    both = paired_tests.speaker_differences(np.stack([a, b]), np.stack([b, b]))
    np.testing.assert_allclose(both, [of, np.zeros(6)])


@pytest.mark.parametrize("n", [2, 3, 9, 12])
def test_p_is_scipys_when_all_exchanges_are_counted(n):
    for seed in range(5):
        d = paired_tests.speaker_differences(speakers(seed, n, hit=0.65), speakers(100 + seed, n, hit=0.6))
        expected = stats.permutation_test((d, -d), lambda x, y: x.sum() - y.sum(), permutation_type="samples").pvalue
        assert paired_tests.sign_flip_test([d, -d]) == pytest.approx([expected] * 2, abs=1e-12)


def test_random_exchanges_give_nearly_the_same(monkeypatch):
    pairs = np.array([paired_tests.speaker_differences(speakers(i, 14), speakers(50 + i, 14)) for i in range(6)])
    exact = paired_tests.sign_flip_test(pairs)
    monkeypatch.setattr(paired_tests, "EXACT", 10)
    monkeypatch.setattr(paired_tests, "_BLOCK", 30_000)  # several blocks, the last one smaller
    drawn = paired_tests.sign_flip_test(pairs, n=20_000)
    np.testing.assert_allclose(drawn, exact, atol=4 * np.sqrt(0.25 / 20_000))
    assert (drawn == paired_tests.sign_flip_test(pairs, n=20_000)).all()
    # What else is tested at the same time changes nothing.
    assert paired_tests.sign_flip_test(pairs[:1], n=20_000) == pytest.approx(drawn[:1])


def test_paired_test_knows_equal_runs_single_speakers_and_the_smallest_p():
    a, worse = (
        np.tile(10 * np.eye(3), (40, 1, 1)),
        np.tile(8 * np.eye(3) + np.roll(2 * np.eye(3), 1, 1), (40, 1, 1)),
    )
    assert p_of(a, a) == 1
    for n in (1, 2, 8, 24, 32):
        assert p_of(a[:n], worse[:n]) == paired_tests.smallest_p(n) == min(2 / 2**n, 1)
    assert p_of(a, worse, n=999) == paired_tests.smallest_p(40, 999) == 0.001


def test_paired_test_refuses_runs_on_other_clips():
    a = speakers(9, 5)
    for b in (a[:4], np.roll(a, 1, axis=1) + np.eye(3, dtype=int)):
        with pytest.raises(ValueError, match="same clips"):
            paired_tests.speaker_differences(a, b)


# Many runs


def test_holm_gives_what_r_gives():
    # p.adjust(c(...), "holm") of R 4.3
    assert paired_tests.holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert paired_tests.holm([0.04, 0.001, 0.6, 0.03]) == pytest.approx([0.09, 0.004, 0.6, 0.09])
    assert paired_tests.holm([0.7, 0.8]) == [1, 1]
    assert paired_tests.holm([0.2]) == [0.2] and paired_tests.holm([]) == []


# The short simulation (the long one: benchmarks/interval_coverage.py)


@pytest.mark.slow
@pytest.mark.parametrize("n, classes, even", [(8, 4, True), (10, 4, False), (24, 4, True)])
def test_interval_holds_the_truth_and_the_test_has_few_false_alarms(simulation, n, classes, even):
    row = simulation.measure(simulation.Setting(n, classes, even), runs=600, seed=1)
    assert simulation.holds(row), row
    assert row["coverage_clips_uar"] < 0.85
    assert row["coverage_percentile_uar"] < row["coverage"]["uar"]


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["clips_interval", "percentile_interval"])
def test_the_simulation_finds_a_wrong_interval_out(simulation, monkeypatch, tmp_path, capsys, wrong):
    monkeypatch.setattr(simulation, "SETTINGS", [simulation.Setting(8, 4, True)])
    monkeypatch.setattr(simulation, "our_interval", getattr(simulation, wrong))
    assert simulation.main(["--runs", "300", "--out", str(tmp_path / "new" / "coverage.json")]) == 1
    assert "outside:   8 speakers, 4 classes, even" in capsys.readouterr().out
    report = json.loads((tmp_path / "new" / "coverage.json").read_text())
    assert report["runs"] == 300 and report["settings"][0]["coverage"]["uar"] < 0.93


@pytest.mark.slow
def test_the_simulation_finds_a_wrong_test_out(simulation, monkeypatch):
    right = simulation.test

    def by_clips(a, b):
        """Takes every tenth of a speaker's clips for a speaker of their own."""
        return right(np.repeat(a, 10, 1), np.repeat(b, 10, 1))

    monkeypatch.setattr(simulation, "test", by_clips)
    assert not simulation.holds(simulation.measure(simulation.Setting(8, 4, True), runs=150, seed=0))


def test_the_examples_in_the_docstrings():
    for module, least in ((confusion, 2), (intervals, 3), (paired_tests, 3)):
        result = doctest.testmod(module)
        assert result.attempted > least and result.failed == 0
