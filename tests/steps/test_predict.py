"""predict.py: what it reads, what it passes over, and how it ends where it can do nothing."""

import made
import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import ROOT

from speechemb import encoders
from speechemb.audio import recording
from speechemb.errors import InputError


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
