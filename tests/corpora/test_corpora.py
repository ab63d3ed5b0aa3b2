"""What the corpora's names, label files and tables say: no audio is opened here."""

import csv
import os

import pytest

from speechemb import corpora
from speechemb.corpora import cremad, emodb, iemocap, ravdess, table
from speechemb.errors import InputError
from speechemb.labels import canonical


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def by_stem(clips):
    return {clip.clip_id.split("/", 1)[1]: clip for clip in clips}


# ---------------------------------------------------------------- CREMA-D


def test_cremad_names_and_demographics(shared):
    names = (shared / "data" / "crema_d_metadata" / "AudioWAV_names.txt").read_text().split()
    described = [cremad.describe(name.removesuffix(".wav")) for name in names]
    assert len(described) == cremad.PUBLISHED == 7442
    assert not any(one.get("excluded") for one in described)
    assert sum(len(one["numbers"]) for one in described) == sum("_XX" not in name for name in names) == 1365
    assert len({one["speaker"] for one in described}) == 91
    assert len({one["sentence"] for one in described}) == 12
    counts = {word: sum(one["emotion"] == word for one in described) for word in cremad.EMOTIONS.values()}
    assert counts == {word: 1087 if word == "neutral" else 1271 for word in cremad.EMOTIONS.values()}
    sexes = cremad.demographics(shared / "data" / "crema_d_metadata")
    assert set(sexes) == {one["speaker"] for one in described}
    assert list(sexes.values()).count("male") == 48 and list(sexes.values()).count("female") == 43


@pytest.mark.parametrize("given", ["", "AudioWAV"])
def test_cremad_takes_the_folder_or_its_audiowav(tmp_path, given):
    touch(tmp_path, "AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/._1001_DFA_ANG_XX.wav", "AudioWAV/notes.txt")
    touch(tmp_path, "AudioMP3/1001_DFA_ANG_XX.mp3")
    (tmp_path / "VideoDemographics.csv").write_text('"ActorID","Age","Sex"\n1001,51,"Male"\n')
    (clip,) = cremad.clips(tmp_path / given)
    assert clip.clip_id == "cremad/1001_DFA_ANG_XX"
    assert (clip.speaker, clip.sentence, clip.gender, clip.session) == ("1001", "DFA", "male", "")


def test_demo_uses_cremad_naming_under_its_own_name(tmp_path):
    touch(tmp_path, "9001_IEO_HAP_XX.flac")
    (clip,) = cremad.clips(tmp_path, "demo")
    assert (clip.clip_id, clip.corpus, clip.gender) == ("demo/9001_IEO_HAP_XX", "demo", "")


def test_demographics_without_its_columns_is_an_error(tmp_path):
    touch(tmp_path, "1001_DFA_ANG_XX.wav")
    (tmp_path / "VideoDemographics.csv").write_text("Actor,Sex\n1001,Male\n")
    with pytest.raises(InputError, match="VideoDemographics.csv has no readable columns ActorID"):
        cremad.clips(tmp_path)


# ---------------------------------------------------------------- IEMOCAP


