"""The mean of the probabilities of several runs: computed by hand here, figures by scikit-learn."""

import json

import made
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score
from test_significance import LABELS, predictions, stamp

from speechemb.artifacts.predictions import read_predictions
from speechemb.errors import InputError
from speechemb.evaluation import late_fusion, scores

A, B = "made-made-4emo-mean-logistic-speaker3", "made-made-4emo-mean-svm-speaker3"
COLUMNS = [f"p_{label}" for label in LABELS]


@pytest.mark.slow
def test_the_mean_is_a_further_run_with_figures_interval_and_tests(script, tmp_path, capsys):
    npz = made.npz(tmp_path / "e.npz", *made.planted(speakers=6, effect=0.5), tag="made")
    results, where = tmp_path / "results", ["--results-dir", str(tmp_path / "results")]
    words = ["--npz-path", str(npz), "--models-dir", str(tmp_path), *where, "--n-folds", "3"]
    script("3_train_classifiers").main([*words, "--classifier", "logistic", "svm"])
    script("4_evaluation_metrics").main([*where, "--fuse", A, B])
    frames = [read_predictions(results / f"predictions_{tag}.csv")[0].set_index("clip_id") for tag in (A, B)]
    p = (frames[0][COLUMNS] + frames[1].loc[frames[0].index, COLUMNS]) / 2
    uar = recall_score(frames[0]["true"], np.array(LABELS)[p.to_numpy().argmax(axis=1)], average="macro")
    table = pd.read_csv(results / "comparison.csv", keep_default_na=False).set_index("run")
    name = "mean_of-made-made-4emo-mean-logistic+svm-speaker3"
    row, note = table.loc[name], f"mean of probabilities of {A}, {B}"
    assert len(table) == 3 and row["uar"] == pytest.approx(uar, abs=1e-6) and row["note"] == note
    assert row["uar_low"] < row["uar"] < row["uar_high"] and (table["note"] == "").sum() == 2
    found = json.loads((results / f"evaluation_results_{name}.json").read_text())
    assert found["mean_of"] == [A, B] and note in found["protocol_note"]
    assert note in capsys.readouterr().out and note in (results / f"classification_report_{name}.txt").read_text()
    assert name in set(pd.read_csv(results / "paired_tests.csv")[["a", "b"]].to_numpy().ravel())
    script("4_evaluation_metrics").main(where)  # without the flag it is gone
    assert len(pd.read_csv(results / "comparison.csv")) == 2 and not list(results.glob("*mean_of*"))


def test_rows_are_matched_by_clip_and_fold():
    one, other = predictions(0.4, 0), predictions(0.4, 1)
    runs = [(one, stamp("a")), (other.iloc[::-1].reset_index(drop=True), stamp("b"))]
    fused, found = late_fusion.mean_of(runs, ["a", "b"])
    np.testing.assert_allclose(fused[COLUMNS], (one[COLUMNS] + other[COLUMNS]) / 2)
    assert fused["true"].tolist() == one["true"].tolist() and found["encoder"]["tag"] == "a+b"
    assert scores.evaluated(fused, found)[0].result["mean_of"] == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "how", "message"),
    [
        (lambda frame: frame.iloc[1:], {}, "a and b differ in clips, labels, speakers or folds: c/0"),
        (lambda frame: frame.assign(fold="2"), {}, "differ in clips, labels, speakers or folds"),
        (lambda frame: frame.assign(true="sad"), {}, "differ in clips, labels, speakers or folds"),
        (lambda frame: frame, {"protocol": "random"}, r"differ in protocol \(speaker, random\)"),
        (lambda frame: frame, {"leak": "scaler"}, "differ in leak"),
        (lambda frame: frame, {"labels": LABELS[::-1]}, "differ in labels"),
    ],
)
def test_runs_of_other_clips_or_folds_end_in_one_line(change, how, message):
    runs = [(predictions(0.4, 0), stamp("a")), (change(predictions(0.4, 1)), stamp("b", **how))]
    with pytest.raises(InputError, match=message):
        late_fusion.mean_of(runs, ["a", "b"])


@pytest.mark.parametrize(("tags", "message"), [("ac", "c: there is no such run"), ("aa", "two or"), ("a", "two or")])
def test_names_that_cannot_be_fused_end_in_one_line(tags, message):
    with pytest.raises(InputError, match=message):
        late_fusion.mean_of([(predictions(0.4, 0), stamp("a")), (predictions(0.4, 1), stamp("b"))], list(tags))


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        (["a-x-svm-s5", "b-mean_std-x-svm-s5"], "mean_of-a+b-mean_std-x-svm-s5"),
        (["a-x-svm-s5", "a-x-mlp-s5", "a-x-mlp-tune2-s5"], "mean_of-a-x-svm+mlp+mlp-tune2-s5"),
        (["a-a", "a-a-a"], "mean_of-a-a+a-a"),
    ],
)
def test_the_name_says_what_the_runs_differ_in(tags, name):
    assert late_fusion.name_of(tags) == name
    long = late_fusion.name_of([f"{tag}-{'x' * 150}" for tag in tags])
    assert len(long) < 50 and long != late_fusion.name_of([f"{tag}-{'y' * 150}" for tag in tags])
