"""Step 1 from the command line: which clips are kept, why not, and what is written."""

import csv
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import forked
import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
from conftest import ROOT

from speechemb import corpora
from speechemb.artifacts import metadata
from speechemb.audio import files
from speechemb.corpora import Clip, prepare
from speechemb.errors import InputError
from speechemb.labels import canonical

SILENT = "1076_MTI_SAD_XX"
CONTRADICTORY = (
    ("1006_TIE_HAP_XX", "1006_TIE_NEU_XX"),
    ("1013_WSI_DIS_XX", "1013_WSI_SAD_XX"),
    ("1017_IWW_ANG_XX", "1017_IWW_FEA_XX"),
)


@pytest.fixture(scope="module")
def step1(script):
    return script("1_data_preprocessing").main


def wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    """A 16-bit WAV, made without soundfile because it is wanted thousands of times."""
    data = samples.astype("<i2").tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", len(data)),
    )
    return head + data


def noise(seed: int, seconds: float = 0.15) -> bytes:
    return wav(np.random.default_rng(seed).integers(-3000, 3000, int(16_000 * seconds)))


def rows_of(folder: Path, corpus: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    frame, _ = metadata.read_metadata(folder / f"{corpus}.csv")
    return frame, pd.read_csv(folder / f"{corpus}_excluded.csv", dtype=str, keep_default_na=False)


def table(folder: Path, files: dict[str, bytes], labels: list[str] | None = None, name="mine.csv") -> str:
    """A table of these files, alternately sad and happy unless told; gives the word for --corpora."""
    lines = ["path,emotion,speaker"]
    for i, (file, data) in enumerate(files.items()):
        if data is not None:
            (folder / file).write_bytes(data)
        lines.append(f"{file},{labels[i] if labels else ('sad', 'happy')[i % 2]},s{i}")
    (folder / name).write_text("\n".join(lines) + "\n")
    return f"table:{folder / name}"


# ---------------------------------------------------------------- RAVDESS, real


@pytest.mark.slow
@pytest.mark.parametrize(("words", "n", "classes"), [([], 672, 4), (["--emotions", "all"], 1440, 8)])
def test_ravdess(shared, tmp_path, step1, capsys, words, n, classes):
    folder = shared / "data" / "ravdess"
    step1(["--corpora", "ravdess", "--data-dir", str(folder), "--out-dir", str(tmp_path), *words])
    frame, excluded = rows_of(tmp_path, "ravdess")
    assert len(frame) == n and len(excluded) == 1440 - n
    assert frame.emotion.nunique() == classes and frame.speaker.nunique() == 24
    assert set(frame.emotion.value_counts()) == {96, 192}
    assert list(frame.clip_id) == sorted(frame.clip_id)
    assert frame.duration_s.between(2.5, 5.5).all() and set(frame.sample_rate) == {16_000}
    sexes = frame.groupby("speaker").gender.first()
    assert all((sex == "male") == (int(speaker) % 2 == 1) for speaker, sex in sexes.items())
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"wrote {tmp_path}/ravdess.csv ({n} clips)"
    assert f"ravdess all {n} 24" in " ".join(" ".join(printed).split())


def test_ravdess_as_published_in_stereo_and_48_khz(shared, tmp_path, step1):
    folder = shared / "data" / "ravdess_original"
    out = ["--out-dir", str(tmp_path)]
    step1(["--corpora", "ravdess", "--data-dir", str(folder), "--emotions", "all", *out])
    frame, excluded = rows_of(tmp_path, "ravdess")
    assert len(frame) == 12 and excluded.empty and set(frame.sample_rate) == {48_000}
    for row in frame.itertuples():
        assert row.duration_s == pytest.approx(soundfile.info(row.path).duration, abs=1e-4)


# ---------------------------------------------------------------- CREMA-D, real names, made audio


@pytest.fixture(scope="module")
def cremad_folder(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("crema") / "CREMA-D"
    (folder / "AudioWAV").mkdir(parents=True)
    metadata = shared / "data" / "crema_d_metadata"
    (folder / "VideoDemographics.csv").write_bytes((metadata / "VideoDemographics.csv").read_bytes())
    for i, name in enumerate((metadata / "AudioWAV_names.txt").read_text().split()):
        (folder / "AudioWAV" / name).write_bytes(noise(i))
    for one, other in CONTRADICTORY:
        (folder / "AudioWAV" / f"{other}.wav").write_bytes((folder / "AudioWAV" / f"{one}.wav").read_bytes())
    (folder / "AudioWAV" / f"{SILENT}.wav").write_bytes(wav(np.zeros(41_120)))
    return folder


@pytest.mark.slow
def test_cremad_four_classes(cremad_folder, tmp_path, step1):
    step1(["--corpora", "cremad", "--data-dir", str(cremad_folder), "--out-dir", str(tmp_path)])
    frame, excluded = rows_of(tmp_path, "cremad")
    assert len(frame) == 4895 and len(frame) + len(excluded) == 7442
    counts = frame.emotion.value_counts().to_dict()
    assert counts == {"happy": 1270, "angry": 1270, "sad": 1269, "neutral": 1086}
    assert frame.speaker.nunique() == 91 and set(frame.gender) == {"female", "male"}
    reasons = excluded.set_index("clip_id").reason
    assert reasons[f"cremad/{SILENT}"] == "silent"
    for one, other in CONTRADICTORY:
        assert f"cremad/{other} " in reasons[f"cremad/{one}"]
        assert f"cremad/{one} " in reasons[f"cremad/{other}"]


@pytest.mark.slow
def test_cremad_six_classes_from_the_audio_folder_itself(cremad_folder, tmp_path, step1):
    words = ["--corpora", "cremad", "--data-dir", str(cremad_folder / "AudioWAV"), "--emotions", "all"]
    step1([*words, "--out-dir", str(tmp_path)])
    frame, excluded = rows_of(tmp_path, "cremad")
    assert len(frame) == 7442 - 7 and len(excluded) == 7 and (frame.gender != "").all()


@pytest.mark.slow
def test_a_clone_without_lfs_is_told_so(cremad_folder, shared, tmp_path, step1):
    pointer = (shared / "data" / "crema_d_metadata" / "lfs_pointer_example.wav").read_bytes()
    (tmp_path / "AudioWAV").mkdir()
    for name in ("1001_DFA_ANG_XX", "1001_DFA_DIS_XX", "1002_DFA_ANG_XX", "1003_DFA_ANG_XX"):
        (tmp_path / "AudioWAV" / f"{name}.wav").write_bytes(pointer)
    (tmp_path / "AudioWAV" / "1004_DFA_SAD_XX.wav").write_bytes(noise(1))
    with pytest.raises(InputError) as raised:
        step1(["--corpora", "cremad", "--data-dir", str(tmp_path), "--out-dir", str(tmp_path / "out")])
    for words in (str(tmp_path), "4 of 5", "1001_DFA_ANG_XX.wav", "git lfs pull"):
        assert words in str(raised.value)
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- IEMOCAP, real turns, made audio


@pytest.fixture(scope="module")
def iemocap_folder(shared, tmp_path_factory):
    """A release tree: the 5,531 turns under their own labels, and two others (fru, xxx) per dialogue."""
    release = tmp_path_factory.mktemp("iemo") / "IEMOCAP_full_release"
    with open(shared / "data" / "iemocap_metadata" / "turns_4class.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    dialogues: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        dialogues.setdefault(row["turn"].rsplit("_", 1)[0], []).append((row["turn"], row["label"]))
    number = 0
    for dialogue, turns in dialogues.items():
        session = release / f"Session{int(dialogue[3:5])}"
        labels = session / "dialog" / "EmoEvaluation" / f"{dialogue}.txt"
        wavs = session / "sentences" / "wav" / dialogue
        labels.parent.mkdir(parents=True, exist_ok=True)
        wavs.mkdir(parents=True)
        lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
        for turn, label in [*turns, (f"{dialogue}_F900", "fru"), (f"{dialogue}_M901", "xxx")]:
            lines += [
                f"[6.2901 - 8.2357]\t{turn}\t{label}\t[2.5000, 2.5000, 2.5000]",
                "C-E2:\tOther;\t()",
                "",
            ]
            (wavs / f"{turn}.wav").write_bytes(noise(number := number + 1, 0.12))
        labels.write_text("\n".join(lines))
        labels.with_name(f"._{labels.name}").write_bytes(b"\x00\x05\x16\x07" + lines[2].encode())
    return release.parent


@pytest.mark.slow
def test_iemocap_release(iemocap_folder, tmp_path, step1, capsys):
    step1(["--corpora", "iemocap", "--data-dir", str(iemocap_folder), "--out-dir", str(tmp_path)])
    frame, excluded = rows_of(tmp_path, "iemocap")
    assert len(frame) == 5531
    counts = frame.emotion.value_counts().to_dict()
    assert counts == {"neutral": 1708, "happy": 1636, "angry": 1103, "sad": 1084}
    assert list(frame.session.value_counts().sort_index()) == [1085, 1023, 1151, 1031, 1241]
    assert sorted(frame.speaker.unique()) == [f"Ses0{s}_{letter}" for s in range(1, 6) for letter in "FM"]
    turn_letters = frame.clip_id.str.rsplit("_", n=1).str[1].str[0]
    assert (frame.speaker.str[-1] == turn_letters).all()
    assert set(excluded.reason) == {"emotion not selected", "no majority label (xxx)"}
    assert "%" not in capsys.readouterr().out  # a local release is taken whole


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("happy,sad", ["happy", "happy", "sad"]),
        ("happy,excited,sad", ["excited", "happy", "sad"]),
        ("excited,sad", ["excited", "sad"]),
        ("all", ["excited", "happy", "sad"]),
    ],
)
def test_excited_is_merged_only_when_it_is_not_asked_for(tmp_path, step1, wanted, found):
    files = {"a.wav": noise(1), "b.wav": noise(2), "c.wav": noise(3)}
    word = table(tmp_path, files, ["exc", "hap", "sad"])
    step1(["--corpora", word, "--emotions", wanted, "--out-dir", str(tmp_path / "out")])
    assert list(rows_of(tmp_path / "out", "mine")[0].emotion) == found


@pytest.mark.slow
def test_iemocap_subset_is_exact_stratified_and_byte_identical_on_rerun(
    iemocap_folder, shared, tmp_path, step1, capsys
):
    words = ["--corpora", "iemocap", "--data-dir", str(iemocap_folder), "--iemocap-fraction", "0.05"]
    for out in ("a", "b"):
        step1([*words, "--out-dir", str(tmp_path / out)])
    assert "of which 5 % are drawn" in capsys.readouterr().out
    for name in ("iemocap.csv", "iemocap_excluded.csv", "iemocap.meta.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    frame, excluded = rows_of(tmp_path / "a", "iemocap")
    assert len(frame) == round(0.05 * 5531) == 277
    assert (excluded.reason == "not in the 5 % subset").sum() == 5531 - 277
    turns = pd.read_csv(shared / "data" / "iemocap_metadata" / "turns_4class.csv")
    turns["emotion"] = turns.label.replace("exc", "hap").map(canonical)
    turns["session"] = turns.turn.str[:5]
    share = turns.groupby(["emotion", "session"]).size() * 277 / 5531
    drawn = frame.groupby(["emotion", "session"]).size().reindex(share.index, fill_value=0)
    assert (abs(drawn - share) < 1).all()


@pytest.mark.parametrize("fraction", [0.0001, 0.01, 0.333, 0.5, 0.999])
def test_subset_has_the_exact_size_whatever_the_order(fraction):
    clips = [
        Clip(f"x/{i:04d}", Path(f"{i}.wav"), "x", emotion="abc"[i % 7 % 3], session=str(i % 5)) for i in range(997)
    ]
    drawn = prepare.subset(clips, fraction, seed=3)
    assert len(drawn) == len({clip.clip_id for clip in drawn}) == max(1, round(fraction * 997))
    assert set(drawn) == set(prepare.subset(clips[::-1], fraction, seed=3))
    if fraction > 0.001:  # else it is a single clip
        assert set(drawn) != set(prepare.subset(clips, fraction, seed=4))


# ---------------------------------------------------------------- every reason, through a table


def test_what_is_excluded_is_listed_with_its_reason(tmp_path, step1, capsys):
    float_wav = tmp_path / "nan.wav"
    soundfile.write(float_wav, np.r_[np.ones(4000), np.nan], 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "whole.flac", np.random.default_rng(0).normal(0, 0.1, 32_000), 16_000)
    soundfile.write(tmp_path / "aiff.wav", np.random.default_rng(1).normal(0, 0.1, 8_000), 8_000, format="AIFF")
    files = {
        "good.wav": noise(1),
        "good2.wav": noise(2),
        "aiff.wav": None,
        "nan.wav": None,
        "zero.wav": b"",
        "no_samples.wav": wav(np.zeros(0)),
        "short.wav": noise(3, 0.09),
        "silent.wav": wav(np.ones(4000)),
        "cut.flac": (tmp_path / "whole.flac").read_bytes()[:20_000],
        "text.wav": b"hello " * 100,
        "gone.wav": None,
    }
    step1(
        [
            "--corpora",
            table(tmp_path, files),
            "--out-dir",
            str(tmp_path / "out"),
            "--emotions",
            "happy",
            "sad",
        ]
    )
    frame, excluded = rows_of(tmp_path / "out", "mine")
    assert list(frame.clip_id) == ["mine/aiff", "mine/good", "mine/good2"]
    assert list(frame.sample_rate) == [8_000, 16_000, 16_000]
    assert excluded.set_index("clip_id").reason.to_dict() == {
        "mine/nan": "not finite",
        "mine/zero": "empty",
        "mine/no_samples": "empty",
        "mine/short": "shorter than 0.1 s",
        "mine/silent": "silent",
        "mine/cut": "cannot be decoded to the end (truncated or damaged)",
        "mine/text": "cannot be decoded",
        "mine/gone": "missing",
    }
    assert "mine: 1 excluded: cannot be decoded" in capsys.readouterr().out
    stamp = json.loads((tmp_path / "out" / "mine.meta.json").read_text())
    assert (stamp["corpus"], stamp["source"], stamp["emotions"]) == ("mine", "local", ["happy", "sad"])
    assert stamp["excluded"]["empty"] == 2


def test_identical_audio_is_kept_with_one_label_and_dropped_with_two(tmp_path, step1):
    twins = {"a.wav": noise(1), "b.wav": noise(1), "c.wav": noise(2), "d.wav": noise(2), "e.wav": noise(2)}
    word = table(tmp_path, twins | {"f.wav": noise(3)}, ["sad", "sad", "sad", "happy", "angry", "happy"])
    step1(["--corpora", word, "--emotions", "sad,happy", "--out-dir", str(tmp_path / "out")])
    frame, excluded = rows_of(tmp_path / "out", "mine")
    assert list(frame.clip_id) == ["mine/a", "mine/b", "mine/f"]
    reasons = excluded.set_index("clip_id").reason
    # e is angry, which was not asked for, and yet speaks against c and d.
    assert reasons["mine/c"] == "same audio under another emotion: mine/d (happy), mine/e (angry)"
    assert reasons["mine/e"] == "same audio under another emotion: mine/c (sad), mine/d (happy)"


def test_changing_an_input_changes_the_fingerprint(tmp_path, step1):
    def fingerprint(*words):
        step1(["--corpora", word, "--out-dir", str(tmp_path / "out"), *words])
        return json.loads((tmp_path / "out" / "mine.meta.json").read_text())["fingerprint"]

    word = table(tmp_path, {"a.wav": noise(1), "b.wav": noise(2)})
    both = ["--emotions", "sad,happy"]
    before = fingerprint(*both)
    assert fingerprint(*both) == before
    with pytest.raises(InputError, match="mine.csv exists, made by .*with other emotions: .*--overwrite"):
        fingerprint("--emotions", "all")
    assert fingerprint("--emotions", "all", "--overwrite") != before
    (tmp_path / "a.wav").write_bytes(noise(5))
    assert fingerprint(*both, "--overwrite") != before


# ---------------------------------------------------------------- wrong input


def test_what_can_be_written_is_written_and_the_rest_is_said_at_the_end(tmp_path, step1):
    good = table(tmp_path, {"a.wav": noise(1), "b.wav": noise(2)}, name="good.csv")
    bad = table(tmp_path, {"c.wav": b"", "d.wav": b""}, name="bad.csv")
    with pytest.raises(InputError, match="bad: none of the 2 clips .*2 empty"):
        step1(["--corpora", bad, good, "--emotions", "all", "--out-dir", str(tmp_path / "out")])
    assert len(rows_of(tmp_path / "out", "good")[0]) == 2 and not (tmp_path / "out" / "bad.csv").exists()
    with pytest.raises(InputError, match="--corpora kremad: choose from"):
        step1(["--corpora", good, "kremad", "--emotions", "all", "--out-dir", str(tmp_path / "no")])
    assert not (tmp_path / "no").exists()


def test_missing_files_are_named_and_no_flag_is_advised_that_a_table_does_not_take(tmp_path, step1, caplog):
    out = ["--emotions", "all", "--out-dir", str(tmp_path / "out")]
    with pytest.raises(InputError, match="looked for .*x.wav") as raised:
        step1(["--corpora", table(tmp_path, {"x.wav": None, "y.wav": None}), *out])
    assert "--data-dir" not in str(raised.value) and "column path of" in str(raised.value)
    step1(["--corpora", table(tmp_path, {"x.wav": None, "a.wav": noise(1), "b.wav": noise(2)}), *out])
    assert "1 files are missing, first:" in caplog.text


def test_names_that_are_not_utf8_are_excluded_with_the_reason(tmp_path, step1):
    folder = tmp_path / "RAVDESS"
    folder.mkdir()
    for seed, name in enumerate([b"03-01-03-01-02-01-12.wav", b"03-01-04-01-02-01-12.wav", b"caf\xe9.wav"]):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(noise(seed))
    words = ["--corpora", "ravdess", "--data-dir", str(folder), "--emotions", "all"]
    step1([*words, "--out-dir", str(tmp_path / "out")])
    frame, excluded = rows_of(tmp_path / "out", "ravdess")
    assert len(frame) == 2
    assert list(excluded.reason) == ["the name of the file is not UTF-8: rename it"]
    assert excluded.clip_id[0] == "ravdess/caf\\xe9"


def test_floats_that_hold_no_waveform_are_excluded(tmp_path, step1):
    for name, factor in (("huge.wav", 1e30), ("int16.wav", 32768), ("loud.wav", 20)):
        samples = np.random.default_rng(0).normal(0, 0.1, 8000) * factor
        soundfile.write(tmp_path / name, samples.astype(np.float32), 16_000, subtype="FLOAT")
    word = table(tmp_path, {"huge.wav": None, "int16.wav": None, "loud.wav": None, "a.wav": noise(1)})
    step1(["--corpora", word, "--emotions", "all", "--out-dir", str(tmp_path / "out")])
    frame, excluded = rows_of(tmp_path / "out", "mine")
    assert list(frame.clip_id) == ["mine/a", "mine/loud"]
    assert set(excluded.reason) == {"samples beyond 1000 times full scale"}


def test_paths_that_a_spreadsheet_would_run_begin_with_a_dot(tmp_path):
    assert files.cell_of_path(ROOT / "=1+1.wav") == "./=1+1.wav"
    assert files.cell_of_path(ROOT / "a.wav") == "a.wav"


def test_the_card_counts_and_warns(tmp_path, step1, caplog):
    """Two of three speakers have one emotion only; b is a once more, c is a at another level and sample rate."""
    rng = np.random.default_rng(0)
    speech = soundfile.read(sorted((ROOT / "data/demo/AudioWAV").glob("*.flac"))[0], dtype="float32")[0]
    soundfile.write(tmp_path / "a.wav", speech, 16_000)
    soundfile.write(tmp_path / "b.wav", speech, 16_000)
    soundfile.write(tmp_path / "c.flac", soxr.resample(speech, 16_000, 48_000) * 0.3, 48_000)
    soundfile.write(tmp_path / "d.wav", np.clip(rng.normal(0, 1, 16_000), -1, 1), 16_000)
    rows = ["a.wav,sad,s1", "b.wav,sad,s1", "c.flac,sad,s2", "d.wav,happy,s3", "e.wav,sad,s3", "f.wav,happy,"]
    (tmp_path / "e.wav").write_bytes(noise(1))
    (tmp_path / "f.wav").write_bytes(noise(2))
    (tmp_path / "mine.csv").write_text("\n".join(["path,emotion,speaker", *rows]))
    step1(["--corpora", f"table:{tmp_path / 'mine.csv'}", "--emotions", "all", "--out-dir", str(tmp_path / "out")])
    card = json.loads((tmp_path / "out" / "mine_card.json").read_text())
    assert card["clips_by_speaker_and_emotion"] == {"s1": {"sad": 2}, "s2": {"sad": 1}, "s3": {"happy": 1, "sad": 1}}
    assert card["speakers_with_one_emotion"] == ["s1", "s2"] and card["clips_of_unknown_speakers"] == 1
    assert card["sample_rates"] == {"16000": 5, "48000": 1} and card["clips_that_clip"] == 1
    assert card["identical_clips"] == {"pairs": 1, "first": [["mine/a", "mine/b"]]}
    assert card["clips_of_one_recording"]["first"] == [["mine/a", "mine/c"], ["mine/b", "mine/c"]]
    assert "2 of 3 speakers have clips of one emotion only (s1, s2)" in caplog.text
    assert "mine/a and mine/b are the same file" in caplog.text


@pytest.mark.slow
def test_ravdess_holds_one_recording_twice_and_no_false_alarm(shared, tmp_path, step1):
    words = ["--corpora", "ravdess", "--data-dir", str(shared / "data" / "ravdess"), "--emotions", "all"]
    step1([*words, "--out-dir", str(tmp_path)])
    card = json.loads((tmp_path / "ravdess_card.json").read_text())
    twice = [card[key]["first"] for key in ("identical_clips", "clips_of_one_recording")]
    assert sum(twice, []) == [["ravdess/03-01-03-01-02-01-07", "ravdess/03-01-03-01-02-02-07"]]
    assert card["speakers_with_one_emotion"] == []


def test_several_tables_are_written_together(tmp_path, step1):
    one = table(tmp_path, {"a.wav": noise(1), "b.wav": noise(2)}, name="one.csv")
    two = table(tmp_path, {"c.wav": noise(3), "d.wav": noise(4)}, name="two.csv")
    step1(["--corpora", one, two, "--emotions", "sad,happy", "--out-dir", str(tmp_path / "out")])
    assert len(rows_of(tmp_path / "out", "one")[0]) == len(rows_of(tmp_path / "out", "two")[0]) == 2


def test_an_emotion_that_no_corpus_has_is_an_error_and_that_one_lacks_a_warning(tmp_path, step1, caplog):
    one = table(tmp_path, {"a.wav": noise(1), "b.wav": noise(2)}, ["sad", "happy"], name="one.csv")
    two = table(tmp_path, {"c.wav": noise(3), "d.wav": noise(4)}, ["sad", "angry"], name="two.csv")
    out = ["--out-dir", str(tmp_path / "out")]
    with pytest.raises(InputError, match="--emotions hapy: .*found: happy, sad"):
        step1(["--corpora", one, "--emotions", "hapy,sad", *out])
    step1(["--corpora", one, two, "--emotions", "happy,sad", *out])
    assert "two: no clip has the emotion happy" in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--corpora", "ravdess", "emodb", "--data-dir", "x"], "--data-dir is the folder of one corpus"),
        (["--corpora", "kremad"], "--corpora kremad: choose from"),
        (["--corpora", "ravdess", "--data-dir", "nowhere"], "no folder .*nowhere"),
        (["--emotions", "sad"], "at least two different classes"),
        (["--corpora", "iemocap", "--iemocap-source", "hubb"], "choose local, hub or a hub id"),
        (["--corpora", "cremad", "--cremad-source", "../../etc"], "choose local, hub or a hub id"),
    ],
)
def test_wrong_words_are_one_line_errors(step1, words, message):
    with pytest.raises(InputError, match=message) as raised:
        step1(words)
    assert "\n" not in str(raised.value)


