"""Steps 4 and 5, and predict.py: figures that agree with scikit-learn, pictures that exist, models that predict."""

import inspect
import json
import re

import made
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from sklearn import metrics as sk

from speechemb.artifacts import predictions
from speechemb.errors import InputError
from speechemb.evaluation import comparison
from speechemb.visualization import map_figures, projection, style

LABELS = list(made.EMOTIONS)


@pytest.fixture
def results(script, tmp_path):
    """Step 3 on planted vectors with an effect that is not easy, SVM, speaker and random folds."""
    vectors, labels, speakers = made.planted(effect=0.6)
    genders = ["female" if int(name[1:]) % 2 else "male" for name in speakers]
    npz = made.npz(tmp_path / "e.npz", vectors, labels, speakers, genders=genders)
    for cv in ("speaker", "random"):
        where = ["--models-dir", str(tmp_path / "models"), "--results-dir", str(tmp_path / "results")]
        script("3_train_classifiers").main(["--npz-path", str(npz), "--classifier", "svm", "--cv", cv, *where])
    return tmp_path / "results"


@pytest.mark.filterwarnings("ignore:The y_prob values do not sum to one")
def test_every_figure_is_scikit_learns(results, script):
    script("4_evaluation_metrics").main(["--results-dir", str(results)])
    for path in results.glob("predictions_*.csv"):
        frame, stamp = predictions.read_predictions(path)
        found = json.loads(
            (results / path.name.replace("predictions", "evaluation_results")).with_suffix(".json").read_text()
        )
        true, predicted, labels = frame["true"], frame["predicted"], stamp["labels"]
        expected = {
            "accuracy": sk.accuracy_score(true, predicted),
            "uar": sk.balanced_accuracy_score(true, predicted),
            "macro_f1": sk.f1_score(true, predicted, labels=labels, average="macro"),
            "weighted_f1": sk.f1_score(true, predicted, labels=labels, average="weighted"),
        }
        assert {key: found["overall"][key] for key in expected} == pytest.approx(expected, abs=1e-12)
        matrix = sk.confusion_matrix(true, predicted, labels=labels)
        assert found["confusion_matrix"] == matrix.tolist()
        table = pd.read_csv(results / f"confusion_matrix_{stamp['tag']}_cv.csv", index_col=0)
        assert (table.to_numpy() == matrix).all() and table.columns.tolist() == labels
        folds = [sk.balanced_accuracy_score(part["true"], part["predicted"]) for _, part in frame.groupby("fold")]
        assert found["fold_mean"]["uar"] == pytest.approx(np.mean(folds))
        assert found["fold_std"]["uar"] == pytest.approx(np.std(folds, ddof=1))
        p = frame[[f"p_{label}" for label in labels]].to_numpy()
        right = np.array(labels)[p.argmax(1)] == true
        assert found["auroc"] == pytest.approx(sk.roc_auc_score(right, p.max(1)), abs=1e-12)
        columns = np.argsort(labels)  # scikit-learn's order
        assert found["nll"] == pytest.approx(sk.log_loss(true, p[:, columns], labels=sorted(labels)), abs=1e-9)
        wrong = pd.read_csv(results / path.stem.removeprefix("predictions_") / "mistakes.csv")
        assert len(wrong) == (~right).sum() and wrong["confidence"].is_monotonic_decreasing
        assert wrong["confidence"].max() == pytest.approx(p.max(1)[~right].max())
        of = frame.set_index("clip_id").loc[wrong["clip_id"]]
        assert (of[["path", "true", "predicted"]].to_numpy() == wrong[["path", "true", "predicted"]].to_numpy()).all()
        low, high = found["interval_95"]["uar"]
        assert 0 <= low < found["overall"]["uar"] < high <= 1
        assert found["chance_uar"] == 0.25 and found["majority"]["accuracy"] == pytest.approx(0.25)