def test_iemocap_turns_give_true_speakers(shared):
    with open(shared / "data" / "iemocap_metadata" / "turns_4class.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    described = [iemocap.describe(row["turn"]) for row in rows]
    assert len({one["speaker"] for one in described}) == 10
    assert all(one["session"] == f"Ses0{row['emobox_test_fold']}" for one, row in zip(described, rows, strict=True))
    wearers = [row["turn"][:5] + "_" + row["turn"][5] for row in rows]
    assert sum(one["speaker"] != wearer for one, wearer in zip(described, wearers, strict=True)) == 2750
    turn = iemocap.describe("Ses01F_impro04_M007")
    assert turn == {"speaker": "Ses01_M", "session": "Ses01", "gender": "male"}
    assert iemocap.describe("Ses05M_script01_1b_F012")["speaker"] == "Ses05_F"


LABELS = b"""% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
A-E3:\tval 3; act 2; dom  2;\t(caf\xe9)

[10.0100 - 11.3925]\tSes01F_impro01_F001\txxx\t[2.5000, 2.5000, 2.5000]\r
C-E2:\tHappiness;\t()

[12.0000 - 13.0000]\tSes01F_impro01_M000\texc\t[4.0000, 3.5000, 2.5000]
"""


@pytest.mark.parametrize("given", ["", "IEMOCAP_full_release"])
def test_iemocap_label_files(tmp_path, given):
    release = tmp_path / "IEMOCAP_full_release" / "Session1"
    (release / "dialog" / "EmoEvaluation").mkdir(parents=True)
    (release / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt").write_bytes(LABELS)
    (release / "dialog" / "EmoEvaluation" / "._Ses01F_impro01.txt").write_bytes(LABELS)
    found = iemocap.clips(tmp_path / given)
    assert [clip.emotion for clip in found] == ["neutral", "xxx", "excited"]
    clips = by_stem(found)
    assert clips["Ses01F_impro01_F001"].excluded == "no majority label (xxx)"
    assert clips["Ses01F_impro01_M000"].speaker == "Ses01_M"
    assert dict(clips["Ses01F_impro01_M000"].numbers) == {"valence": 4.0, "arousal": 3.5, "dominance": 2.5}
    wav = release / "sentences" / "wav" / "Ses01F_impro01" / "Ses01F_impro01_M000.wav"
    assert clips["Ses01F_impro01_M000"].path == wav


# ---------------------------------------------------------------- RAVDESS, EmoDB


def test_ravdess_names(tmp_path):
    touch(tmp_path, "Actor_12/03-01-06-01-02-01-12.wav", "Actor_01/03-02-05-01-01-01-01.flac", "Actor_01/x.wav")
    clips = by_stem(ravdess.clips(tmp_path))
    one = clips["03-01-06-01-02-01-12"]
    found = (one.emotion, one.speaker, one.gender, one.sentence, one.excluded)
    assert found == ("fearful", "12", "female", "02", "")
    assert [dict(clips[name].numbers)["intensity"] for name in ("03-01-06-01-02-01-12", "03-02-05-01-01-01-01")] == [
        1,
        1,
    ]
    assert ravdess.describe("03-01-06-02-02-01-12")["numbers"] == (("intensity", 2.0),)
    assert clips["03-02-05-01-01-01-01"].excluded == "song, not speech"
    assert clips["03-02-05-01-01-01-01"].gender == "male"
    assert clips["x"].excluded == "name does not follow RAVDESS's naming"


def test_the_sound_of_ravdess_videos_is_not_a_second_take(tmp_path):
    touch(tmp_path, *[f"Actor_01/{n}-01-05-01-01-01-01.wav" for n in ("01", "02", "03", "04")])
    excluded = {stem[:2]: clip.excluded for stem, clip in by_stem(ravdess.clips(tmp_path)).items()}
    assert excluded["03"] == "" and excluded["04"] == "name does not follow RAVDESS's naming"
    assert excluded["01"] == "sound of the video of the same take (modality 01)"
    assert excluded["02"] == "sound of the video of the same take (modality 02)"


def test_a_folder_inside_the_folder_does_not_double_ravdess(tmp_path):
    touch(tmp_path, "Actor_12/03-01-06-01-02-01-12.wav", "inside/Actor_12/03-01-06-01-02-01-12.wav")
    first, second = ravdess.clips(tmp_path)
    assert not first.excluded and second.excluded.startswith("second file of one name: ")
    assert first.clip_id != second.clip_id


def test_emodb_names(tmp_path):
    touch(tmp_path, "wav/03a01Fa.wav", "wav/14b10Lb.wav", "wav/99a01Fa.wav", "wav/16a05Wc.wav")
    clips = by_stem(emodb.clips(tmp_path))
    one = clips["03a01Fa"]
    assert (one.speaker, one.sentence, one.emotion, one.gender) == ("03", "a01", "happy", "male")
    assert (clips["14b10Lb"].emotion, clips["14b10Lb"].gender) == ("bored", "female")
    assert clips["16a05Wc"].emotion == "angry"
    assert clips["99a01Fa"].excluded == "name does not follow EmoDB's naming"


# ---------------------------------------------------------------- tables


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("comma", [",", "\t", ";", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_table_with_bom_line_ends_and_other_columns(tmp_path, comma, end):
    touch(tmp_path, "a/x.wav")
    lines = ["Path,emotion,speaker,gender,note", "a/x.wav,Anger,s1,F,hm", "b/y.wav, joy ,,,"]
    file = write(tmp_path / "My Clips.csv", "\ufeff" + end.join(lines).replace(",", comma) + end)
    one, two = table.clips(file)
    assert (one.clip_id, one.corpus, one.path) == ("my_clips/x", "my_clips", tmp_path / "a" / "x.wav")
    assert (one.emotion, one.speaker, one.gender) == ("angry", "s1", "female")
    assert (two.emotion, two.speaker, two.session, two.sentence, two.gender) == ("happy", "", "", "", "")


def test_excel_may_name_the_separator(tmp_path):
    file = write(tmp_path / "t.csv", "sep=;\r\npath;emotion\r\na.wav;sad\r\n")
    assert [clip.clip_id for clip in table.clips(file)] == ["t/a"]


def test_words_for_unknown_are_no_people(tmp_path, caplog):
    caplog.set_level("INFO")
    words = ["Unknown", "unk", "nan", "None", "null", "-", "n/a", "?", "<NA>", "s1"]
    rows = [f"{i}.wav,sad,{word},{word},{word},{word}" for i, word in enumerate(words)]
    found = table.clips(write(tmp_path / "t.csv", "\n".join(["path,emotion,speaker,gender,session,sentence", *rows])))
    for clip in found[:-1]:
        assert (clip.speaker, clip.gender, clip.session, clip.sentence) == ("", "", "", "")
    assert found[-1].speaker == "s1"
    assert "counted as unknown: speaker Unknown (1), session Unknown (1)" in caplog.text


def test_negative_numbers_are_no_formulas_and_a_whole_duration_is_no_segment(tmp_path):
    (clip,) = table.clips(write(tmp_path / "t.csv", "path,emotion,speaker,duration_s\na.wav,sad,-1,3.5\n"))
    assert clip.speaker == "-1"


def test_paths_written_on_other_systems_are_found(tmp_path):
    composed, decomposed = "J\u00fcrgen", "Ju\u0308rgen"
    touch(tmp_path, f"wav/{decomposed}/{composed}.wav", "wav/b.wav")
    rows = [f"wav\\{composed}\\{decomposed}.wav,sad", "wav\\b.wav,sad", "wav/none.wav,sad"]
    found = table.clips(write(tmp_path / "t.csv", "\n".join(["path,emotion", *rows])))
    assert [clip.path.is_file() for clip in found] == [True, True, False]


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_table_that_is_no_file_does_not_hang(tmp_path, kind):
    make = {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": lambda path: path.mkdir()}
    make[kind](tmp_path / "t.csv")
    with pytest.raises(InputError, match=f"a {kind}, not a file"):
        corpora.read(f"table:{tmp_path / 't.csv'}")


def test_table_ids_are_unique_where_stems_are_not(tmp_path):
    rows = ["s1/a.wav,sad", "s2/a.wav,happy"]
    file = write(tmp_path / "t.csv", "\n".join(["path,emotion", *rows]))
    assert [clip.clip_id for clip in table.clips(file)] == ["t/s1/a", "t/s2/a"]
    file = write(tmp_path / "t.csv", "\n".join(["path,emotion", *rows, "s1/a.flac,sad"]))
    assert [clip.clip_id for clip in table.clips(file)] == ["t/s1/a.wav", "t/s2/a.wav", "t/s1/a.flac"]


def test_table_paths_count_from_the_root_where_they_are_not_beside_it(tmp_path):
    file = write(tmp_path / "t.csv", "path,emotion\npyproject.toml,sad\nnowhere.wav,sad\n")
    one, two = table.clips(file)
    assert one.path == corpora.table.ROOT / "pyproject.toml"
    assert two.path == tmp_path / "nowhere.wav"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.wav,sad\n", r"t.csv has no column emotion \(found: path, label\)"),
        ("path:emotion\na.wav:sad\n", r"t.csv has no column path \(found: path:emotion\)"),
        ("path,start,end,emotion\na.wav,0,1s,sad\n", "column end has '1s' in row 2: write seconds"),
        ("path,start,end,emotion\na.wav,-1,1,sad\n", "column start has '-1' in row 2"),
        (
            "path,start,end,emotion\na.wav,0,1,sad\na.wav,2,2,sad\n",
            "the segment of row 3 ends at 2 s, not after its start, 2 s",
        ),
        ("path,start,end,emotion\na.wav,0,1,sad\n./a.wav,0.0,1,happy\n", "lists a file twice: a.wav#t=0,1"),
        ("path,start,emotion\na.wav,0,sad\n", r"columns of segments \(start\)"),
        ("path,Start [s],emotion\na.wav,0,sad\n", r"columns of segments \(start \[s\]\)"),
        ("path,EndTime,emotion\na.wav,0,sad\n", r"columns of segments \(endtime\)"),
        ("path,offset_ms,duration,emotion\na.wav,0,1,sad\n", r"columns of segments \(offset_ms, duration\)"),
        ("path,start_ms,end_ms,emotion\na.wav,0,1,sad\n", r"columns of segments \(start_ms, end_ms\)"),
        ("path,emotion\na.mp4,sad\n", "1 clips are videos, first a.mp4.*ffmpeg"),
        ("path,emotion,speaker\na.wav,sad,=1+1\n", "column speaker begins with = .* in row 2"),
        ("path,emotion\na.wav,@SUM(A1)\n", "column emotion begins with"),
        ("", r"t.csv has no column path \(found: none\)"),
        ("path,emotion\n", "t.csv lists no clip"),
        ("path,emotion\na.wav,sad\nb.wav,\nc.wav, \n", "column emotion is empty in row 3, 4"),
        ("path,emotion\n,sad\n", "column path is empty in row 2"),
        ("path,emotion\na.wav,sad,very\n", "more fields than columns in row 2"),
        ("path,emotion,emotion\na.wav,sad,sad\n", "has column emotion twice"),
        ("path,emotion\na.wav,sad\n./a.wav,happy\n", "lists a file twice: a.wav"),
        ('path,emotion\n"a.wav,sad\n', "is not a CSV in UTF-8"),
        ("path,emotion\na.wav,s\xe9\n", "is not a CSV in UTF-8"),
        ("path,emotion\na\0.wav,sad\n", "is not a CSV in UTF-8"),
    ],
)
def test_table_errors_name_file_column_and_row(tmp_path, text, message):
    file = write(tmp_path / "t.csv", text, "latin-1")
    with pytest.raises(InputError, match=message) as raised:
        table.clips(file)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["---.csv", "ravdess_excluded.csv"])
def test_table_names_that_cannot_name_a_corpus(tmp_path, name):
    with pytest.raises(InputError, match="rename it"):
        table.corpus_name(tmp_path / name)


# ---------------------------------------------------------------- corpora.read


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("cremad", ["CREMA-D", "github.com/CheyneyComputerScience", "--data-dir"]),
        ("ravdess", ["zenodo.org", "--data-dir"]),
        ("emodb", ["emodb.bilderbar.info", "--data-dir"]),
        ("iemocap", ["sail.usc.edu", "--data-dir"]),
        ("kremad", ["choose from iemocap, cremad, ravdess, emodb, demo, table:FILE.csv"]),
        ("table:none.csv", ["none.csv is missing"]),
    ],
)
def test_a_missing_corpus_names_where_to_get_it_and_the_flag(tmp_path, monkeypatch, word, words):
    monkeypatch.setattr(corpora, "DATA", tmp_path)
    with pytest.raises(InputError) as raised:
        corpora.read(word, source="local")
    assert all(one in str(raised.value) for one in words), raised.value