def test_two_corpora_of_one_name_are_refused(tmp_path, step1):
    (tmp_path / "x").mkdir()
    one = table(tmp_path, {"a.wav": noise(1), "b.wav": noise(2)})
    two = table(tmp_path / "x", {"c.wav": noise(3), "d.wav": noise(4)})
    with pytest.raises(InputError, match="two corpora are named mine"):
        step1(["--corpora", one, two, "--emotions", "sad,happy", "--out-dir", str(tmp_path / "out")])


def test_a_table_is_not_overwritten_by_its_own_result(tmp_path, step1):
    word = table(tmp_path, {"a.wav": noise(1), "b.wav": noise(2)})
    before = (tmp_path / "mine.csv").read_bytes()
    with pytest.raises(InputError, match="would be overwritten"):
        step1(["--corpora", word, "--emotions", "sad,happy", "--out-dir", str(tmp_path)])
    assert (tmp_path / "mine.csv").read_bytes() == before


def test_files_of_the_hub_with_one_clip_id_are_refused():
    clip = Clip("x/a", Path("a.wav"), "x", emotion="sad")
    with pytest.raises(InputError, match="two clips have the same name: x/a"):
        prepare.prepare(corpora.Corpus("x", [clip, clip], "local", Path(".")), None)


# ---------------------------------------------------------------- the hub, from a stub on this machine


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    hub_repos, hub_stub = pytest.importorskip("hub_repos"), pytest.importorskip("hub_stub")
    root = tmp_path_factory.mktemp("hub")
    data = root / "datasets"
    hub_repos.save_zahra_iemocap(data / "Zahra99" / "IEMOCAP_Audio" / "main", turn_names=True)
    hub_repos.save_zahra_iemocap(data / "org" / "nameless" / "main", turn_names=False)
    hub_repos.save_abstracttts_iemocap(data / "AbstractTTS" / "IEMOCAP" / "main")
    hub_repos.save_abstracttts_cremad(data / "AbstractTTS" / "CREMA-D" / "main")
    hub_repos.save_confit_cremad(data / "confit" / "cremad-parquet" / "main")
    hub_repos.save_abstracttts_cremad(data / "org" / "gated" / "main")
    (data / "org" / "gated" / ".gated").touch()
    save_hostile(data / "org" / "hostile" / "main" / "train.parquet")
    with hub_stub.HubStub(root) as stub:
        yield stub, root, tmp_path_factory.mktemp("hf_home")


