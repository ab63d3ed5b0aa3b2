"""`--guess-speakers`: planted speakers are found, only where it is asked for, and all outputs say what it is worth."""

import json

import made
import numpy as np
import pandas as pd
import pytest
from test_training import run

from speechemb.artifacts import embeddings
from speechemb.errors import InputError
from speechemb.evaluation import comparison
from speechemb.reports.text import run_title
from speechemb.speakers import guessed, known
from speechemb.splits import guessing
from speechemb.training import refitting

WORDS = "guessed speakers (optimistic): folds share real speakers"
NAME = "made-made-4emo-mean-logistic-guessed8-folds4"
GUESS = ("--classifier", "logistic", "--n-folds", "4", "--guess-speakers", "8")


def speakers_apart(path, hidden=True, **columns):
    """Eight speakers who are easy to tell apart in layer 1 and cannot be in layer 0, in a file without their names."""
    vectors, labels, names = made.planted(speakers=8, clips=16, effect=1.0, speaker_effect=8.0)
    noise = np.random.default_rng(1).normal(size=vectors.shape)
    stacked = np.stack([noise, vectors], axis=1)
    return made.npz(path, stacked, labels, [""] * len(names) if hidden else names, **columns), np.array(names)


def same_groups(one, other):
    return len(set(zip(one, other, strict=True))) == len(set(one)) == len(set(other))


def test_planted_speakers_are_found_whatever_the_scale_of_a_feature(tmp_path):
    npz, names = speakers_apart(tmp_path / "e.npz")
    data = embeddings.read(npz)
    data.embeddings[:, :, 0] *= 1e-4
    data.embeddings[:, :, 1] = 1e4 * np.random.default_rng(2).normal(size=data.embeddings.shape[:2])
    found = guessing.clusters(data.embeddings[:, 1], data.audio_sha256, 8, "made")
    assert same_groups(found, names)
    (guess,) = guessing.with_guesses([data], [npz], 8)
    assert same_groups(guess.speakers, names) and set(guess.speakers) == {f"guessed0{i}" for i in range(1, 9)}
    assert (data.speakers == "").all()  # what was read is left alone


def test_segments_of_a_recording_and_copies_of_a_clip_stay_together(tmp_path):
    vectors, labels, names = made.planted(speakers=4, clips=8, effect=0.0, speaker_effect=8.0)
    vectors[1] = vectors[9]  # the second segment of the first recording sounds like another speaker
    ids = [f"made/{i:04d}" for i in range(32)]
    audio = ["one", "one", *(f"audio{i}" for i in range(30))]
    npz = made.npz(
        tmp_path / "e.npz",
        np.concatenate([vectors, vectors[::-1]]),  # the copies sound like anybody
        labels * 2,
        [""] * 64,
        clip_ids=[*ids, *(f"{name}#1" for name in ids)],
        augmented_from=[""] * 32 + ids,
        audio_sha256=[*audio, *(f"{one}#1" for one in audio)],
    )
    (guess,) = guessing.with_guesses([embeddings.read(npz)], [npz], 4)
    assert guess.speakers[0] == guess.speakers[1]
    assert guess.speakers[32:].tolist() == guess.speakers[:32].tolist()
    assert same_groups(guess.speakers[2:32], names[2:])


@pytest.mark.parametrize(("layers", "layer"), [([0, 1, 2], 1), ([0], 0), ([4, 8, 12], 4), ([0, 6], 6)])
def test_the_layer_is_fixed(layers, layer):
    assert guessing.layer_of(layers) == layer


def test_a_guess_is_nobody():
    names = np.array(["guessed01", "ravdess/guessed7", "guessed", "guesseda1", "01", ""])
    assert guessed(names).tolist() == [True, True, False, False, False, False]
    assert known(names).tolist() == ["", "", "guessed", "guesseda1", "01", ""]