@pytest.mark.parametrize("word", ["cremad", "ravdess", "emodb", "iemocap"])
def test_an_empty_folder_is_an_error(tmp_path, word):
    with pytest.raises(InputError, match="holds no .*--data-dir"):
        corpora.read(word, str(tmp_path))


def test_a_folder_and_the_hub_exclude_each_other(tmp_path):
    with pytest.raises(InputError, match="drop one"):
        corpora.read("cremad", str(tmp_path), "hub")
    with pytest.raises(InputError, match="does not go with table:x.csv"):
        corpora.read("table:x.csv", str(tmp_path))


def test_a_corpus_where_the_readme_puts_it_comes_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "DATA", tmp_path)
    labels = tmp_path / "IEMOCAP/IEMOCAP_full_release/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    labels.parent.mkdir(parents=True)
    labels.write_bytes(LABELS)
    touch(tmp_path, "CREMA-D/AudioWAV/1001_DFA_ANG_XX.wav")
    assert corpora.read("iemocap").source == corpora.read("cremad").source == "local"
    (tmp_path / "CREMA-D/AudioWAV/1001_DFA_ANG_XX.wav").unlink()
    touch(tmp_path, "CREMA-D/hub/org--set/1001_DFA_ANG_XX.wav")  # what came from the hub is not a local corpus
    assert corpora._nearest("cremad", None) == "hub"


@pytest.mark.parametrize(
    "label", ["ps", "PS", "pleasant_surprise", "Pleasant Surprise", "pleasant-surprised", "Pleasant_surprised"]
)
def test_tess_spellings_are_surprised(label):
    assert canonical(label) == "surprised"
