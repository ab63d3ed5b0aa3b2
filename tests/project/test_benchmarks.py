"""The benchmarks run: each is a claim in the README that somebody will want to check."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from sklearn.metrics import classification_report

from models import make_whisper


def benchmark(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SHARED = "processes"  # no benchmark: what two of them share
NAMES = sorted({path.stem for path in (ROOT / "benchmarks").glob("*.py")} - {SHARED})


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_says_what_it_does(name):
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Example: python benchmarks/" in done.stdout and "--out" in done.stdout


@pytest.mark.slow
def test_training_compares_with_plain_classifiers(tmp_path, capsys):
    benchmark("training").main(["--quick", "--classifiers", "svm", "logistic", "--out", str(tmp_path / "t.json")])
    svm, logistic = json.loads((tmp_path / "t.json").read_text())["results"]
    same, _ = svm["plain"]
    assert abs(svm["uar"] - same["uar"]) < 0.03 and same["settings"] == "same settings"
    assert logistic["uar"] > 0.4 > 1 / 6 and logistic["seconds"] > 0
    assert "svm" in capsys.readouterr().out


def test_training_data_is_planted_as_said():
    module = benchmark("training")
    args = module.parse_args(["--clips", "3000", "--speakers", "12", "--effect", "0"])
    x, y, speaker = module.planted(args, 32)
    assert x.shape == (3000, 32) and x.dtype == np.float32 and len(set(speaker)) == 12 and set(y) == set(range(6))
    means = np.stack([x[y == k].mean(axis=0) for k in range(6)])
    assert np.abs(means - x.mean(axis=0)).max() < 0.2  # without an effect the classes are alike


@pytest.mark.slow
def test_scale_runs_the_steps_and_measures_them(tmp_path):
    # As a process: that puts benchmarks/ on the import path, where the modules that benchmarks share are.
    command = [sys.executable, str(ROOT / "benchmarks" / "scale.py"), "--clips", "60", "--speakers", "6"]
    command += ["--classifier", "logistic"]
    subprocess.run([*command, "--out", str(tmp_path / "s.json")], check=True)
    (row,) = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert row["clips"] == 60 and 12 < row["audio seconds"] < 24
    assert all(row[step]["seconds"] > 0 and row[step]["peak MB"] > 50 for step in ("step 1", "step 2", "step 3"))


@pytest.mark.slow
def test_whisper_is_compared_in_both_contexts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # it takes its clips from another benchmark
    (tmp_path / "durations.csv").write_text("seconds\n0.5\n")
    flags = ["--models", make_whisper(tmp_path / "model"), "--durations", tmp_path / "durations.csv"]
    flags += ["--audio-seconds", "1", "--rounds", "1", "--out", tmp_path / "w.json"]
    benchmark("whisper").main([str(flag) for flag in flags])
    window, clip = json.loads((tmp_path / "w.json").read_text())["models"]
    for result, methods in ((window, {"single", "padded", "ours"}), (clip, {"single", "ours"})):
        rates = result["audio seconds per second"]
        assert set(rates) - {"faster-whisper"} == methods and min(rates.values()) > 0
    assert window["GFLOP per audio second"] > 10 * clip["GFLOP per audio second"]


def test_the_parts_of_a_corpus_are_drawn_as_said():
    draws = benchmark("normalise").DRAWS
    labels, speakers = np.tile(np.repeat(list("abcd"), 4), 6), np.repeat(list("uvwxyz"), 16)

    def counts(name, seed):
        clips = draws[name](labels, speakers, seed)
        assert len(set(clips)) == len(clips)
        return np.array([[((speakers[clips] == s) & (labels[clips] == c)).sum() for c in "abcd"] for s in "uvwxyz"])

    assert (counts("all", 0) == 4).all() and (counts("balanced half", 0) == 2).all()
    half, skewed = counts("half classes", 0), counts("skewed half", 0)
    assert (np.sort(half, axis=1) == [0, 0, 4, 4]).all() and len(np.unique(half, axis=0)) > 1
    assert (skewed.sum(axis=1) == 8).all() and skewed.std(axis=1).mean() > 0.5
    assert (half == counts("half classes", 0)).all() and (half != counts("half classes", 1)).any()


def readme_tables():
    path = ROOT / "tools" / "readme_tables.py"
    spec = importlib.util.spec_from_file_location("readme_tables", path)
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    return tables


def test_the_pages_tables_are_those_of_the_committed_results():
    tables = readme_tables()
    for name, makers in tables.TABLES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        assert tables.filled(text, name) == text, "run python tools/readme_tables.py"
        other = text.replace(makers[0][1]().splitlines()[2], "| edited by hand |")
        assert other != text and tables.filled(other, name) == text


def test_collected_results_complete_the_committed_ones():
    tables = readme_tables()
    for name in ("ravdess", "emobox", "ravdess_layers"):
        before = tables.rows_of(tables.DOCS / f"{name}.csv")
        changed = before.iloc[1::3].assign(accuracy="0.9")
        rows = tables.completed(changed, before).to_csv(index=False).splitlines()
        expected = before.to_csv(index=False).splitlines()
        expected[2::3] = changed.to_csv(index=False).splitlines()[1:]
        assert rows == expected  # the rows that were not computed again, byte for byte, and every row in its place


def test_what_nkululeko_reports_is_read_as_it_stands(tmp_path):
    peers = benchmark("peers")
    printed, results = tmp_path / "printed.txt", tmp_path / "results"
    (results / "run_0").mkdir(parents=True)
    (results / "run_0/logo_results.txt").write_text("LOGO: mean 0.300,  std: 0.100\nLOGO results: [0.2,0.4]")
    printed.write_text("DEBUG: search_best_result: order=ascending, best epoch=0, best (TEST) result=0.0000\n")
    row = peers.reported(printed, results)  # nothing was evaluated: no UAR must not become 0
    assert row == {"headline": "best (TEST) result=0.0000", "uar": None, "fold_mean": 0.3}

    truth, guess = ["a", "a", "a", "b"], ["a", "a", "b", "b"]
    report = classification_report(truth, guess, output_dict=True)
    (results / "run_0/report.txt").write_text(json.dumps(report) + "\nresult per class (F1 score): [0.8, 0.667]")
    assert peers.reported(printed, results)["uar"] == round((2 / 3 + 1) / 2, 6)


def test_nkululeko_gets_our_folds(tmp_path):
    (tmp_path / "processed").mkdir()
    (tmp_path / "results").mkdir()
    table = "clip_id,path,speaker,gender,emotion\nx/a,data/a.wav,01,male,sad\nx/b,/b.wav,02,female,calm\n"
    (tmp_path / "processed/ravdess.csv").write_text(table)
    (tmp_path / "results/predictions_x.csv").write_text("clip_id,fold,true\nx/b,3,calm\nx/a,1,sad\n")
    clips = benchmark("peers").clips_of(tmp_path)
    assert clips["file"].tolist() == [str(ROOT / "data/a.wav"), "/b.wav"]
    assert clips["fold"].tolist() == ["1", "3"] and clips["speaker"].tolist() == ["01", "02"]


def test_precision_compares_runs_and_embeddings(chain, tmp_path, capsys):
    """With themselves: no difference, and a cosine of 1."""
    results, npz, out = chain["predictions"].parent, chain["embeddings"], tmp_path / "p.json"
    words = ["--results", results, results, "--npz", npz, npz, "--out", out]
    benchmark("precision").main([str(word) for word in words])
    found = json.loads(out.read_text())
    (run,), (encoder,) = found["runs"], found["encoders"]
    assert run["p"] == run["corrected p"] == 1 and run["uar"][0] == run["uar"][1] > 0.9
    assert np.allclose(encoder["least cosine"], 1, atol=1e-6)
    assert "| acoustic | svm |" in capsys.readouterr().out