@pytest.mark.slow
def test_the_table_names_protocol_chance_and_majority(results, script, capsys):
    script("4_evaluation_metrics").main(["--results-dir", str(results)])
    printed = capsys.readouterr().out
    assert "random x5 (optimistic)" in printed and "speaker x5: chance UAR 0.250, majority accuracy 0.250" in printed
    table = pd.read_csv(results / "comparison.csv")
    run = ["corpora", "classes", "encoder", "pooling", "precision", "layer", "classifier", "tune", "seed", "augmented"]
    scores = [
        "protocol",
        "note",
        "uar",
        "uar_low",
        "uar_high",
        "uar_fold_mean",
        "uar_fold_std",
        "accuracy",
        "weighted_f1",
    ]
    scores += ["macro_f1", "auroc", "nll", "calibration_error"]
    rest = ["chance_uar", "majority_accuracy", "clips", "windowed_clips", "speakers", "speakers_on_both_sides"]
    rest += ["trained_on", "test_corpus_in_training", "run"]
    assert len(table) == 2 and table.columns.tolist() == run + scores + rest
    runs = json.loads((results / "metrics.json").read_text())["runs"]
    assert {run["protocol"] for run in runs} == {"speaker", "random"}
    for run, row in ((run, table[table["run"] == run["tag"]].iloc[0]) for run in runs):
        pooled, mean = run["overall"]["uar"], run["fold_mean"]["uar"]
        assert (row["uar"], row["uar_fold_mean"]) == (round(pooled, 6), round(mean, 6))
        cells = [rf"{pooled:.3f} +\[0\.\d+, 0\.\d+\]", rf"{mean:.3f} ± {run['fold_std']['uar']:.3f}"]
        cells += [f"{run['overall'][key]:.3f}" for key in ("accuracy", "weighted_f1")] + [f"{run['auroc']:.3f}\n"]
        assert re.search(" +".join(cells), printed)
    assert printed.count("UAR pooled  95 % interval   mean of folds  accuracy  weighted F1  AUROC of confidence\n") == 2
    for pattern in ("confusion_matrix_*_cv.png", "classification_report_*.txt"):
        assert len(list(results.glob(pattern))) == 2
    before = {path: path.read_bytes() for path in results.rglob("*.*")}
    script("4_evaluation_metrics").main(["--results-dir", str(results)])
    assert before == {path: path.read_bytes() for path in results.rglob("*.*")}


@pytest.mark.slow
def test_what_a_deleted_run_left_goes_and_other_files_stay(results, script):
    notes = results / "fairness_notes.txt"
    notes.write_text("mine")
    script("4_evaluation_metrics").main(["--results-dir", str(results)])
    assert (results / "audit.csv").exists()
    (kept,) = results.glob("*svm-random5/")
    assert sorted(path.name for path in kept.iterdir()) == ["fairness.png", "mistakes.csv", "reliability.png"]
    for path in list(results.glob("predictions_*random5*")):
        path.unlink()
    script("4_evaluation_metrics").main(["--results-dir", str(results)])
    left = sorted(path.name for path in results.iterdir() if "random5" in path.name)
    assert left == [f"training_made-made-4emo-mean-svm-random5{end}" for end in (".csv", ".meta.json")]
    assert not list(results.glob("audit*")) and notes.read_text() == "mine"
    summary = json.loads((results / "metrics.json").read_text())
    listed = {*summary["files"], *(f"{run}/{name}" for run, files in summary["run_files"].items() for name in files)}
    assert not kept.exists()
    of_step_3 = {path.name for path in results.glob("*") if path.name.startswith(("predictions_", "training_"))}
    there = {path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file()}
    assert there - of_step_3 - {"metrics.json", notes.name} == listed


def test_one_bad_file_stops_step_4_before_it_writes(results, script):
    (results / "predictions_own.csv").write_text("clip_id,true,predicted\n")
    with pytest.raises(InputError, match="predictions_own.csv"):
        script("4_evaluation_metrics").main(["--results-dir", str(results)])
    assert not (results / "metrics.json").exists()
    with pytest.raises(InputError, match="no predictions"):
        script("4_evaluation_metrics").main(["--results-dir", str(results / "nowhere")])


