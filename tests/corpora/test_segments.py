"""Rows that are parts of a recording: tables as they are published, decoding, groups, and all steps on real speech."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from speechemb import corpora
from speechemb.artifacts import embeddings, metadata
from speechemb.audio import decoding, recording, segments
from speechemb.audio.files import AudioError
from speechemb.corpora import prepare, table
from speechemb.errors import InputError
from speechemb.reports.page import sound
from speechemb.reports.page.clips import Clips
from speechemb.splits.protocols import groups_of

RATE = 16_000


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def noise(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=round(seconds * rate))).astype(np.float32)


# ---------------------------------------------------------------- names and times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("1.5", 1.5), ("1,5", 1.5), ("0", 0), ("1e-3", 0.001), ("NaT", None), ("", None)),
        *(("0 days 00:00:01.500000", 1.5), ("1 days 01:00:00", 90_000), ("00:16:16,059", 976.059), ("2:03.5", 123.5)),
    ],
)
def test_times_as_tables_write_them(text, seconds):
    assert segments.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["-1", "1 s", "inf", "-1 days +23:59:59", "one", "1:2:3:4"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError):
        segments.seconds_of(text)


def test_a_path_with_times_and_one_that_only_looks_like_it():
    path = segments.with_segment(Path("/a/b#t=x.wav"), segments.Segment(1.5, None))
    assert (segments.file_of(path), segments.part_of(path)) == (Path("/a/b#t=x.wav"), segments.Segment(1.5, None))
    assert segments.part_of("a#t=1,2.wav") is None and segments.file_of("a#t=1,2.wav") == Path("a#t=1,2.wav")


# ---------------------------------------------------------------- decoding


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "mp3", "ogg", "opus"])
def test_a_part_has_the_samples_of_the_whole(tmp_path, suffix):
    path, rate = tmp_path / f"a.{suffix}", 48_000 if suffix == "opus" else 44_100
    kind = {"ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS")}.get(suffix, (suffix.upper(), None))
    soundfile.write(path, noise(5, rate), rate, format=kind[0], subtype=kind[1])
    whole, _ = decoding.read(path)
    for start, end in ((0, 0.5), (0.28, 3.21), (2.3456, 5.0), (4.5, None), (4.9, 5.04)):
        part, _ = decoding.read(segments.with_segment(path, segments.Segment(start, end)))
        stop = None if end is None else round(end * rate)
        np.testing.assert_array_equal(part, whole[round(start * rate) : stop])


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_a_part_has_to_lie_inside(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(2), RATE)
    for start, end, why in ((1, 2.06, "ends after"), (2.5, 3, "begins after"), (2.5, None, "begins after")):
        with pytest.raises(AudioError, match=rf"{why} the recording: the recording ends at 2(\.\d+)? s"):
            decoding.load(segments.with_segment(path, segments.Segment(start, end)))


def test_a_long_part_is_streamed_and_its_file_is_checked(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, noise(200), RATE)
    with open(path, "rb") as file:
        digest = decoding.sha256(file)
    part = segments.with_segment(path, segments.Segment(10, 190))
    found = recording.load(part, digest)
    assert isinstance(found, recording.Recording)
    np.testing.assert_array_equal(np.asarray(found), decoding.read(path)[0][10 * RATE : 190 * RATE])
    assert recording.announced_seconds(part) == 180
    soundfile.write(path, noise(200, seed=1), RATE)
    with pytest.raises(AudioError, match="changed since step 1"):
        decoding.load(part, digest)


# ---------------------------------------------------------------- tables as published


def test_audformat_and_nkululeko_tables(tmp_path, caplog):
    caplog.set_level("INFO")
    rows = ["a.wav,0 days 00:00:00,0 days 00:00:01.250000,anger,s1,f", "a.wav,0 days 00:00:01.250000,NaT,joy,s1,f"]
    rows += ["b.wav,0,,sadness,s2,m"]
    one, two, three = table.clips(
        write(tmp_path / "t.csv", "file,start,end,emotion,speaker,gender\n" + "\n".join(rows))
    )
    assert [clip.clip_id for clip in (one, two, three)] == ["t/a_0-1.25", "t/a_1.25-end", "t/b"]
    assert (one.path, three.path) == (tmp_path / "a.wav#t=0,1.25", tmp_path / "b.wav")
    assert (two.emotion, two.speaker, three.gender) == ("happy", "s1", "male")
    assert "t.csv: read as audformat; file as path" in caplog.text


def test_seconds_under_other_names(tmp_path):
    for names in ("Start [s],End [s]", "begin,stop", "start_time,end_time", "onset,offset", "StartTime,EndTime"):
        (clip,) = table.clips(write(tmp_path / "t.csv", f"path,{names},duration,emotion\na.wav,1,2.5,1.5,sad\n"))
        assert clip.clip_id == "t/a_1-2.5"
    with pytest.raises(InputError, match="columns of segments"):  # where an offset is a start
        table.clips(write(tmp_path / "t.csv", "path,offset,duration,emotion\na.wav,1,2.5,sad\n"))


def test_msp_podcast(tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "Audios").mkdir()
    (tmp_path / "Audios" / "MSP-PODCAST_0001_0008.wav").touch()
    rows = ["MSP-PODCAST_0001_0008.wav,N,2.0,4.0,3.0,97,Male,Train", "MSP-PODCAST_0002_0033.wav,X,2,4,3,Unknown,,Test1"]
    text = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n" + "\n".join(rows)
    one, two = table.clips(write(tmp_path / "Labels" / "labels_consensus.csv", text))
    assert one.path == tmp_path / "Audios" / "MSP-PODCAST_0001_0008.wav"
    assert (one.emotion, one.speaker, one.gender, one.session) == ("neutral", "97", "male", "MSP-PODCAST_0001")
    assert (two.excluded, two.speaker, two.session) == ("the raters did not agree (X)", "", "MSP-PODCAST_0002")
    assert "read as MSP-Podcast; filename as path, emoclass as emotion, spkrid as speaker" in caplog.text


MELD = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
    '1,"also I was, uh",Chandler,neutral,neutral,0,0,8,21,"00:16:16,059","00:16:21,731"\n'
    '2,"You must",The Interviewer,surprise,positive,0,1,8,21,"00:16:21,940","00:16:23,442"\n'
)


def test_meld(tmp_path, caplog):
    caplog.set_level("INFO")
    file = write(tmp_path / "train_sent_emo.csv", MELD)
    for place in ("train_splits/dia0_utt0.wav", "train_splits/dia0_utt1.wav", "dev_splits/dia0_utt0.wav"):
        write(tmp_path / place, "")
    one, two = table.clips(file)
    assert (one.path, one.clip_id) == (tmp_path / "train_splits" / "dia0_utt0.wav", "train_sent_emo/dia0_utt0")
    assert (one.speaker, one.session, two.emotion) == ("Chandler", "dia0", "surprised")
    assert "StartTime and EndTime are those in the episode" in caplog.text
    write(tmp_path / "train_more" / "dia0_utt1.flac", "")
    with pytest.raises(InputError, match="1 clips are in several files, first dia0_utt1"):
        table.clips(file)


def test_meld_as_videos_says_how_to_get_the_sound(tmp_path):
    for place in ("train_splits/dia0_utt0.mp4", "train_splits/dia0_utt1.mp4"):
        write(tmp_path / place, "")
    with pytest.raises(
        InputError, match=r"2 clips are videos, first dia0_utt0.mp4.*for f in \*.mp4; do ffmpeg"
    ) as error:
        table.clips(write(tmp_path / "train_sent_emo.csv", MELD))
    assert "\n" not in str(error.value)


def test_a_folder_of_videos_says_how_to_get_the_sound(tmp_path):
    write(tmp_path / "02-01-01-01-01-01-01.mp4", "")
    with pytest.raises(InputError, match="holds no audio file.*ffmpeg"):
        corpora.read("ravdess", tmp_path)


# ---------------------------------------------------------------- IEMOCAP's dialogues


def test_iemocap_by_its_own_times(tmp_path):
    lines = ["[0.5000 - 2.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]"]
    lines += ["[3.0000 - 4.0000]\tSes01F_impro01_M000\tang\t[2.5000, 2.5000, 2.5000]"]
    write(tmp_path / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt", "\n\n".join(lines) + "\n")
    wav = tmp_path / "Session1/dialog/wav/Ses01F_impro01.wav"
    wav.parent.mkdir()
    soundfile.write(wav, np.stack([noise(5), noise(5, seed=1)], axis=1), RATE)
    found = prepare.prepare(corpora.read("iemocap", tmp_path, "dialogues"), None).clips
    assert found.clip_id.tolist() == ["iemocap/Ses01F_impro01_F000", "iemocap/Ses01F_impro01_M000"]
    assert found.duration_s.tolist() == [1.7357, 1.0]
    assert found.speaker.tolist() == ["Ses01_F", "Ses01_M"] and found.audio_sha256.nunique() == 1
    assert corpora.read("iemocap", tmp_path, "local").clips[0].path.name == "Ses01F_impro01_F000.wav"


# ---------------------------------------------------------------- step 1


def test_parts_of_one_file_under_two_emotions_are_no_contradiction(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(3), RATE)
    (tmp_path / "copy.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    rows = [
        "a.wav,0,1,sad",
        "a.wav,1,2,happy",
        "a.wav,2,3,sad",
        "copy.wav,2,3,happy",
        "a.wav,2.5,4,sad",
        "b.wav,0,1,sad",
    ]
    file = write(tmp_path / "t.csv", "path,start,end,emotion\n" + "\n".join(rows))
    one = prepare.prepare(corpora.read(f"table:{file}"), None)
    assert one.clips.clip_id.tolist() == ["t/a_0-1", "t/a_1-2"]
    assert one.card["identical_clips"]["pairs"] == 0
    reasons = dict(zip(one.excluded.clip_id, one.excluded.reason, strict=True))
    assert reasons["t/a_2-3"] == "same audio under another emotion: t/copy_2-3 (happy)"
    assert reasons["t/a_2.5-4"].startswith("the segment ends after the recording")
    assert reasons["t/b_0-1"] == "missing"


def test_the_report_embeds_and_links_the_part_alone(tmp_path):
    soundfile.write(tmp_path / "a b.wav", noise(3), RATE)
    rows = {"path": [str(tmp_path / "a b.wav#t=1,2")], "corpus": ["t"], "speaker": [""], "true": ["sad"]}
    clips = Clips(pd.DataFrame(rows), pd.DataFrame(rows))
    files = sound.files_of(clips)
    assert sound.gather(clips, files, [], tmp_path).links == {0: "a%20b.wav#t=1,2"}
    assert len(sound.gather(clips, files, [0], tmp_path).embedded[0]) < 2 * 27_000 / 8 * 4 / 3


# ---------------------------------------------------------------- audformat


@pytest.fixture
def database(tmp_path):
    """An audformat database of two recordings with segments, speakers with genders, and a pickled copy of a table."""
    audformat = pytest.importorskip("audformat", reason="needs pip install -e .[audformat]")
    db, folder = audformat.Database("made"), tmp_path / "made-1.0.0"
    db.schemes["emotion"] = audformat.Scheme(labels=["anger", "happiness"])
    db.schemes["speaker"] = audformat.Scheme(labels={"s1": {"gender": "female"}, "s2": {"gender": "male"}})
    index = audformat.segmented_index(["a.wav", "a.wav", "b.wav"], ["0s", "1.5s", "0s"], ["1.5s", pd.NaT, pd.NaT])
    db["emotion"] = audformat.Table(index)
    db["emotion"]["emotion"] = audformat.Column(scheme_id="emotion")
    db["emotion"]["emotion"].set(["anger", "happiness", "anger"])
    db["files"] = audformat.Table(audformat.filewise_index(["a.wav", "b.wav"]))
    db["files"]["speaker"] = audformat.Column(scheme_id="speaker")
    db["files"]["speaker"].set(["s1", "s2"])
    db.save(str(folder), storage_format="csv")
    (folder / "db.emotion.pkl").write_bytes(b"not to be read")
    return folder


def test_an_audformat_database(database):
    one, two, three = corpora.read(f"audformat:{database}").clips
    assert [clip.clip_id for clip in (one, two, three)] == ["made_1_0/a_0-1.5", "made_1_0/a_1.5-end", "made_1_0/b"]
    assert (one.emotion, one.speaker, one.gender, three.gender) == ("angry", "s1", "female", "male")
    assert two.path == database / "a.wav#t=1.5"


def test_a_foreign_database_runs_nothing(database, tmp_path):
    with pytest.raises(InputError, match="no table none with a column emotion: choose from emotion"):
        corpora.read(f"audformat:{database}#none")
    (database / "db.emotion.csv").unlink()
    with pytest.raises(InputError, match="holds no db.emotion.csv or .parquet .pickled tables are not read"):
        corpora.read(f"audformat:{database}")
    write(database / "db.yaml", f"name: !!python/object/apply:os.mkdir ['{tmp_path}/ran']\n")
    with pytest.raises(InputError, match="db.yaml is no header of an audformat database"):
        corpora.read(f"audformat:{database}")
    assert not (tmp_path / "ran").exists()


# ---------------------------------------------------------------- all steps


@pytest.mark.slow
def test_segments_of_real_speech_are_the_clips_they_were_made_of(tmp_path, script, shared):
    """Four actors, four clips each, as single files and as one recording per actor: the same embeddings, and folds
    that keep recordings whole though nobody says who speaks."""
    single, parts = ["path,emotion"], ["file,start,end,emotion"]
    for actor in range(1, 5):
        files = sorted((shared / "data" / "ravdess" / f"Actor_{actor:02d}").glob("03-01-0[34]-01-01-*.flac"))
        waves, at = [], 0
        for file in files:
            wave, emotion = soundfile.read(file, dtype="int16")[0], "sad" if "-04-01" in file.name else "happy"
            single.append(f"{file},{emotion}")
            parts.append(f"actor{actor}.wav,{at / RATE},{(at + len(wave)) / RATE},{emotion}")
            waves.append(wave)
            at += len(wave)
        soundfile.write(tmp_path / f"actor{actor}.wav", np.concatenate(waves), RATE)
    found = {}
    for name, lines in (("single", single), ("parts", parts)):
        file = write(tmp_path / f"{name}.csv", "\n".join(lines))
        words = ["--corpora", f"table:{file}", "--emotions", "all", "--out-dir", str(tmp_path / "processed")]
        script("1_data_preprocessing").main(words)
        npz = tmp_path / f"{name}.npz"
        words = ["--metadata", str(tmp_path / "processed" / f"{name}.csv"), "--model", "models/wavlm-nano"]
        script("2_wavlm_feature_extraction").main([*words, "--out", str(npz)])
        found[name] = embeddings.read(npz)
    order = {key: np.lexsort((data.embeddings[:, 0, 0], data.labels)) for key, data in found.items()}
    one, other = (found[key].embeddings[order[key]] for key in ("single", "parts"))
    assert len(one) == 16
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(one).max())
    rows, _ = metadata.read_metadata(tmp_path / "processed" / "parts.csv")
    assert len(np.unique(groups_of(found["parts"], "random"))) == 4 == rows.audio_sha256.nunique()

    where = ["--models-dir", str(tmp_path / "models"), "--results-dir", str(tmp_path / "results")]
    words = ["--npz-path", str(tmp_path / "parts.npz"), "--cv", "random", "--n-folds", "2", "--classifier", "logistic"]
    script("3_train_classifiers").main([*words, *where])
    script("4_evaluation_metrics").main(["--results-dir", str(tmp_path / "results")])
    (predictions,) = (tmp_path / "results").glob("predictions_*.csv")
    tested = pd.read_csv(predictions)
    assert (tested.groupby(tested.path.str.split("#").str[0])["fold"].nunique() == 1).all()
    assert list((tmp_path / "results").glob("evaluation_results_*.json"))
