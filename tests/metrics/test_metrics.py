"""metrics: agreement with scikit-learn to 1e-12, degenerate folds included, and the errors."""

import doctest
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from speechemb.metrics import calibration, classification, confusion

LABELS = ["neutral", "happy", "sad", "angry"]


def random_answers(seed: int, n: int, true_of=LABELS, predicted_of=LABELS, hit: float = 0.5):
    """n true and predicted labels; a share `hit` of the answers copies the truth."""
    rng = np.random.default_rng(seed)
    true, predicted = rng.choice(true_of, n), rng.choice(predicted_of, n)
    return true, np.where(rng.random(n) < hit, np.where(np.isin(true, predicted_of), true, predicted), predicted)


def matrix_of(true, predicted, labels=LABELS) -> np.ndarray:
    """The confusion matrix of two lists of labels."""
    rows, columns = (confusion.indices(values, labels, "true") for values in (true, predicted))
    return confusion.matrix(rows, columns, len(labels))


CASES = {
    "ordinary": random_answers(0, 500),
    "one clip": (["sad"], ["sad"]),
    "one clip, wrong": (["sad"], ["happy"]),
    "class missing in true": random_answers(1, 60, true_of=LABELS[:3]),
    "class missing in predicted": random_answers(2, 60, predicted_of=LABELS[1:]),
    "class missing in both": random_answers(3, 60, true_of=LABELS[:2], predicted_of=LABELS[:2]),
    "disjoint classes": random_answers(4, 60, true_of=LABELS[:2], predicted_of=LABELS[2:], hit=0),
    "constant prediction": random_answers(5, 60, predicted_of=LABELS[:1], hit=0),
    "constant truth": random_answers(6, 60, true_of=LABELS[:1]),
    "everything right": random_answers(7, 60, hit=1),
    "everything wrong": (["sad", "happy"] * 9, ["happy", "sad"] * 9),
    "very unbalanced": (["sad"] * 997 + LABELS[:3], ["sad"] * 1000),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_summary_agrees_with_scikit_learn(case):
    true, predicted = case
    expected = {
        "accuracy": sk.accuracy_score(true, predicted),
        "uar": sk.balanced_accuracy_score(true, predicted),
        **{
            f"{average}_{name}": function(true, predicted, labels=LABELS, average=average, zero_division=0)
            for average in ("macro", "weighted")
            for name, function in (("f1", sk.f1_score), ("precision", sk.precision_score))
        },
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = classification.summary(true, predicted, LABELS)
    assert measured == pytest.approx(expected, abs=1e-12, rel=0)


def test_confusion_and_per_class_agree_with_scikit_learn(case):
    true, predicted = case
    matrix = matrix_of(true, predicted)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, sk.confusion_matrix(true, predicted, labels=LABELS))
    expected = sk.precision_recall_fscore_support(true, predicted, labels=LABELS, zero_division=0)
    measured = classification.per_class_of(matrix, LABELS)
    assert list(measured) == LABELS
    values = np.array([list(row.values()) for row in measured.values()], dtype=float).T
    np.testing.assert_allclose(values, np.array(expected, dtype=float), atol=1e-12, rtol=0)


def test_a_stack_of_matrices_gives_what_each_matrix_gives():
    stack = np.stack([matrix_of(*case) for case in CASES.values()]).reshape(3, 4, 4, 4)
    for name, statistic in classification.STATISTICS.items():
        values = statistic(stack)
        assert values.shape == (3, 4), name
        singles = [statistic(matrix) for matrix in stack.reshape(-1, 4, 4)]
        np.testing.assert_array_equal(values.ravel(), singles)


def test_an_empty_matrix_in_a_stack_is_nan_and_leaves_the_others_alone():
    stack = np.stack([np.zeros((4, 4)), np.eye(4)])
    for name, statistic in classification.STATISTICS.items():
        np.testing.assert_array_equal(statistic(stack), [np.nan, 1.0], err_msg=name)


def test_absent_classes_are_left_out_of_uar_but_count_in_macro_f1():
    answers = ["sad", "happy"]
    four, two = (matrix_of(answers, answers, labels) for labels in (LABELS, answers))
    assert classification.uar_of(four) == 1
    assert classification.macro_f1_of(four) == 0.5
    assert classification.macro_f1_of(two) == 1


@pytest.mark.parametrize("true", [["sad", "sad", "happy"], ["sad", "happy"], ["angry"]])
def test_majority_is_the_best_constant_answer(true):
    measured = classification.majority_of(matrix_of(true, true), LABELS)
    constant = {label: classification.summary(true, [label] * len(true), LABELS) for label in LABELS}
    best = constant[measured["label"]]
    assert measured["accuracy"] == max(scores["accuracy"] for scores in constant.values()) == best["accuracy"]
    assert measured["uar"] == best["uar"]


def test_chance_uar_is_what_a_blind_answer_scores_whatever_the_class_balance():
    true = np.repeat(LABELS, [40_000, 20_000, 8_000, 2_000])
    blind = np.random.default_rng(0).choice(LABELS, len(true), p=[0.7, 0.1, 0.1, 0.1])
    assert classification.chance_uar(LABELS) == 0.25
    assert classification.summary(true, blind, LABELS)["uar"] == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    "true, predicted, labels, message",
    [
        ([], [], LABELS, "no true labels"),
        (["sad"], [], LABELS, "no predicted labels"),
        (["sad", "sad"], ["sad"], LABELS, "2 true but 1 predicted labels"),
        (["sad", "fear"], ["sad", "sad"], LABELS, "true label fear is not in labels: neutral, happy"),
        (["sad"], ["calm"], LABELS, "predicted label calm is not in labels"),
        (["sad"], [float("nan")], LABELS, "predicted label nan is not in labels"),
        (["sad"], ["sad"], ["sad", "happy", "sad"], "listed twice"),
    ],
)
def test_bad_labels_are_named(true, predicted, labels, message):
    with pytest.raises(ValueError, match=message):
        classification.summary(true, predicted, labels)