@pytest.mark.slow
def test_cross_corpus_figures_are_by_direction(script, tmp_path, capsys):
    files = [made.npz(tmp_path / f"{name}.npz", *made.planted(seed=i), corpus=name) for i, name in enumerate("abc")]
    results = tmp_path / "results"
    where = ["--results-dir", str(results)]
    script("3_train_classifiers").main(
        ["--npz-path", *map(str, files), "--cross-corpus", "--classifier", "svm", "--models-dir", str(tmp_path), *where]
    )
    capsys.readouterr()
    script("4_evaluation_metrics").main(where)
    printed = capsys.readouterr().out
    (path,) = results.glob("predictions_*.csv")
    frame, stamp = predictions.read_predictions(path)
    table = pd.read_csv(results / "comparison.csv")
    directions = [(train, test) for train in "abc" for test in "abc" if train != test]
    assert table["protocol"].tolist() == [f"train {train}, test {test}" for train, test in directions]
    assert (table["clips"] == 120).all() and (table["speakers"] == 10).all()  # each clip once per direction
    matrix = pd.read_csv(results / f"cross_corpus_{stamp['tag']}.csv", index_col=0)
    assert matrix.shape == (3, 3) and np.isnan(np.diag(matrix)).all() and matrix.notna().to_numpy().sum() == 6
    for (train, test), uar in zip(directions, table["uar"], strict=True):
        found = json.loads((results / f"evaluation_results_{stamp['tag']}_train-{train}_test-{test}.json").read_text())
        part = frame[frame["fold"].str.startswith(train) & (frame["corpus"] == test)]
        expected = sk.balanced_accuracy_score(part["true"], part["predicted"])
        assert uar == pytest.approx(expected, abs=1e-6) and matrix.loc[train, test] == pytest.approx(uar)
        assert found["overall"]["uar"] == pytest.approx(expected) and found["direction"]["train"] == train
        assert found["protocol_note"] == f"trained on {train}, tested on {test}"
        head, names, row = printed[printed.index(f"train {train}, test {test}: chance") :].splitlines()[:3]
        assert names.split()[0] == "UAR" and row.index(f"{uar:.3f}  [") == names.index("UAR")
    pooled = sk.balanced_accuracy_score(frame["true"], frame["predicted"])
    assert f"{pooled:.3f}" not in printed and not (results / f"evaluation_results_{stamp['tag']}.json").exists()
    assert "mean of folds" not in printed
    assert (results / f"cross_corpus_{stamp['tag']}.png").stat().st_size > 5000

    # Within the corpora: the speaker-independent runs with the same settings, not those of another classifier.
    within = ["--npz-path", str(files[0]), "--classifier", "svm", "logistic", "--models-dir", str(tmp_path), *where]
    script("3_train_classifiers").main(within)
    script("4_evaluation_metrics").main(where)
    table = pd.read_csv(results / "comparison.csv").set_index(["corpora", "classifier"])["uar"]
    matrix = pd.read_csv(results / f"cross_corpus_{stamp['tag']}.csv", index_col=0)
    assert matrix.loc["a", "a"] == pytest.approx(table["a", "svm"]) and np.isnan(np.diag(matrix)[1:]).all()


