"""Published folds from a table (--folds): by speaker or by clip, one split or several folds, and what is refused."""

from pathlib import Path

import made
import numpy as np
import pandas as pd
import pytest
from test_protocols import evaluate, run, with_copies

from speechemb.errors import InputError
from speechemb.splits import published


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def planted(tmp_path: Path) -> tuple[Path, list[str]]:
    vectors, labels, speakers = made.planted(speakers=6, clips=8)
    return made.npz(tmp_path / "e.npz", vectors, labels, speakers), sorted(set(speakers))


def by_fold(frame: pd.DataFrame, column: str = "speaker") -> dict[str, list[str]]:
    return {fold: sorted(set(rows[column])) for fold, rows in frame.groupby("fold")}


@pytest.mark.slow
def test_the_column_test_fold_gives_the_folds(script, tmp_path, capsys):
    npz, speakers = planted(tmp_path)
    rows = "".join(f"{speaker},{i % 3 + 1}\n" for i, speaker in enumerate(speakers))
    folds = table(tmp_path / "Box folds.csv", "speaker,test_fold\n" + rows)
    ((frame, stamp),) = run(script, tmp_path, npz, "--folds", str(folds))
    assert by_fold(frame) == {str(k + 1): [speakers[k], speakers[k + 3]] for k in range(3)}
    assert stamp["protocol"].startswith("folds_box_folds_") and stamp["n_folds"] == 3
    assert stamp["protocol_note"] == "folds of Box folds.csv: no speaker in both training and test"
    (result,) = evaluate(script, tmp_path)
    assert result["protocol"] == stamp["protocol"] and result["clips"] == len(frame) == 48
    assert "is up to date" not in capsys.readouterr().out
    run(script, tmp_path, npz, "--folds", str(folds))
    assert "is up to date, skipped" in capsys.readouterr().out
    folds.write_text("speaker,test_fold\n" + rows.replace(",3", ",2"))
    assert len(run(script, tmp_path, npz, "--folds", str(folds))) == 2  # another table is another run


def test_development_speakers_are_neither_trained_on_nor_tested(script, tmp_path):
    npz, speakers = planted(tmp_path)
    words = dict(zip(speakers, ["train", "Training", "train", "dev", "test", "test"], strict=True))
    lines = "".join(
        f"{speaker},{word},{'test' if i < 2 else 'train'}\n" for i, (speaker, word) in enumerate(words.items())
    )
    folds = table(tmp_path / "f.csv", "speaker;fold1;fold2\n" + lines.replace(",", ";"))
    ((frame, stamp),) = run(script, tmp_path, npz, "--folds", str(folds))
    assert by_fold(frame) == {"fold1": speakers[4:], "fold2": speakers[:2]}
    log = pd.read_csv(next((tmp_path / "results").glob("training_*.csv")))
    assert log["train_clips"].tolist() == [3 * 8, 4 * 8]
    assert stamp["protocol_note"].endswith("; 16 clips are never tested")