def test_without_the_flag_unknown_speakers_are_refused(script, tmp_path):
    npz, _ = speakers_apart(tmp_path / "e.npz")
    with pytest.raises(InputError, match="128 clips of made have neither speaker nor session.*--guess-speakers N"):
        run(script, tmp_path, npz, "--classifier", "logistic")
    one_known, _ = speakers_apart(tmp_path / "o.npz", sessions=["a"] + [""] * 127)
    with pytest.raises(InputError, match="127 clips") as refused:
        run(script, tmp_path, one_known, "--classifier", "logistic")
    assert "--guess-speakers" not in str(refused.value)  # it would be refused


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cv", "random"], "--guess-speakers does not go with --cv random"),
        (["--fuse"], "--guess-speakers does not go with --fuse|is of one encoder and pooling"),
        (["--leak", "scaler"], "--guess-speakers does not go with --leak"),
        (["--target", "gender"], "--guess-speakers does not go with --target gender"),
        (["--n-folds", "9"], "--guess-speakers 8: 8 guessed speakers are too few for 9 folds: use --n-folds 8"),
        (["--guess-speakers", "129"], "made has 128 recordings: give a number from 2 to 128"),
    ],
)
def test_what_does_not_go_together_ends_in_one_line(script, tmp_path, flags, message):
    npz, _ = speakers_apart(tmp_path / "e.npz")
    with pytest.raises(InputError, match=message):
        run(script, tmp_path, npz, *GUESS, *flags)


@pytest.mark.parametrize("columns", [{"hidden": False}, {"sessions": ["a", *[""] * 127]}])
def test_known_speakers_and_sessions_are_not_guessed(script, tmp_path, columns):
    npz, _ = speakers_apart(tmp_path / "e.npz", **columns)
    with pytest.raises(InputError, match=r"of 128 clips have a (speaker|session) \(made/0000"):
        run(script, tmp_path, npz, *GUESS)
    assert not list((tmp_path / "results").glob("*"))


@pytest.mark.slow
def test_every_output_carries_the_mark(script, tmp_path, capsys):
    npz, names = speakers_apart(tmp_path / "e.npz", genders=["female"] * 128)
    results = tmp_path / "results"
    ((frame, stamp),) = run(script, tmp_path, npz, *GUESS).values()
    assert f"4 folds: folds over 8 {WORDS}" in capsys.readouterr().out
    assert stamp["tag"] == NAME and stamp["protocol"] == "guessed8" and WORDS in stamp["protocol_note"]
    assert stamp["speakers_on_both_sides"] is None and stamp["genders"] == {}
    hidden = names[[int(clip[-4:]) for clip in frame["clip_id"]]]
    assert same_groups(frame["speaker"], hidden) and frame["speaker"].str.fullmatch(r"guessed0\d").all()
    assert (frame.groupby("speaker")["fold"].nunique() == 1).all() and frame["group"].str.startswith(
        "made/guessed"
    ).all()
    model = json.loads((tmp_path / "models" / NAME / "model.json").read_text())
    assert model["speakers"] == 0 and WORDS in model["cross_validation"]["protocol"]
    assert "guessed speakers" in refitting.unsuitable(stamp)

    script("4_evaluation_metrics").main(["--results-dir", str(results)])
    assert WORDS in capsys.readouterr().out
    row = pd.read_csv(results / "comparison.csv").set_index("run").loc[NAME]
    assert row["protocol"] == f"guessed8 x4, {WORDS}" and not comparison.is_strict(row["protocol"])
    assert np.isnan(row["speakers_on_both_sides"]) and row["speakers"] == 0
    result = json.loads((results / f"evaluation_results_{NAME}.json").read_text())
    assert result["unit"] == "guessed speakers" and result["units"] == 8 and result["by_speaker"] == []
    report = (results / f"classification_report_{NAME}.txt").read_text()
    assert "over 8 guessed speakers" in report and "in both training and test: unknown" in report
    assert WORDS in report and WORDS in run_title(result)
    page = (results / "report.html").read_text()
    assert WORDS in page and "128 clips of unknown speakers" in page and "over 8 guessed speakers" in page
