"""predict.py: what it reads, what it passes over, and how it ends where it can do nothing."""

import json
import shutil

import made
import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import ROOT

from speechemb import encoders
from speechemb.artifacts import provenance
from speechemb.audio import files, recording
from speechemb.errors import InputError
from speechemb.inference import results, run, work
from speechemb.inference.model import Model


@pytest.fixture(scope="module")
def model(script, tmp_path_factory):
    """A model on acoustic functionals of made tones."""
    folder = tmp_path_factory.mktemp("model")
    table = made.corpus(folder / "tones", speakers=4, seconds=0.4)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(folder / "out")])
    clips = ["--metadata", str(folder / "out" / "tones.csv"), "--out", str(folder / "e.npz")]
    script("2_wavlm_feature_extraction").main(["--model", "acoustic", *clips])
    where = ["--models-dir", str(folder / "models"), "--results-dir", str(folder)]
    words = ["--npz-path", str(folder / "e.npz"), "--classifier", "svm", "--n-folds", "2"]
    script("3_train_classifiers").main([*words, *where])
    return next((folder / "models").iterdir())


def noise(path, seconds: float = 0.5, rate: int = 16_000, **how):
    samples = np.random.default_rng(0).normal(0, 0.1, int(rate * seconds)).astype(np.float32)
    soundfile.write(path, samples, rate, **how)


@pytest.mark.slow
def test_a_folder_is_read_and_what_is_passed_over_is_said(model, script, tmp_path, caplog):
    caplog.set_level("INFO")
    noise(tmp_path / "a.opus", format="OGG", subtype="OPUS")
    noise(tmp_path / "long.flac", seconds=recording.LONG_S + 1)
    (tmp_path / "b.m4a").write_bytes(b"\0\0\0 ftypM4A ")
    (tmp_path / "cut.wav").write_bytes(b"RIFF not really")
    script("predict").main(["--model", str(model), str(tmp_path), "--out", str(tmp_path / "out.csv")])
    assert [path.rsplit("/", 1)[1] for path in pd.read_csv(tmp_path / "out.csv").path] == ["a.opus", "long.flac"]
    assert "1 file of other kinds passed over: .m4a 1" in caplog.text
    assert "cut.wav excluded: cannot be decoded" in caplog.text and "3 files, 1 excluded" in caplog.text


