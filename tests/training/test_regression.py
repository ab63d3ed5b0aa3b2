"""Step 3 with `--target arousal valence`: planted numbers are found, through all steps, and models predict them."""

import json

import made
import numpy as np
import pandas as pd
import pytest

from speechemb.artifacts import regression, storage
from speechemb.artifacts.predictions import read_predictions
from speechemb.artifacts.storage import ArtifactError
from speechemb.classifiers import persistence, regressors
from speechemb.errors import InputError
from speechemb.splits import REGRESSORS, targets
from speechemb.training.cross_validation import Recipe, Task
from speechemb.training.regression import fit_and_test


def planted(speakers=8, clips=20, dim=12, seed=0):
    """Vectors (n, dim) that tell arousal (in units of 10) and half of valence; names of speakers; both numbers."""
    rng = np.random.default_rng(seed)
    names = [f"s{i // clips}" for i in range(speakers * clips)]
    of_speaker = np.repeat(rng.normal(size=(speakers, dim)), clips, axis=0)
    numbers = rng.normal(size=(len(names), 2))
    numbers[:, 1] += 0.5 * numbers[:, 0]
    vectors = 1.5 * numbers @ rng.normal(size=(2, dim)) + of_speaker + rng.normal(size=(len(names), dim))
    return vectors, names, {"arousal": 30 + 10 * numbers[:, 0], "valence": numbers[:, 1]}


def corpus(path, tag="made", **changed):
    vectors, names, numbers = planted()
    emotions = [made.EMOTIONS[i % 4] for i in range(len(names))]
    return made.npz(path, changed.pop("vectors", vectors), emotions, names, tag=tag, numbers={**numbers, **changed})


def run(script, folder, npz, *flags):
    where = ["--models-dir", str(folder / "models"), "--results-dir", str(folder / "results")]
    script("3_train_classifiers").main(["--npz-path", str(npz), "--n-folds", "4", *where, *flags])
    return {stamp["classifier"]: (frame, stamp) for frame, stamp in map(regression.read, regressions(folder))}


def regressions(folder):
    return sorted((folder / "results").glob("regression_*.csv"))


def correlation(frame, target):
    return np.corrcoef(frame[f"true_{target}"], frame[f"predicted_{target}"])[0, 1]