def save_hostile(path: Path):
    """File names that try to leave the folder, that repeat, and that are not file names."""
    import pyarrow
    import pyarrow.parquet
    from datasets import Audio, Features, Value

    names = [
        "../../evil.wav",
        "/tmp/evil.wav",
        "C:\\evil.wav",
        "evil.wav",
        "a\nb.wav",
        "",
        "Evil.wav",
        "x/1001_DFA_ANG_XX.wav",
    ]
    columns = {
        "file": names,
        "audio": [{"bytes": noise(100 + i), "path": None} for i in range(len(names))],
        "emotion": ["anger", "sad", "sad", "anger", "sad", "", None, "anger"],
    }
    features = Features({"file": Value("string"), "audio": Audio(), "emotion": Value("string")})
    path.parent.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pydict(columns, schema=features.arrow_schema), path)


RUN = """
import importlib.util, sys
from pathlib import Path
from speechemb import cli, corpora
corpora.DATA = Path(sys.argv[2])  # hub audio goes below the test's folder
spec = importlib.util.spec_from_file_location("step1", sys.argv[1] + "/1_data_preprocessing.py")
step1 = importlib.util.module_from_spec(spec)
spec.loader.exec_module(step1)
sys.exit(cli.run(lambda: step1.main(sys.argv[3:])))
"""