def slow_ece(true, probabilities, n_bins):
    """The definition, clip by clip (Guo et al. 2017, eq. 3)."""
    total = 0.0
    for m in range(n_bins):
        rows = [
            (max(p), LABELS[list(p).index(max(p))] == t)
            for t, p in zip(true, probabilities, strict=True)
            if m / n_bins < max(p) <= (m + 1) / n_bins
        ]
        total += abs(sum(right for _, right in rows) - sum(c for c, _ in rows))
    return total / len(true)


@pytest.mark.parametrize("n_bins", [1, 7, 15])
def test_calibration_error_agrees_with_its_definition(n_bins):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(4, 0.5), 300)
    true = rng.choice(LABELS, 300)
    bins = calibration.reliability(confusion.indices(true, LABELS, "true"), probabilities, n_bins)
    measured = calibration.expected_calibration_error(bins)
    assert measured == pytest.approx(slow_ece(true, probabilities, n_bins), abs=1e-12)
    assert bins["count"].sum() == 300 and len(bins["edges"]) == n_bins + 1
    used = bins["count"] > 0
    assert ((bins["confidence"] > bins["edges"][:-1]) & (bins["confidence"] <= bins["edges"][1:]))[used].all()
    assert np.isnan(bins["accuracy"][~used]).all()


def test_confidence_and_likelihood_are_scikit_learns():
    rng = np.random.default_rng(3)
    true = rng.integers(0, 4, 500)
    probabilities = rng.dirichlet(np.ones(4), 500).round(1)  # rounded: many ties
    probabilities /= probabilities.sum(1, keepdims=True)
    probabilities[:3] = [1, 0, 0, 0]  # a certain answer, which is wrong for some
    true[:3] = [0, 1, 2]
    right = probabilities.argmax(1) == true
    expected = sk.roc_auc_score(right, probabilities.max(1))
    assert calibration.confidence_auroc(true, probabilities) == pytest.approx(expected, abs=1e-12)
    expected = sk.log_loss(true, probabilities, labels=range(4))
    assert calibration.negative_log_likelihood(true, probabilities) == pytest.approx(expected, abs=1e-12)


