"""Paired tests between runs on the same clips: a planted difference is significant, a chance one is not."""

import made
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from speechemb.evaluation import comparison, counts, scores, significance
from speechemb.metrics import classification, paired_tests
from speechemb.reports.text import ranking_text

LABELS = list(made.EMOTIONS)


def predictions(hit: float, seed: int, speakers: int = 12, clips: int = 24, name: str = "c") -> pd.DataFrame:
    """Answers that are right with probability `hit`, else another class at random."""
    rng = np.random.default_rng(seed)
    n = speakers * clips
    true = np.array(LABELS)[np.arange(n) % 4]
    wrong = np.array(LABELS)[(np.arange(n) + rng.integers(1, 4, n)) % 4]
    predicted = np.where(rng.random(n) < hit, true, wrong)
    columns = {"clip_id": [f"{name}/{i}" for i in range(n)], "corpus": name, "fold": "1"}
    columns["speaker"] = [f"s{i // clips:02d}" for i in range(n)]
    frame = pd.DataFrame({**columns, "true": true, "predicted": predicted})
    for label in LABELS:
        frame[f"p_{label}"] = np.where(predicted == label, 0.7, 0.1)
    return frame


def stamp(run: str, **other) -> dict:
    """What step 3 records, as far as step 4 needs it."""
    settings = {"tag": run, "encoder": {"tag": run}, "pooling": ["mean"], "layer": "mean", "classifier": "svm"}
    how = {
        "protocol": "speaker",
        "protocol_note": "",
        "n_folds": 5,
        "repeats": 1,
        "leak": "",
        "augmented": 0,
        "speakers_on_both_sides": 0,
        "sha256": run,
    }
    return {**settings, "corpora": ["c"], "seed": 0, "labels": LABELS, "genders": {}, **how, **other}


def evaluate(frame: pd.DataFrame, stamp: dict) -> dict:
    """The figures of one run's predictions, as step 4 computes them."""
    return scores.evaluate(counts.count(frame, stamp["labels"]), stamp)


def comparables_of(frames: dict[str, pd.DataFrame], **other) -> list[significance.Comparable]:
    stamps = {run: stamp(run, **other.get(run, {})) for run in frames}
    counted = {run: counts.count(frame, stamps[run]["labels"]) for run, frame in frames.items()}
    table = comparison.runs_table([scores.evaluate(counted[run], stamps[run]) for run in frames])
    return significance.compare(table, counted)


@pytest.fixture(scope="module")
def three():
    """One run that is better by a lot, and two that differ by chance."""
    return {"good": predictions(0.8, 0), "poor": predictions(0.5, 1), "other": predictions(0.51, 2)}


def test_a_planted_difference_is_significant_and_a_chance_one_is_not(three):
    (group,) = comparables_of(three)
    table = significance.pairs_table([group])
    assert table.columns.tolist() == list(significance.PAIR_COLUMNS) and len(table) == 3
    verdicts = {frozenset((row.a, row.b)): row for row in table.itertuples()}
    for other in ("poor", "other"):
        row = verdicts[frozenset(("good", other))]
        assert row.a == "good" and row.verdict == "a significantly better" and row.p_holm <= 0.05
        assert row.difference == pytest.approx(row.uar_a - row.uar_b) and row.comparisons == 3
    assert verdicts[frozenset(("poor", "other"))].verdict == "no significant difference"
    order = significance.ranking_table([group])
    assert order["run"].iloc[0] == "good" and order["place"].tolist() == [1, 2, 3]
    assert order.columns.tolist() == list(significance.RANK_COLUMNS)
    assert order["beats"].iloc[0].split() == order["run"].iloc[1:].tolist() and (order["beats"].iloc[1:] == "").all()


def test_the_p_values_are_those_of_the_test_holm_corrected(three):
    (group,) = comparables_of(three)
    by_speaker = {
        run: np.stack([confusion_matrix(part["true"], part["predicted"], labels=LABELS) for _, part in parts])
        for run, parts in ((run, frame.groupby("speaker")) for run, frame in three.items())
    }
    table = significance.pairs_table([group])
    for row in table.itertuples():
        raw = paired_tests.paired_permutation(classification.uar_of, by_speaker[row.a], by_speaker[row.b])
        assert row.p == pytest.approx(raw)
    assert table["p_holm"].tolist() == pytest.approx(paired_tests.holm(table["p"].tolist()))


def test_the_text_says_better_only_where_the_test_does(three):
    text = ranking_text(comparables_of(three))
    lines = text.splitlines()
    assert "good: significantly better than 2, 3" in lines[1] and text.count("better") == 1
    assert lines[2].endswith("no significant difference from 3") and "Holm" in lines[0]
    few = ranking_text(comparables_of({run: frame[frame["speaker"] < "s05"] for run, frame in three.items()}))
    assert "better" not in few and "fewer than 6 speakers" in few


@pytest.mark.parametrize("change", ["clip", "label", "protocol", "folds", "leak", "class"])
def test_only_runs_on_the_same_clips_and_protocol_are_compared(three, change):
    pair, other = {"good": three["good"], "poor": three["poor"].copy()}, {}
    if change == "clip":
        pair["poor"] = pair["poor"].iloc[:-1]
    if change == "label":
        pair["poor"].loc[0, "true"] = "angry"
    if change == "class":
        pair["poor"]["p_calm"], other["labels"] = 0.0, [*LABELS, "calm"]
    other |= {"protocol": {"protocol": "random"}, "folds": {"n_folds": 6}, "leak": {"leak": "scaler"}}.get(change, {})
    assert len(comparables_of({"good": three["good"], "poor": three["poor"]})) == 1
    assert comparables_of(pair, poor=other) == []


def test_order_of_rows_is_free_and_unknown_speakers_are_said(three):
    shuffled = {"good": three["good"], "poor": three["poor"].sample(frac=1, random_state=0)}
    (group,) = comparables_of(shuffled)
    (straight,) = comparables_of({"good": three["good"], "poor": three["poor"]})
    assert group == straight and group.pairs
    unknown = {run: frame.assign(speaker="") for run, frame in shuffled.items()}
    (group,) = comparables_of(unknown)
    assert significance.pairs_table([group]).empty and "speaker is unknown" in ranking_text([group])


def test_step_4_writes_them(script, tmp_path, capsys):
    vectors, labels, speakers = made.planted(speakers=8, effect=0.5)
    results = tmp_path / "results"
    for name, strength in (("strong", 3.0), ("weak", 0.5)):
        rng = np.random.default_rng(1)
        rows = vectors + rng.normal(size=vectors.shape) * (0 if name == "strong" else 3) * strength
        npz = made.npz(tmp_path / f"{name}.npz", rows, labels, speakers)
        layer = "last" if name == "weak" else "mean"
        where = ["--models-dir", str(tmp_path / "models"), "--results-dir", str(results)]
        script("3_train_classifiers").main(["--npz-path", str(npz), "--classifier", "svm", "--layer", layer, *where])
    capsys.readouterr()
    script("4_evaluation_metrics").main(["--results-dir", str(results)])
    printed = capsys.readouterr().out
    table, order = pd.read_csv(results / "paired_tests.csv"), pd.read_csv(results / "ranking.csv")
    assert len(table) == 1 and len(order) == 2 and (results / "ranking.png").read_bytes()[:4] == b"\x89PNG"
    assert ("significantly better" in printed) == (table["verdict"][0] == "a significantly better")
    assert order["uar"].is_monotonic_decreasing and order["speakers"].tolist() == [8, 8]