@pytest.mark.slow
def test_a_run_over_several_corpora_has_figures_of_each(script, tmp_path, capsys):
    files = [
        made.npz(tmp_path / f"{name}.npz", *made.planted(seed=i, effect=0.6), corpus=name)
        for i, name in enumerate("ab")
    ]
    where = ["--results-dir", str(tmp_path / "results"), "--models-dir", str(tmp_path)]
    script("3_train_classifiers").main(
        ["--npz-path", *map(str, files), "--corpora", "a+b", "--classifier", "svm", *where]
    )
    capsys.readouterr()
    script("4_evaluation_metrics").main(where[:2])
    (run,) = json.loads((tmp_path / "results" / "metrics.json").read_text())["runs"]
    frame = pd.read_csv(next((tmp_path / "results").glob("predictions_*.csv")))
    for corpus, part in frame.groupby("corpus"):
        of = run["by_corpus"][corpus]
        assert of["uar"] == pytest.approx(sk.balanced_accuracy_score(part["true"], part["predicted"]))
        assert of["clips"] == 120 and of["interval_95"][0] < of["uar"] < of["interval_95"][1]
    _, _, *rows = capsys.readouterr().out.partition(" UAR pooled ")[2].splitlines()[:4]
    for row, corpus in zip(rows, "ab", strict=True):
        of = run["by_corpus"][corpus]
        low, high = of["interval_95"]
        assert re.match(rf"    {corpus}, 120 clips +{of['uar']:.3f} +\[{low:.3f}, {high:.3f}\] +", row)


@pytest.mark.slow
def test_the_runs_of_a_layer_curve_have_one_picture(script, tmp_path, capsys):
    vectors, labels, speakers = made.planted()
    layers = np.stack([vectors, vectors + 1, vectors * 2, vectors], axis=1)
    npz = made.npz(tmp_path / "e.npz", layers, labels, speakers)
    results = tmp_path / "results"
    where = [
        "--npz-path",
        str(npz),
        "--classifier",
        "svm",
        "--models-dir",
        str(tmp_path),
        "--results-dir",
        str(results),
    ]
    for layer in ("mean", "each"):
        script("3_train_classifiers").main([*where, "--layer", layer])
    capsys.readouterr()
    script("4_evaluation_metrics").main(["--results-dir", str(results)])
    printed = capsys.readouterr().out
    assert len(list(results.glob("evaluation_results_*.json"))) == 5
    assert len(list(results.glob("confusion_matrix_*.png"))) == len(list(results.glob("*/fairness.png"))) == 1
    assert len(list(results.glob("layer_curve_*.png"))) == 1
    assert "layer curve of 4 runs, in no comparison: layer_curve_" in printed
    assert pd.read_csv(results / "paired_tests.csv").empty


@pytest.mark.slow
def test_maps_of_one_seed_are_equal_and_neighbourhoods_are_counted(script, tmp_path, capsys):
    vectors, labels, speakers = made.planted(speakers=6, clips=20, effect=0.0, speaker_effect=4.0)
    npz = made.npz(tmp_path / "e.npz", vectors, labels, speakers)
    for name in ("a", "b"):
        script("5_visualization_umap").main(["--npz-path", str(npz), "--results-dir", str(tmp_path / name)])
    printed = capsys.readouterr().out
    assert "100% of a clip's neighbours share its speaker (16% by chance)" in printed
    coordinates = [(tmp_path / name / "umap_emotion.csv").read_bytes() for name in ("a", "b")]
    assert coordinates[0] == coordinates[1]
    table = pd.read_csv(tmp_path / "a" / "umap_emotion.csv")
    assert len(table) == 2 * 120 and set(table["map"]) == {"all", "made"}
    pictures = {path.name: path.read_bytes()[:4] for path in (tmp_path / "a").glob("*.png")}
    # One map is no grid.
    assert pictures == {"umap_emotion.png": b"\x89PNG", "umap_emotion_3d.png": b"\x89PNG"}

    import pynndescent
    import umap

    assert inspect.isfunction(pynndescent.distances.euclidean)  # imported without being compiled; umap is compiled
    assert not inspect.isfunction(umap.umap_.smooth_knn_dist)