def test_confidence_of_constant_right_and_wrong_answers():
    same, sure = np.tile([0.7, 0.1, 0.1, 0.1], (40, 1)), np.tile([0.97, 0.01, 0.01, 0.01], (40, 1))
    true = np.arange(40) % 4
    assert calibration.confidence_auroc(true, same) == 0.5  # the same for all, so it tells nothing
    assert calibration.confidence_auroc(true, np.where((true == 0)[:, None], sure, same)) == 1
    assert calibration.confidence_auroc(np.zeros(40, int), same) is None
    assert calibration.confidence_auroc(np.ones(40, int), same) is None
    assert calibration.negative_log_likelihood(true, np.full((40, 4), 0.25)) == pytest.approx(np.log(4))


def test_risk_and_coverage_agree_with_a_plain_loop():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.1, 1, 300).round(2)  # many fall on a threshold
    right = rng.random(300) < confidence
    curve = calibration.risk_coverage(right, confidence)
    assert curve["thresholds"].tolist() == [i / 100 for i in range(101)]
    for threshold, coverage, risk in zip(*(curve[key] for key in ("thresholds", "coverage", "risk")), strict=True):
        answers = [one for one, sure in zip(right, confidence, strict=True) if sure >= threshold]
        assert coverage == pytest.approx(len(answers) / 300)
        assert risk == pytest.approx(answers.count(False) / len(answers)) if answers else np.isnan(risk)
    with pytest.raises(ValueError, match="one is needed of each"):
        calibration.risk_coverage([], [])
    with pytest.raises(ValueError, match="from 0 to 1"):
        calibration.risk_coverage([True], [np.nan])


def test_calibration_error_of_a_calibrated_and_of_an_overconfident_classifier():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(4), 50_000)
    drawn = (rng.random((50_000, 1)) > probabilities.cumsum(1)).sum(1).clip(0, 3)
    calibrated = calibration.reliability(drawn, probabilities)
    assert calibration.expected_calibration_error(calibrated) < 0.01
    certain = calibration.reliability(np.arange(4), np.tile([1.0, 0, 0, 0], (4, 1)))
    assert calibration.expected_calibration_error(certain) == pytest.approx(0.75)


def test_ties_go_to_the_first_label_and_fall_in_the_lower_bin():
    bins = calibration.reliability(np.array([0]), [[0.5, 0.5, 0, 0]], n_bins=2)
    np.testing.assert_array_equal(bins["count"], [1, 0])
    assert bins["accuracy"][0] == 1


@pytest.mark.parametrize(
    "probabilities, message",
    [
        ([0.5, 0.5], "shape"),
        ([[0.5, 0.5], [0.5, 0.5]], "shape"),
        ([[0.5, 0.5, 0.5, 0.5]], "clip 0"),
        ([[1.5, -0.5, 0, 0]], "clip 0"),
        ([[np.nan, 1, 0, 0]], "clip 0"),
        (np.empty((0, 4)), "shape"),
    ],
)
def test_what_is_no_probability_is_refused(probabilities, message):
    with pytest.raises(ValueError, match=message):
        calibration.reliability(np.array([2]), probabilities)
    with pytest.raises(ValueError, match="shape"):
        calibration.reliability(np.empty(0, dtype=int), np.empty((0, 4)))


def test_the_examples_in_the_docstrings():
    for module, least in ((classification, 12), (calibration, 1)):
        result = doctest.testmod(module)
        assert result.attempted > least and result.failed == 0
