"""robustness.py: held-out models on changed test clips, from made signals to the table."""

import shutil

import made
import numpy as np
import pandas as pd
import pytest

from speechemb.artifacts import embeddings, predictions
from speechemb.artifacts.storage import ArtifactError
from speechemb.audio import changes, decoding
from speechemb.encoders.acoustic import Acoustic
from speechemb.errors import InputError
from speechemb.evaluation import counts, robustness
from speechemb.metrics import intervals
from speechemb.metrics.classification import uar_of
from speechemb.training import refitting

pytestmark = pytest.mark.slow

MADE = ["white_10db", "babble_20db", "silence_0.5s"]


@pytest.fixture(scope="module")
def made_run(script, tmp_path_factory):
    """Folder, name of a run, and what robustness.py has written for it."""
    folder = tmp_path_factory.mktemp("robust")
    table = made.corpus(folder / "tones", speakers=6, takes=1, seconds=0.3)
    csv, npz = folder / "processed" / "tones.csv", folder / "e.npz"
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(csv.parent)])
    script("2_wavlm_feature_extraction").main(["--metadata", str(csv), "--model", "acoustic", "--out", str(npz)])
    script("3_train_classifiers").main(
        ["--npz-path", str(npz), "--classifier", "svm", "--n-folds", "3", "--models-dir", str(folder / "m"),
         "--results-dir", str(folder / "results")]
    )  # fmt: skip
    run = "acoustic-tones-4emo-mean-svm-speaker3"
    script("robustness").main([run, "--changes", *MADE, "--results-dir", str(folder / "results")])
    return folder, run


def test_the_table_holds_what_the_held_out_models_answer(made_run):
    folder, run = made_run
    table = pd.read_csv(folder / "results" / "robustness.csv")
    frame, stamp = predictions.read_predictions(folder / "results" / f"predictions_{run}.csv")
    clean = counts.count(frame, stamp["labels"])
    assert table["change"].tolist() == MADE and (table["run"] == run).all()
    assert table["uar_clean"].to_numpy() == pytest.approx(float(uar_of(clean.total)), abs=1e-6)
    assert (table["clips"] == 24).all() and (table["speakers"] == 6).all()
    assert table["difference"].to_numpy() == pytest.approx((table["uar"] - table["uar_clean"]).to_numpy(), abs=2e-6)
    white, babble, _ = table.to_dict("records")
    assert white["uar"] < babble["uar"] and white["unchanged"] < babble["unchanged"] < 1  # tones in noise
    assert babble["difference_low"] < babble["difference"] < babble["difference_high"]
    assert np.isnan(white["difference_low"])  # the same for every speaker
    assert (folder / "results" / "robustness.png").read_bytes()[:4] == b"\x89PNG"


def test_embeddings_are_of_the_changed_clips_whatever_is_computed_with_them(made_run):
    folder, _ = made_run
    data = embeddings.read(folder / "e_changed" / "white_10db.npz")
    assert data.clip_ids[0] == f"{data.augmented_from[0]}#white_10db"
    place = 17
    clean = decoding.load(folder / "tones" / f"{data.augmented_from[place].split('/')[1]}.wav")
    noisy = changes.changed("white_10db", clean, data.augmented_from[place])
    assert np.array_equal(data.embeddings[place], Acoustic().embed([noisy], [0], ["functionals"])[0])


def test_a_babble_is_of_other_speakers(made_run):
    from speechemb.extraction.changed import Changer, Source

    source = Source.of(made_run[0] / "e.npz", "cpu")
    changer = Changer("babble_10db", source.clips)
    asked = []
    changer._waveform = lambda place: asked.append(place) or np.zeros(3)
    for place in range(24):
        asked.clear()
        list(changer.others(place))
        assert len(asked) == 5 and not set(source.clips.speaker[asked]) & {source.clips.speaker[place]}


def test_changed_clips_are_computed_once_and_a_part_of_them_is_the_same(made_run, script, tmp_path, capsys):
    folder = tmp_path / "again"
    shutil.copytree(made_run[0], folder)
    npz = made_run[0] / "e_changed" / "white_10db.npz"
    before = npz.stat().st_mtime_ns
    again = [made_run[1], "--changes", "white_10db", "--results-dir", str(made_run[0] / "results")]
    first = pd.read_csv(made_run[0] / "results" / "robustness.csv").head(1)
    script("robustness").main(again)
    assert npz.stat().st_mtime_ns == before
    assert pd.read_csv(made_run[0] / "results" / "robustness.csv").equals(first)
    whole = embeddings.read(npz)
    with pytest.raises(ArtifactError, match="white_10db.npz exists.*with other drawn.*--overwrite"):
        script("robustness").main([*again, "--limit", "20"])
    script("robustness").main([*again, "--limit", "20", "--overwrite"])
    part = embeddings.read(npz)
    assert len(part.clip_ids) == 20
    places = [whole.clip_ids.tolist().index(name) for name in part.clip_ids]
    assert np.array_equal(part.embeddings, whole.embeddings[places])
    assert pd.read_csv(made_run[0] / "results" / "robustness.csv")["clips"].tolist() == [20]
    assert "on 20 clean clips" in capsys.readouterr().out


