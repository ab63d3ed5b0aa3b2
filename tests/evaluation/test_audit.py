"""The leakage audit: leakage is measured against the speaker-independent run, and only where there is one."""

import json

import made
import numpy as np
import pandas as pd
import pytest
from test_significance import evaluate, predictions, stamp

from speechemb.evaluation import comparison, leakage_audit
from speechemb.reports import tables, text


@pytest.mark.slow
def test_the_audit_measures_how_much_leakage_adds(script, tmp_path, capsys):
    # A weak emotion, a strong speaker, and an emotion that every speaker expresses in a way of their own.
    vectors, labels, speakers = made.planted(speakers=8, clips=24, effect=0.3, speaker_effect=2.0)
    rng = np.random.default_rng(5)
    ways = {(s, e): rng.normal(size=vectors.shape[1]) for s in set(speakers) for e in sorted(set(labels))}
    vectors = vectors + [1.5 * ways[key] for key in zip(speakers, labels, strict=True)]
    npz = made.npz(tmp_path / "e.npz", vectors, labels, speakers, sentences=np.tile(["a", "b"], len(labels) // 2))
    where = ["--results-dir", str(tmp_path / "results")]
    for flags in ([], ["--cv", "random"], ["--leak", "scaler"]):
        script("3_train_classifiers").main(
            ["--npz-path", str(npz), "--classifier", "svm", "--models-dir", str(tmp_path), *where, *flags]
        )
    capsys.readouterr()
    script("4_evaluation_metrics").main(where)
    table = pd.read_csv(tmp_path / "results" / "audit.csv", keep_default_na=False).set_index(["protocol", "leak"])
    assert table.loc[("speaker", ""), "points"] == 0
    assert table.loc[("random", ""), "points"] > 15
    assert abs(table.loc[("speaker", "scaler"), "points"]) < 10
    runs = {
        run["tag"]: run["overall"]["uar"] for run in json.loads((tmp_path / "results/metrics.json").read_text())["runs"]
    }
    for _, row in table.iterrows():
        assert row["uar"] == round(runs[row["run"]], 6)
    printed = capsys.readouterr().out
    assert "random folds" in printed and "deliberate leakage: scaler" in printed
    assert (tmp_path / "results" / "audit.png").stat().st_size > 5000


def audited(*hows: dict) -> tuple[pd.DataFrame, list[str]]:
    """The audit of runs that differ in these settings; their names are their numbers."""
    runs = [
        evaluate(predictions(0.5, i), stamp(str(i), **{"encoder": {"tag": "e"}, **how})) for i, how in enumerate(hows)
    ]
    return leakage_audit.audit_table(runs)


RANDOM = {"protocol": "random"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hows", "baselines", "alone"),
    [
        ([{}, RANDOM, {"tune": 20}], {"0": "0", "1": "0"}, []),  # a second, tuned, speaker run
        ([{}, RANDOM, {"seed": 1}], {"0": "0", "1": "0"}, []),
        ([{}, RANDOM, {"precision": "bf16"}], {"0": "0", "1": "0"}, []),
        ([{}, {**RANDOM, "tune": 20}], {}, ["1"]),
        ([{}, {**RANDOM, "seed": 1}, {"seed": 1}], {"1": "2", "2": "2"}, []),
        ([{}, {"n_folds": 10}, {**RANDOM, "n_folds": 10}], {"0": "0", "1": "1", "2": "1"}, []),
        ([{}, {"n_folds": 10}, {**RANDOM, "n_folds": 2}], {}, ["2"]),  # which of the two?
        ([{}, {"protocol": "sentence", "n_folds": 2}], {"0": "0", "1": "0"}, []),
        ([{}, {"tune": 20}], {}, []),  # nothing to audit
    ],
)
def test_like_is_compared_with_like_or_it_is_said(hows, baselines, alone):
    table, without = audited(*hows)
    assert dict(zip(table["run"], table["baseline"], strict=True)) == baselines and without == alone
    for row in table.itertuples():
        uar = table.set_index("run")["uar"]
        assert row.points == pytest.approx(100 * (row.uar - uar[row.baseline]))
    words = text.audit_text(table, without)
    assert bool(words) == bool(baselines or alone)
    assert ("for lack of one speaker-independent run like them: " + "".join(alone) in words) == bool(alone)


def test_rows_that_differ_never_look_alike():
    hows = [{}, {"tune": 20}, {"seed": 1}, {"precision": "bf16"}, {"augmented": 2}, {"pooling": ["std"]}, {}]
    results = [
        evaluate(predictions(0.5, 0), stamp(f"run{i}", **{"encoder": {"tag": "e"}, **how}))
        for i, how in enumerate(hows)
    ]
    table = comparison.runs_table(results)
    lines = tables.comparison_text(table, results).splitlines()
    assert len(set(lines)) == len(lines) == 2 + len(hows)
    for words in ("svm, tuned 20", "svm, seed 1", "bf16", "2 augmented copies", "  run0  ", "  run6  "):
        assert sum(words in line for line in lines) == 1


@pytest.mark.slow
def test_without_a_speaker_independent_run_there_is_no_audit(script, tmp_path):
    npz = made.npz(tmp_path / "e.npz", *made.planted())
    where = ["--results-dir", str(tmp_path / "results")]
    script("3_train_classifiers").main(
        ["--npz-path", str(npz), "--classifier", "svm", "--cv", "random", "--models-dir", str(tmp_path), *where]
    )
    script("4_evaluation_metrics").main(where)
    assert not (tmp_path / "results" / "audit.csv").exists()