@pytest.fixture(scope="module")
def found(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    noise = np.random.default_rng(1).normal(size=(160, 12))
    wanted = ["--target", "arousal", "valence"]
    run(script, folder, corpus(folder / "a.npz", "acoustic", vectors=noise), *wanted, "--classifier", "ridge")
    runs = run(script, folder, corpus(folder / "e.npz"), *wanted)
    script("4_evaluation_metrics").main(["--results-dir", str(folder / "results")])
    return folder, runs


@pytest.mark.slow
def test_every_regressor_finds_planted_numbers_in_speaker_independent_folds(found):
    _, runs = found
    assert set(runs) == set(REGRESSORS)
    for name, (frame, stamp) in runs.items():
        if name != "ridge":  # of which two encoders have runs
            assert correlation(frame, "arousal") > 0.8 and correlation(frame, "valence") > 0.75, name
        assert stamp["target"] == "arousal+valence" and stamp["speakers_on_both_sides"] == 0
        folds = [set(of["speaker"]) for _, of in frame.groupby("fold")]
        assert len(frame) == 160 and len(set.union(*folds)) == sum(map(len, folds)) == 8


@pytest.mark.slow
def test_step_4_gives_ccc_with_intervals_tests_and_a_report(found):
    folder, _ = found
    table = pd.read_csv(folder / "results" / "regression.csv").set_index(["target", "encoder", "classifier"])
    ridge, noise = table.loc[("arousal", "made", "ridge")], table.loc[("arousal", "acoustic", "ridge")]
    assert ridge["ccc_low"] < ridge["ccc"] < ridge["ccc_high"] and ridge["ccc"] > 0.8
    assert ridge["rmse"] < 7 < noise["rmse"] and ridge["rmse_of_mean"] == pytest.approx(10, rel=0.2)
    assert ridge["verdict"] == "significantly better" and noise["verdict"] == "reference"
    assert table.loc[("arousal", "made", "svr"), "verdict"] == "no reference"
    assert (folder / "results" / f"scatter_{ridge['run']}.png").is_file()
    page = (folder / "results" / "report.html").read_text()
    assert "Numbers: arousal, valence and others" in page and ridge["run"] in page
    one = json.loads((folder / "results" / f"evaluation_regression_{ridge['run']}.json").read_text())
    assert one["targets"]["arousal"]["ccc"] == pytest.approx(ridge["ccc"], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", REGRESSORS)
def test_a_model_predicts_what_it_learned(found, name):
    folder, _ = found
    (model,) = (folder / "models").glob(f"made-*-{name}-*")
    regressor, meta = persistence.load(model)
    vectors, _, numbers = planted()
    predicted = regressor.predict(vectors.astype(np.float32))
    assert meta["targets"] == ["arousal", "valence"] and meta["kind"] == "regression model"
    assert np.corrcoef(predicted[:, 0], numbers["arousal"])[0, 1] > 0.85
    assert abs(predicted[:, 0].mean() - 30) < 2  # in the units of the target


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_saved_regressor_predicts_the_same_and_a_cut_file_is_refused(name, tmp_path):
    vectors, names, numbers = planted(speakers=4)
    x, y = vectors.astype(np.float32), np.stack(list(numbers.values()), axis=1)
    group = np.unique(names, return_inverse=True)[1]
    fitted = regressors.make(name, 2, 0, **regressors.DRAFT.get(name, {})).fit(x, y, group)
    fitted.save(tmp_path)
    loaded = regressors.make(name, 2, 0).load(tmp_path)
    np.testing.assert_allclose(loaded.predict(x), fitted.predict(x), rtol=1e-6)
    (path, *_) = sorted(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError):
        regressors.make(name, 2, 0).load(tmp_path)


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_prediction_does_not_depend_on_the_other_test_clips(name):
    vectors, names, numbers = planted(speakers=4)
    y, group = np.stack(list(numbers.values()), axis=1), np.unique(names, return_inverse=True)[1]
    task = Task(vectors.astype(np.float32), y, group, list(numbers))
    fold = targets.protocols.Fold("1", np.flatnonzero(group > 0), np.flatnonzero(group == 0))
    _, before = fit_and_test(Recipe(name), task, fold)
    task.x[fold.test[1:]], task.y[fold.test] = 1e3, 1e6
    _, after = fit_and_test(Recipe(name), task, fold)
    np.testing.assert_allclose(after[0], before[0], atol=1e-5)


def test_clips_without_a_rating_are_counted_and_rare_emotions_do_not_matter(script, tmp_path):
    vectors, names, numbers = planted(speakers=4)
    numbers["arousal"][:3] = np.nan
    emotions = ["contempt", *["sad"] * (len(names) - 1)]
    npz = made.npz(tmp_path / "e.npz", vectors, emotions, names, numbers=numbers)
    flags = ["--target", "arousal", "--classifier", "ridge", "--layer", "auto"]
    frame, stamp = run(script, tmp_path, npz, *flags)["ridge"]
    assert len(frame) == 77 and stamp["dropped"] == 3
    (excluded,) = (tmp_path / "results").glob("excluded_*.csv")
    assert set(pd.read_csv(excluded)["reason"]) == {"arousal unknown"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--target", "dominance"], "--target dominance: --npz-path has arousal, valence"),
        (["--target", "emotion", "arousal"], "emotion is classes and arousal numbers"),
        (["--target", "speaker", "--regression"], "--regression: speaker is no number"),
        (["--target", "arousal", "--classifier", "logistic"], "numbers are predicted by ridge, svr, mlp, xgboost"),
        (["--classifier", "ridge"], "classes are told by svm"),
        (["--target", "arousal", "--protocol", "superb"], "--protocol superb tells classes"),
    ],
)
def test_what_cannot_be_asked_is_one_line(script, tmp_path, flags, words):
    npz = corpus(tmp_path / "e.npz")
    with pytest.raises(InputError) as error:
        run(script, tmp_path, npz, *flags)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_predictions_that_are_no_numbers_are_refused(script, tmp_path):
    npz = corpus(tmp_path / "e.npz")
    frame, stamp = run(script, tmp_path, npz, "--target", "arousal", "--classifier", "ridge")["ridge"]
    (path,) = regressions(tmp_path)
    frame = frame.astype(object)
    frame.loc[0, "predicted_arousal"] = "much"
    storage.write_csv(path, frame, stamp)
    with pytest.raises(ArtifactError, match="predicted_arousal holds something else"):
        regression.read(path)


@pytest.mark.slow
def test_settings_of_regressors_are_tuned_inside_the_folds(script, tmp_path):
    npz = corpus(tmp_path / "e.npz")
    _, stamp = run(script, tmp_path, npz, "--target", "valence", "--classifier", "svr", "--tune", "3")["svr"]
    assert "-svr-tune3-" in stamp["tag"]
    (trials,) = (tmp_path / "results").glob("tuning_*.csv")
    assert pd.read_csv(trials)["inner_ccc"].notna().all()


@pytest.mark.slow
def test_intensity_and_speaker_of_real_speech_are_heard(script, shared, tmp_path):
    """RAVDESS's actors speak loudly where they are to be intense: the acoustic functionals tell it, and who speaks."""
    folders = [shared / "data" / "ravdess" / f"Actor_{actor:02d}" for actor in (1, 2, 3, 4)]
    corpus_folder = tmp_path / "RAVDESS"
    corpus_folder.mkdir()
    for path in (path for folder in folders for path in folder.glob("03-01-0[56]-*.flac")):
        (corpus_folder / path.name).symlink_to(path)
    out = ["--out-dir", str(tmp_path)]
    source = ["--corpora", "ravdess", "--data-dir", str(corpus_folder), "--emotions", "all"]
    script("1_data_preprocessing").main([*source, *out])
    npz = tmp_path / "e.npz"
    csv = str(tmp_path / "ravdess.csv")
    script("2_wavlm_feature_extraction").main(["--metadata", csv, "--model", "acoustic", "--out", str(npz)])
    flags = ["--target", "intensity", "--regression", "--classifier", "ridge"]
    frame, _ = run(script, tmp_path, npz, *flags)["ridge"]
    assert correlation(frame, "intensity") > 0.3
    where = ["--models-dir", str(tmp_path / "models"), "--results-dir", str(tmp_path / "results")]
    probe = ["--npz-path", str(npz), "--target", "speaker", "--classifier", "logistic"]
    script("3_train_classifiers").main([*probe, *where])
    (path,) = (tmp_path / "results").glob("probes_*-4speaker-*-sentence2.csv")
    voices = read_predictions(path)[0]
    assert (voices["true"] == voices["predicted"]).mean() > 0.7
    (model,) = (tmp_path / "models").iterdir()
    loud = next(corpus_folder.glob("03-01-05-02-*-01.flac"))
    predict = script("predict").main
    predict(["--model", str(model), str(loud), "--out", str(tmp_path / "p.csv")])
    table = pd.read_csv(tmp_path / "p.csv")
    assert list(table.columns) == ["path", "intensity", "novelty", "note"] and 1 < table["intensity"][0] < 2.6
    with pytest.raises(InputError, match="predicts intensity, not emotions"):
        predict(["--model", str(model), str(loud), "--min-confidence", "0.5"])