def test_step_3_does_not_train_on_changed_clips(made_run, script, tmp_path):
    npz = made_run[0] / "e_changed" / "silence_0.5s.npz"
    with pytest.raises(InputError, match="without their original"):
        script("3_train_classifiers").main(
            ["--npz-path", str(npz), "--results-dir", str(tmp_path), "--models-dir", str(tmp_path)]
        )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nothing"], "predictions_nothing.csv is missing"),
        (
            ["acoustic-tones-4emo-mean-svm-speaker3", "--changes", "rain"],
            "--changes rain: choose from babble_20db",
        ),
    ],
)
def test_wrong_input_ends_in_one_line(made_run, script, words, line):
    with pytest.raises(InputError, match=line):
        script("robustness").main([*words, "--results-dir", str(made_run[0] / "results")])


def test_models_that_answer_differently_are_refused(made_run):
    folder, run = made_run
    frame, stamp = predictions.read_predictions(folder / "results" / f"predictions_{run}.csv")
    refitting.check_same(stamp, frame, frame.iloc[::-1])
    for column, value in (("predicted", "sad"), ("fold", "7"), ("p_sad", 0.4321)):
        other = frame.copy()
        other.loc[other.index[other[column] != value][0], column] = value
        with pytest.raises(ArtifactError, match=r"made anew|answer differently \(.*rerun python src/3_train"):
            refitting.check_same(stamp, other, frame)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"leak": "scaler"}, "leaks deliberately: take a run without --leak"),
        ({"normalise": "speaker"}, "take a run without --normalise"),
        ({"raters": "votes"}, "take a run without --raters"),
        ({"protocol": "speaker+sentence"}, "take a run with --cv speaker"),
        ({"protocol": "cross-corpus"}, "take a run without --cross-corpus"),
        ({"protocol": "folds_emobox_1a2b3c4d"}, "give the table that step 3 was given with --folds"),
    ],
)
def test_runs_that_cannot_be_fitted_anew_are_refused(made_run, setting, line):
    folder, run = made_run
    frame, stamp = predictions.read_predictions(folder / "results" / f"predictions_{run}.csv")
    with pytest.raises(InputError, match=line):
        refitting.refit(frame, {**stamp, **setting}, None, lambda: None)


def test_a_paired_interval_is_narrower_than_that_of_unpaired_runs_and_covers():
    rng, inside, widths = np.random.default_rng(0), 0, []
    for repeat in range(200):
        skill = rng.beta(4, 3, 24)[:, None]
        right = rng.binomial(20, np.hstack([skill, 0.8 * skill]))
        a, b = ([[[r, 20 - r], [20 - r, r]] for r in column] for column in right.T)
        low, high = intervals.difference_interval(uar_of, a, b)
        inside += low <= 0.2 * 4 / 7 <= high
        if repeat >= 10:
            continue
        both = [intervals.speaker_interval(uar_of, one) for one in (a, b)]
        widths.append((high - low) / np.hypot(both[0][1] - both[0][0], both[1][1] - both[1][0]))
    assert 0.92 <= inside / 200 <= 0.99
    assert np.mean(widths) < 0.7
    assert np.isnan(intervals.difference_interval(uar_of, a, a)).all()


def test_clips_of_unknown_speakers_have_no_interval():
    rows = [(f"c/{i}", "c", "", f"clip:c/{i}", "1", "sad", "sad", 1.0, 0.0) for i in range(6)]
    columns = ["clip_id", "corpus", "speaker", "group", "fold", "true", "predicted", "p_sad", "p_happy"]
    frame = pd.DataFrame(rows, columns=columns)
    frame.loc[3:, "true"] = "happy"
    stamp = {"tag": "r", "encoder": {"tag": "e"}, "classifier": "svm", "labels": ["happy", "sad"]}
    row = robustness.compared(stamp, "white_10db", "", frame, frame.assign(predicted="happy"))
    assert np.isnan(row["difference_low"]) and row["unchanged"] == 0 and row["speakers"] == 6