@pytest.mark.slow
def test_speakers_of_two_corpora_are_different_people_and_unknown_ones_are_nobody(script, tmp_path, capsys):
    vectors, labels, speakers = made.planted(speakers=4, clips=20, effect=0.0, speaker_effect=4.0)
    vectors = np.concatenate([vectors, vectors + 0.5, made.planted(speakers=1, clips=20, seed=9)[0]])
    corpora = np.repeat(["a", "b"], [80, 100])
    names = np.array([*speakers, *speakers, *[""] * 20])  # the same names in both corpora
    labels = [*labels, *labels, *labels[:20]]
    npz = made.npz(tmp_path / "e.npz", vectors, labels, names, corpora=corpora)
    script("5_visualization_umap").main(["--npz-path", str(npz), "--results-dir", str(tmp_path)])
    printed = capsys.readouterr().out
    assert {path.name for path in tmp_path.glob("umap_grid*")} == {"umap_grid.png", "umap_grid_speaker.png"}
    # Each speaker has 20 of 160 clips with a known speaker: 19 / 159 by chance, not 39 / 159.
    assert "made, all: " in printed and "share its speaker (12% by chance)" in printed
    table = pd.read_csv(tmp_path / "umap_emotion.csv", keep_default_na=False)
    columns = ["encoder", "map", "clip_id", "corpus", "emotion", "speaker", "x", "y", "x3", "y3", "z3"]
    assert table.columns.tolist() == columns
    assert set(table["speaker"]) == {"s00", "s01", "s02", "s03", ""}
    persons = np.where(names == "", "", np.char.add(np.char.add(corpora, "/"), names))
    colours = style.speaker_colours(persons)
    assert len(colours) == len(set(colours.values())) == 9 and colours[""] == style.GREY
    drawn = map_figures.EmbeddingMap("made", ["a", "b"], np.zeros((180, 2)), np.array(labels), persons)
    title = map_figures.map_pair(drawn).axes[1].get_title()
    assert "by speaker (8)" in title and "20 clips of unknown speakers" in title
    script("5_visualization_umap").main(["--npz-path", str(npz), "--corpora", "a", "--results-dir", str(tmp_path)])
    assert not list(tmp_path.glob("umap_grid*"))


def test_purity_counts_pairs_of_clips_with_known_speakers_only():
    graph = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0], [3, 2, 1]]), np.zeros((4, 3))
    found, expected = projection.purity(graph, np.array(["x", "x", "", ""]))
    assert (found, expected) == (1, 1)
    found, expected = projection.purity(graph, np.array(["x", "x", "y", "y"]))
    assert (found, expected) == (0.5, pytest.approx(1 / 3))
    for values in (["", "", "", ""], ["x", "", "", ""]):
        assert np.isnan(projection.purity(graph, np.array(values))).all()


@pytest.mark.slow
def test_unknown_speakers_are_said_and_drawn_grey(script, tmp_path, capsys):
    vectors, labels, _ = made.planted(speakers=3, clips=20)
    npz = made.npz(tmp_path / "e.npz", vectors, labels, [""] * 60)
    script("5_visualization_umap").main(["--npz-path", str(npz), "--results-dir", str(tmp_path)])
    assert "made, all: no neighbours whose speaker is known" in capsys.readouterr().out
    assert (tmp_path / "umap_emotion.png").read_bytes()[:4] == b"\x89PNG"


def test_a_map_of_one_clip_is_refused(script, tmp_path):
    npz = made.npz(tmp_path / "e.npz", np.ones((1, 4)), ["sad"], ["s1"])
    with pytest.raises(InputError, match="e.npz holds one clip, made/0000: a map needs two or more"):
        script("5_visualization_umap").main(["--npz-path", str(npz), "--results-dir", str(tmp_path / "results")])
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize("clips", [2, 3, 16])
@pytest.mark.parametrize("alike", [True, False])
def test_maps_of_few_and_of_identical_clips(script, tmp_path, capsys, clips, alike):
    vectors = np.ones((clips, 4)) if alike else np.random.default_rng(0).normal(size=(clips, 4))
    npz = made.npz(tmp_path / "e.npz", vectors, ["sad", "happy"] * 8 if clips == 16 else LABELS[:clips], range(clips))
    script("5_visualization_umap").main(["--npz-path", str(npz), "--results-dir", str(tmp_path)])
    assert "made, all: 0% of a clip's neighbours share its speaker (0% by chance)" in capsys.readouterr().out
    assert np.isfinite(pd.read_csv(tmp_path / "umap_emotion.csv")[["x", "y"]].to_numpy()).all()