def on_the_hub(endpoint: str, home: Path, folder: Path, *words: str, **more: str):
    """Step 1 in a process of its own, because the hub's libraries read their settings when imported."""
    from hub_stub import client_env

    command = [sys.executable, "-c", RUN, ROOT / "src", folder / "data", *words, "--out-dir", folder / "out"]
    env = client_env(endpoint, home, PYTHONPATH=str(ROOT / "src"), **more)
    return forked.run(command, env=env, cwd=folder)


@pytest.mark.slow
def test_iemocap_from_the_hub_knows_speakers_where_turns_are_named(hub, tmp_path):
    stub, root, home = hub
    done = on_the_hub(stub.endpoint, home, tmp_path, "--corpora", "iemocap", "--iemocap-fraction", "1")
    assert done.returncode == 0, done.stderr
    frame, _ = rows_of(tmp_path / "out", "iemocap")
    assert len(frame) == 40 and frame.speaker.nunique() == 10 and frame.session.nunique() == 5
    assert (frame.speaker.str[:5] == frame.clip_id.str[8:13]).all()
    from hub_stub import commit_of

    stamp = json.loads((tmp_path / "out" / "iemocap.meta.json").read_text())
    commit = commit_of(root / "datasets" / "Zahra99" / "IEMOCAP_Audio" / "main")
    assert stamp["source"] == f"Zahra99/IEMOCAP_Audio@{commit}"
    kept = sorted((tmp_path / "data" / "IEMOCAP" / "hub" / "Zahra99--IEMOCAP_Audio").iterdir())
    assert len(kept) == 40
    # A second run, without a network, takes what is there and writes no audio again.
    times = [path.stat().st_mtime_ns for path in kept]
    before = (tmp_path / "out" / "iemocap.csv").read_bytes()
    words = ["--corpora", "iemocap", "--iemocap-fraction", "1"]
    again = on_the_hub(stub.endpoint, home, tmp_path, *words, HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert (tmp_path / "out" / "iemocap.csv").read_bytes() == before


@pytest.mark.slow
def test_iemocap_from_the_hub_draws_5_percent_and_knows_only_the_session_without_names(hub, tmp_path):
    stub, _, home = hub
    words = ["--corpora", "iemocap", "--iemocap-source", "org/nameless@main"]
    done = on_the_hub(stub.endpoint, home, tmp_path, *words, "--emotions", "all")
    assert done.returncode == 0, done.stderr
    assert "of which 5 % are drawn" in done.stdout
    frame, excluded = rows_of(tmp_path / "out", "iemocap")
    assert len(frame) == 2 and len(excluded) == 38
    assert set(frame.speaker) == {""} and set(frame.session) <= {f"Ses0{n}" for n in range(1, 6)}
    assert frame.clip_id.str.fullmatch(r"iemocap/session\d_0000\d").all()


@pytest.mark.slow
def test_the_larger_iemocap_copy_comes_with_a_notice(hub, tmp_path):
    stub, _, home = hub
    words = ["--corpora", "iemocap", "--iemocap-source", "AbstractTTS/IEMOCAP", "--iemocap-fraction", "1"]
    done = on_the_hub(stub.endpoint, home, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert "6,877" in done.stderr and "5,531" in done.stderr
    frame, _ = rows_of(tmp_path / "out", "iemocap")
    assert frame.emotion.value_counts().to_dict() == {"happy": 4, "angry": 2, "neutral": 2, "sad": 2}
    assert set(frame.gender) == {"female", "male"} and (frame.speaker != "").all()


@pytest.mark.slow
@pytest.mark.parametrize("source", ["hub", "confit/cremad-parquet"])
def test_cremad_from_the_hub_equals_the_local_naming(hub, tmp_path, source):
    stub, _, home = hub
    words = ["--corpora", "cremad", "--cremad-source", source, "--emotions", "all"]
    done = on_the_hub(stub.endpoint, home, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    frame, _ = rows_of(tmp_path / "out", "cremad")
    assert len(frame) == 18 and frame.speaker.nunique() == 3
    for row in frame.itertuples():
        assert canonical(row.emotion) == row.emotion
        assert corpora.cremad.describe(row.clip_id.split("/")[1])["emotion"] == row.emotion
    assert "differ from their names" not in done.stderr


@pytest.mark.slow
def test_names_from_the_hub_cannot_leave_the_folder(hub, tmp_path):
    stub, _, home = hub
    words = ["--corpora", "cremad", "--cremad-source", "org/hostile", "--emotions", "all"]
    done = on_the_hub(stub.endpoint, home, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    inside = tmp_path / "data" / "CREMA-D" / "hub" / "org--hostile"
    written = [path for path in tmp_path.rglob("*") if path.suffix == ".wav"]
    assert len(written) == 8 and all(path.parent == inside for path in written)
    frame, excluded = rows_of(tmp_path / "out", "cremad")
    assert len(frame) == 6 and set(excluded.reason) == {"no emotion label"}
    assert len({path.name.lower() for path in written}) == 8
    # Folders before a name are dropped, as some copies have them.
    assert frame.set_index("clip_id").speaker["cremad/1001_DFA_ANG_XX"] == "1001"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("org/gated", ["gated", "hf auth login", "--data-dir"]),
        ("org/none", ["the hub has no dataset org/none", "hf auth login", "--data-dir"]),
        ("AbstractTTS/CREMA-D@nope", ["@nope", "no such revision"]),
    ],
)
def test_what_the_hub_refuses_is_one_line_with_a_remedy(hub, tmp_path, source, words):
    stub, _, home = hub
    done = on_the_hub(stub.endpoint, home, tmp_path, "--corpora", "cremad", "--cremad-source", source)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert all(word in line for word in words), line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_unreachable_hub_is_one_line_with_a_remedy(hub, tmp_path):
    from hub_stub import refusing_endpoint

    done = on_the_hub(refusing_endpoint(), tmp_path / "cold", tmp_path, "--corpora", "iemocap")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "cannot be reached" in done.stderr and "--data-dir" in done.stderr


# ---------------------------------------------------------------- the script itself


@pytest.mark.parametrize("name", ["1_data_preprocessing", "2_wavlm_feature_extraction", "predict"])
def test_help_needs_nothing_but_the_standard_library(name):
    """Started outside the environment, a script reaches `cli.run`, which can say so in one line."""
    command = [sys.executable, "-S", ROOT / "src" / f"{name}.py", "--help"]  # -S: no site-packages
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage:"), done.stderr