@pytest.mark.slow
def test_nothing_predicted_is_an_error_and_no_file(model, script, tmp_path):
    (tmp_path / "cut.wav").write_bytes(b"RIFF not really")
    with pytest.raises(InputError, match=r"none of the 1 files could be predicted: .*cut.wav \(cannot be decoded\)"):
        script("predict").main(["--model", str(model), str(tmp_path), "--out", str(tmp_path / "out.csv")])
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out", "x.txt"], "--out x.txt: the suffix chooses the format: give .csv, .json, .jsonl"),
        (["--hop", "1"], "--hop: .* give --segments too"),
        (["--segments", "1", "--hop", "2"], "--hop 2: leaves gaps between segments of 1 s"),
        (["--segments", "1", "--plot"], "give --segments and --out too"),
        (["--out", "x.csv", "--plot"], "give --segments and --out too"),
    ],
)
def test_flags_that_do_not_go_together_end_in_one_line(script, tmp_path, flags, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        script("predict").main(["--model", "m", "a.wav", *flags])


def test_files_folders_and_patterns_stand_for_audio_files(tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "a" / "b").mkdir(parents=True)
    names = ["one.wav", "a/two.flac", "a/notes.txt", "a/b/three.wav", "a/b/[4].wav"]
    for name in names:
        (tmp_path / name).write_bytes(b"")

    def given(*words):
        return [path.relative_to(tmp_path).as_posix() for path in files.given([str(tmp_path / word) for word in words])]

    assert given("*.wav") == ["one.wav"]
    assert given("**/*.wav") == ["a/b/[4].wav", "a/b/three.wav", "one.wav"]
    assert given("a/b/three.wav", "a") == ["a/b/three.wav", "a/b/[4].wav", "a/two.flac"]  # each once
    assert given("a/b/[4].wav") == ["a/b/[4].wav"]  # a file of this name, not a pattern
    assert given("a/notes.txt") == ["a/notes.txt"]  # named, so it is to be tried
    caplog.clear()
    assert given("a/*") == ["a/b/[4].wav", "a/b/three.wav", "a/two.flac"]
    assert "1 file of other kinds passed over: .txt 1" in caplog.text
    for word, message in (("nothing.wav", "does not exist"), ("*.mp3", "no audio file"), ("a/*.txt", "no audio file")):
        with pytest.raises(InputError, match=message):
            given(word)


@pytest.fixture
def speech(shared, tmp_path):
    """Six clips of one actor, and one second of digital silence between two more."""
    clips = sorted((shared / "data" / "ravdess" / "Actor_05").glob("*.flac"))[::8]
    (tmp_path / "clips").mkdir()
    for clip in clips[:6]:
        (tmp_path / "clips" / clip.name).write_bytes(clip.read_bytes())
    waves = [soundfile.read(clip)[0] for clip in clips[6:8]]
    soundfile.write(tmp_path / "long$a$ b^.flac", np.concatenate([waves[0], np.zeros(16_000), waves[1]]), 16_000)
    return tmp_path


def predicted(script, model, speech, out, *flags):
    script("predict").main(["--model", str(model), "--out", str(speech / out), *map(str, flags)])
    return (speech / out).read_bytes()


@pytest.mark.slow
def test_rows_are_the_same_in_every_format_and_on_the_terminal(model, script, speech, capsys):
    text = predicted(script, model, speech, "a.csv", speech / "clips").decode()
    table = pd.read_csv(speech / "a.csv", keep_default_na=False)
    assert table.path.tolist() == [str(path) for path in sorted((speech / "clips").iterdir())]
    words = sorted((speech / "clips").iterdir()) * 20  # a command longer than any schema allows
    rows = json.loads(predicted(script, model, speech, "a.json", *words))
    lines = predicted(script, model, speech, "a.jsonl", speech / "clips").splitlines()
    assert rows == [json.loads(line) for line in lines] == table.to_dict("records")
    capsys.readouterr()
    script("predict").main(["--model", str(model), str(speech / "clips" / "*.flac")])
    assert capsys.readouterr().out == text
    assert sorted(path.name for path in speech.glob("a.*")) == [
        "a.csv", "a.json", "a.json.meta.json", "a.jsonl", "a.jsonl.meta.json", "a.meta.json"
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--segments", "1", "--hop", "0.5"]])
def test_a_stopped_run_resumes_to_the_same_bytes(model, script, speech, monkeypatch, capsys, flags):
    monkeypatch.setattr(work, "CHUNK", 1)
    monkeypatch.setattr("speechemb.encoders.acoustic.Acoustic.batch_seconds", 8)
    (speech / "clips" / "z.wav").write_bytes(b"RIFF not really")
    asked = [speech / "clips", *flags]
    whole = predicted(script, model, speech, "whole.csv", *asked)
    add, left = results.File.add, [2]

    def stopped(self, *chunk):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        add(self, *chunk)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(results.File, "add", stopped)
        predicted(script, model, speech, "a.csv", *asked)
    partial = speech / "a.csv.partial"
    lines = partial.read_bytes().splitlines(keepends=True)
    assert len(lines) == 3 and not (speech / "a.csv").exists()
    with pytest.raises(InputError, match="a.csv.partial holds an unfinished run with another min_confidence: finish"):
        predicted(script, model, speech, "a.csv", *asked, "--min-confidence", "0.5")
    changed = lines[2].replace(b"0.", b"1.", 1)
    partial.write_bytes(b"".join(lines[:2]) + changed + b'{"rows": [')  # damaged, and cut short
    computed = []
    monkeypatch.setattr(results.File, "add", lambda self, *chunk: (computed.append(chunk), add(self, *chunk)))
    assert predicted(script, model, speech, "a.csv", *asked) == whole
    n_rows = len(whole.splitlines()) - 1
    kept = len(json.loads(lines[1])["rows"])
    assert 0 < kept and sum(len(rows) for rows, _, _ in computed) == n_rows - kept
    assert not partial.exists() and json.loads((speech / "a.meta.json").read_text())["excluded"][0][0].endswith("z.wav")
    predicted(script, model, speech, "a.csv", *asked)
    assert "a.csv is up to date, skipped" in capsys.readouterr().out


@pytest.mark.slow
def test_a_file_of_other_settings_or_of_somebody_else_is_not_replaced(model, script, speech):
    clips = speech / "clips"
    before = predicted(script, model, speech, "a.csv", clips)
    with pytest.raises(InputError, match="a.csv exists, made by `python src/predict.py .*, with other recordings"):
        predicted(script, model, speech, "a.csv", next(clips.iterdir()))
    (speech / "b.json").write_text("{}")
    with pytest.raises(InputError, match="b.json exists, but is damaged or not of this project"):
        predicted(script, model, speech, "b.json", clips)
    assert (speech / "a.csv").read_bytes() == before and (speech / "b.json").read_text() == "{}"
    assert len(predicted(script, model, speech, "a.csv", next(clips.iterdir()), "--overwrite").splitlines()) == 2


@pytest.mark.slow
def test_a_timeline_is_what_pieces_cut_by_hand_give(model, script, speech, monkeypatch):
    """The same where the recording is held in memory and where it is streamed; silence has no emotion."""
    (name,) = speech.glob("long*.flac")
    wave, flags = soundfile.read(name, dtype="float32")[0], ["--segments", "1.5", "--hop", "0.4", "--plot"]
    held = predicted(script, model, speech, "t.csv", name, *flags)
    monkeypatch.setattr(recording, "LONG_S", 2)
    assert predicted(script, model, speech, "s.csv", name, *flags) == held
    rows = pd.read_csv(speech / "t.csv", keep_default_na=False)
    assert (rows.start == (np.arange(len(rows)) * 0.4).round(4)).all()
    assert rows.end.iloc[-1] == round(len(wave) / 16_000, 4) and (np.diff(rows.end) > 0).all()
    assert (rows.end - rows.start).iloc[:-1].round(4).eq(1.5).all()
    (speech / "cut").mkdir()
    for i, row in rows.iterrows():
        cut = wave[round(row.start * 16_000) : round(row.end * 16_000)]
        soundfile.write(speech / "cut" / f"{i:03d}.wav", cut, 16_000, subtype="FLOAT")
    predicted(script, model, speech, "cut.csv", speech / "cut")
    pieces = pd.read_csv(speech / "cut.csv", keep_default_na=False)
    sounding = rows[rows.note != "silent"]
    assert len(sounding) == len(pieces)
    for column in pieces.columns[2:-1]:
        assert sounding[column].astype(float).tolist() == pytest.approx(pieces[column].tolist(), abs=2e-6)
    assert sounding.emotion.tolist() == pieces.emotion.tolist() and sounding.note.tolist() == pieces.note.tolist()
    (picture,) = speech.glob("t_*.png")
    assert picture.name == "t_long_a__b_.png" and picture.stat().st_size > 10_000


def test_segments_of_a_stream_are_those_of_the_waveform(tmp_path, monkeypatch):
    noise(tmp_path / "a.flac", seconds=3.3, rate=22_050)
    whole = recording.load(tmp_path / "a.flac")
    monkeypatch.setattr(recording, "LONG_S", 1)
    long = recording.load(tmp_path / "a.flac")
    assert isinstance(whole, np.ndarray) and isinstance(long, recording.Recording)
    for size, step in ((16_000, 16_000), (16_000, 5_001), (8_000, 1_600), (100_000, 50_000), (52_799, 100)):
        expected = list(recording.segments_of(whole, size, step))
        found = list(recording.segments_of(long, size, step))
        assert [start for start, _ in found] == [start for start, _ in expected]
        for (start, one), (_, other) in zip(found, expected, strict=True):
            assert np.array_equal(one, other) and np.array_equal(one, whole[start : start + size])
        assert len(whole) - (found[-1][0] + len(found[-1][1])) < 1_600  # a shorter rest is no segment
    last = list(recording.segments_of(np.ones(16_000 * 2 + 1_599, np.float32), 16_000, 16_000))
    assert [(start, len(samples)) for start, samples in last] == [(0, 16_000), (16_000, 16_000)]


def test_a_silent_segment_has_a_row_without_probabilities(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.r_[np.ones(100), np.zeros(31_900)] * 0.1, 16_000)
    (batch,) = work.segments([tmp_path / "a.wav", tmp_path / "none.wav"], 1, 1, 60)
    assert [(piece.start, piece.fault) for piece in batch.pieces] == [(0, ""), (1, "silent"), (None, "missing")]
    model = Model(tmp_path, {"labels": ["happy", "sad"]}, None, [], None)
    model.answers = lambda features: [["sad", 0.2, 0.8, 0.1, ""]]
    chunk = list(zip(batch.pieces, [np.zeros(3), None, None], strict=True))
    rows, excluded = run.rows_of(model, chunk)
    path = str(tmp_path / "a.wav")
    assert rows == [[path, 0, 1, "sad", 0.2, 0.8, 0.1, ""], [path, 1, 2, "unknown", None, None, None, "silent"]]
    assert excluded == [[str(tmp_path / "none.wav"), "missing"]] and batch.then == (2, 0)


@pytest.mark.slow
def test_below_the_confidence_the_answer_is_unknown_and_what_was_measured_is_said(model, script, speech, caplog):
    caplog.set_level("INFO")
    noise(speech / "clips" / "noise.wav", seconds=1)
    predicted(script, model, speech, "a.csv", speech / "clips", "--min-confidence", "0.4")
    rows = pd.read_csv(speech / "a.csv", keep_default_na=False)
    assert (rows.note == "unlike the training speech").all() and (
        rows.emotion == "unknown"
    ).all()  # tones are no speech
    folds = pd.read_csv(model.parents[1] / f"predictions_{model.name}.csv")
    sure = folds.filter(regex="^p_").max(axis=1) >= 0.4
    coverage, risk = sure.mean(), (folds.true != folds.predicted)[sure].mean()
    said = f"{coverage:.1%} of the answers were at least 0.4 confident, and {risk:.1%} of these were wrong"
    assert said in caplog.text and "(speaker-independent folds" in caplog.text
    stamp = json.loads((speech / "a.meta.json").read_text())
    assert (stamp["threshold"], stamp["coverage"], stamp["risk"]) == pytest.approx((0.4, coverage, risk))


@pytest.mark.slow
def test_a_model_without_measured_risk_or_novelty_predicts_but_not_with_a_confidence(model, script, speech, caplog):
    older = speech / "older"
    shutil.copytree(model, older)
    meta = json.loads((older / "model.json").read_text())
    del meta["risk_coverage"], meta["files"]["novelty.safetensors"]
    (older / "model.json").write_text(json.dumps(provenance.seal(meta)))
    with pytest.raises(InputError, match="--min-confidence: .*older does not say .* train it anew with python src/3"):
        predicted(script, older, speech, "a.csv", speech / "clips", "--min-confidence", "0.4")
    predicted(script, older, speech, "a.csv", speech / "clips")
    rows, new = pd.read_csv(speech / "a.csv"), speech / "new.csv"
    assert "novelty is left empty" in caplog.text and rows.novelty.isna().all()
    predicted(script, model, speech, new.name, speech / "clips")
    assert rows.iloc[:, :-2].equals(pd.read_csv(new).iloc[:, :-2])


def test_unknown_is_what_is_unsure_or_flagged():
    model = Model(ROOT, {"labels": ["happy", "sad"]}, None, [], None, at_least=0.6)
    sure, unsure = np.array([0.3, 0.7]), np.array([0.45, 0.55])
    assert model._answer(sure, 0.99) == ["sad", 0.3, 0.7, 0.99, ""]
    assert model._answer(unsure, 0.5)[0] == model._answer(sure, 0.995)[0] == "unknown"
    model.at_least = None
    assert model._answer(unsure, 0.995) == ["sad", 0.45, 0.55, 0.995, "unlike the training speech"]


def test_a_model_trained_in_fp16_predicts_in_fp32_where_there_is_no_cuda(caplog):
    folder = str(ROOT / "models" / "wavlm-nano")
    identity = encoders.load(folder, "cpu", "fp32").identity
    if encoders.load_recorded(identity, folder, "fp16").precision == "fp32":  # else there is CUDA
        assert "fp16 needs a CUDA device; computing in fp32 here" in caplog.text


@pytest.mark.slow
def test_a_long_recording_has_the_functionals_of_its_windows(tmp_path):
    """Given whole or in windows; and the duration is its own."""
    from speechemb.encoders.acoustic import WINDOW_S, Acoustic, functionals

    noise(tmp_path / "a.flac", seconds=recording.LONG_S + 1.5, rate=22_050)
    long = recording.load(tmp_path / "a.flac")
    assert isinstance(long, recording.Recording) and len(long) == 16_000 * (recording.LONG_S + 1.5)
    whole, encoder = np.asarray(long), Acoustic()
    in_windows, at_once = encoder.embed([long, whole], [0], ["functionals"])[:, 0]
    assert np.array_equal(in_windows, at_once)
    mean = np.mean([functionals(part) for part in np.array_split(whole, 3)], axis=0, dtype=np.float64)
    close = {"rtol": 1e-5, "atol": 1e-6}  # the last digits depend on the number of threads
    np.testing.assert_allclose(in_windows[:-1], mean[:-1], **close)
    assert in_windows[-1] == recording.LONG_S + 1.5
    short = whole[: WINDOW_S * 16_000]
    np.testing.assert_allclose(encoder.embed([short], [0], ["functionals"])[0, 0], functionals(short), **close)
    assert long.mean_and_variance() == pytest.approx((whole.mean(dtype=float), whole.var(dtype=float)))