@pytest.mark.slow
def test_a_corpus_of_one_clip_has_no_map_and_corpora_are_chosen(script, tmp_path, capsys, caplog):
    vectors, labels, speakers = made.planted(speakers=2, clips=12)
    corpora = ["a"] * 12 + ["b"] * 11 + ["c"]
    npz = made.npz(tmp_path / "e.npz", vectors, labels, speakers, corpora=corpora)
    where = ["--npz-path", str(npz), "--results-dir", str(tmp_path)]
    script("5_visualization_umap").main(where)
    table = pd.read_csv(tmp_path / "umap_emotion.csv")
    assert table["map"].value_counts().to_dict() == {"all": 24, "a": 12, "b": 11}
    assert "made/0023 is the only clip of c (made): no map of this corpus" in caplog.text
    script("5_visualization_umap").main([*where, "--corpora", "b"])
    table = pd.read_csv(tmp_path / "umap_emotion.csv")
    assert table["map"].value_counts().to_dict() == {"all": 11, "b": 11} and set(table["corpus"]) == {"b"}
    for flags, why in (
        (["--corpora", "d"], "--corpora d: .*e.npz holds a, b, c"),
        (["--corpora", "c"], "holds one clip, made/0023"),
        (["--layer", "weighted"], "--layer weighted: a map is of one layer"),
        (["--layer", "auto"], "--layer auto: a map is of one layer"),
    ):
        with pytest.raises(InputError, match=why):
            script("5_visualization_umap").main([*where, *flags])


def test_neighbours_are_the_nearest():
    x = np.random.default_rng(0).normal(size=(60, 5))
    x[1] = x[0]  # a duplicate
    indices, distances = projection.neighbours(x)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    expected = np.sort(np.linalg.norm(z[:, None] - z[None], axis=2), axis=1)[:, :15]
    np.testing.assert_allclose(distances, expected, atol=1e-5)
    assert (indices[:, 0] == np.arange(60)).all()
    x[:20] = x[0]  # more than a neighbourhood
    for row, found in enumerate(projection.neighbours(x)[0]):
        assert found[0] == row and len(set(found)) == 15


@pytest.mark.slow
@pytest.mark.parametrize("name", ["svm", "logistic", "mlp", "xgboost"])
def test_predict_knows_its_training_clips(script, tmp_path, capsys, name):
    """Every step on made tones with the bundled encoder; then each model on the files themselves."""
    table = made.corpus(tmp_path / "tones", speakers=4, seconds=0.4)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(tmp_path / "processed")])
    npz = tmp_path / "e.npz"
    nano = str(ROOT / "models" / "wavlm-nano")
    script("2_wavlm_feature_extraction").main(
        ["--metadata", str(tmp_path / "processed" / "tones.csv"), "--model", nano, "--out", str(npz)]
    )
    where = ["--models-dir", str(tmp_path / "models"), "--results-dir", str(tmp_path)]
    script("3_train_classifiers").main(["--npz-path", str(npz), "--classifier", name, "--n-folds", "2", *where])
    (tmp_path / "tones" / "silent.wav").write_bytes(b"RIFF not really")
    (model,) = (tmp_path / "models").iterdir()
    out = tmp_path / "out.csv"
    script("predict").main(["--model", str(model), str(tmp_path / "tones"), "--out", str(out)])
    found = pd.read_csv(out)
    assert len(found) == 32
    assert np.mean([row.emotion in row.path for row in found.itertuples()]) > 0.9


@pytest.mark.parametrize(
    ("protocol", "strict"),
    [
        ("speaker x5", True),
        ("speaker x5, 3 times", True),
        ("speaker x5 (LEAK: scaler)", False),
        ("speaker x5 (transductive, uses the test speaker's unlabelled clips)", False),
        ("random x5 (optimistic)", False),
        ("speaker+sentence x4", False),
    ],
)
def test_only_speaker_folds_without_leakage_come_first_in_the_report(protocol, strict):
    assert comparison.is_strict(protocol) == strict