def test_a_corpus_table_with_a_column_split_is_one_fold(script, tmp_path):
    vectors, labels, speakers = made.planted(speakers=6, clips=8)
    npz = made.npz(tmp_path / "e.npz", vectors, labels, speakers)
    split = ["test" if i % 4 == 0 else "" if i == 5 else "train" for i in range(48)]
    # Every speaker has clips on both sides, and the classes follow the number: shift by one speaker.
    split = [split[(i + i // 8) % 48] for i in range(48)]
    rows = pd.DataFrame({"path": [f"audio\\{i:04d}.wav" for i in range(48)], "emotion": labels, "split": split})
    rows.to_csv(tmp_path / "corpus.csv", index=False)
    ((frame, stamp),) = run(script, tmp_path, npz, "--folds", str(tmp_path / "corpus.csv"))
    assert frame["clip_id"].tolist() == [f"made/{i:04d}" for i in range(48) if split[i] == "test"]
    assert "6 speakers in both training and test: optimistic" in stamp["protocol_note"]
    assert set(frame["fold"]) == {"split"} and stamp["speakers_on_both_sides"] == 6
    (result,) = evaluate(script, tmp_path)
    assert "optimistic" in (tmp_path / "results" / "comparison.csv").read_text() and result["n_folds"] == 1


def test_identical_audio_and_copies_of_test_clips_are_not_trained_on(script, tmp_path):
    npz = with_copies(tmp_path, speakers=4, clips=8, copies=1)
    names = sorted(set(made.planted(speakers=4, clips=8)[2]))
    folds = table(
        tmp_path / "f.csv", "speaker,split\n" + "".join(f"{n},{'test' if n == names[-1] else 'train'}\n" for n in names)
    )
    ((frame, _),) = run(script, tmp_path, npz, "--folds", str(folds))
    log = pd.read_csv(next((tmp_path / "results").glob("training_*.csv")))
    assert len(frame) == 8 and log["train_clips"].tolist() == [3 * 8 * 2]
    one = published.read(table(tmp_path / "g.csv", "clip_id,split\nmade/0,train\nmade/1,test\nmade/2,train\n"))
    ids = np.array(["made/0", "made/1", "made/2"])
    (fold,) = one.folds(ids, np.full(3, "made"), ids, np.array(["same", "same", "other"]))
    assert fold.train.tolist() == [2] and fold.test.tolist() == [1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("speaker,emotion\ns,happy\n", "needs a column .*: it has speaker, emotion"),
        ("speaker,split\na,train\na,test\n", "column speaker is empty or names something twice in row 3"),
        ("speaker,split\na,train\nb,tset\nc,test\n", "column split has 'tset' in row 3: write train, development or"),
        ("speaker,fold1,fold2\na,1,2\nb,2,1\n", "column fold1 has '1' in row 2"),
        ("speaker,test_fold\na,1\nb,1\n", "names fewer than two folds"),
        ("speaker,test_fold\na,1\nb,../x\n", r"holds \.\./x: write"),
        ("speaker,split\n", "no row"),
        ("", "no row"),
        ("speaker,split\na,train,x\nb,test\nc\n", "row 2, 4 has not 2 fields"),
        ("speaker,fold1,fold1\na,train,test\n", "two columns"),
        ("\0,split\n\0,test\n", "--folds"),
        ("speaker,split\na,train\nb,test\n", "column speaker does not name made/s"),
    ],
)
def test_other_tables_are_one_line(script, tmp_path, text, words):
    npz, _ = planted(tmp_path)
    with pytest.raises(InputError, match=words) as caught:
        run(script, tmp_path, npz, "--folds", str(table(tmp_path / "f.csv", text)))
    assert "\n" not in str(caught.value) and str(caught.value).startswith("--folds ")
    assert not (tmp_path / "models").exists() or not list((tmp_path / "models").iterdir())


def test_a_fold_without_a_class_or_with_a_clip_tested_twice_is_refused(script, tmp_path):
    npz, speakers = planted(tmp_path)
    rows = "".join(
        f"{speaker},{'test' if i < 3 else 'train'},{'test' if i in (2, 4) else 'train'}\n"
        for i, speaker in enumerate(speakers)
    )
    with pytest.raises(InputError, match="several folds test made/"):
        run(script, tmp_path, npz, "--folds", str(table(tmp_path / "f.csv", "speaker,fold1,fold2\n" + rows)))
    labels = made.planted(speakers=6, clips=8)[1]
    rows = "".join(f"made/{i:04d},{'test' if label == 'sad' else 'train'}\n" for i, label in enumerate(labels))
    with pytest.raises(InputError, match="fold split has no sad to train on"):
        run(script, tmp_path, npz, "--folds", str(table(tmp_path / "g.csv", "clip_id,split\n" + rows)))


@pytest.mark.parametrize("flags", [["--cv", "speaker"], ["--n-folds", "3"], ["--cross-corpus"], ["--repeats", "2"]])
def test_flags_that_contradict_the_table_are_refused(script, tmp_path, flags):
    npz, speakers = planted(tmp_path)
    rows = "".join(f"{speaker},{i % 2}\n" for i, speaker in enumerate(speakers))
    folds = table(tmp_path / "f.csv", "speaker,test_fold\n" + rows)
    with pytest.raises(InputError, match="drop"):
        run(script, tmp_path, npz, "--folds", str(folds), *flags)


@pytest.mark.parametrize(("name", "folds"), [("emobox_ravdess", 6), ("emo_superb_crema_d", 5)])
def test_the_published_tables_are_read_and_match_the_published_figures(shared, name, folds):
    from speechemb.evaluation.literature import PUBLISHED, read_figures

    found = published.read(shared / "data" / name / "speaker_folds.csv")
    figures = read_figures()
    matching = figures[figures["cv"] == PUBLISHED + found.name[-8:]]
    assert len(found.uses) == folds and len(matching) >= 5 and set(matching["folds"]) == {str(folds)}


@pytest.mark.slow
def test_step_1_says_who_reads_the_column_split(script, tmp_path, caplog):
    caplog.set_level("INFO")
    corpus = made.corpus(tmp_path / "tones", speakers=4, takes=1)
    frame = pd.read_csv(corpus)
    frame.assign(split=["train"] * 12 + ["test"] * 4).to_csv(corpus, index=False)
    out = ["--out-dir", str(tmp_path / "processed")]
    script("1_data_preprocessing").main(["--corpora", f"table:{corpus}", *out])
    assert "column split is not used here; step 3 takes it with --folds" in caplog.text
    npz = tmp_path / "a.npz"
    csv = str(tmp_path / "processed" / "tones.csv")
    script("2_wavlm_feature_extraction").main(["--metadata", csv, "--model", "acoustic", "--out", str(npz)])
    ((predictions, _),) = run(script, tmp_path, npz, "--folds", str(corpus))
    assert set(predictions["speaker"]) == {"s3"}
