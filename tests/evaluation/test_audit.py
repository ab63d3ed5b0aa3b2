"""The leakage audit: leakage is measured against the speaker-independent run, and only where there is one."""

import json

import made
import numpy as np
import pandas as pd


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


def test_without_a_speaker_independent_run_there_is_no_audit(script, tmp_path):
    npz = made.npz(tmp_path / "e.npz", *made.planted())
    where = ["--results-dir", str(tmp_path / "results")]
    script("3_train_classifiers").main(
        ["--npz-path", str(npz), "--classifier", "svm", "--cv", "random", "--models-dir", str(tmp_path), *where]
    )
    script("4_evaluation_metrics").main(where)
    assert not (tmp_path / "results" / "audit.csv").exists()
