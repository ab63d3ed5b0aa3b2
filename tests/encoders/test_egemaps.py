"""openSMILE's eGeMAPS functionals, where the package is installed; and one line where it is not."""

import importlib.util

import made
import numpy as np
import pytest
import soundfile

from speechemb import encoders
from speechemb.artifacts import embeddings
from speechemb.audio import recording
from speechemb.errors import InputError

INSTALLED = importlib.util.find_spec("opensmile") is not None
needs_opensmile = pytest.mark.skipif(not INSTALLED, reason="opensmile is not installed: pip install -e .[egemaps]")


@pytest.mark.skipif(INSTALLED, reason="opensmile is installed")
def test_without_the_package_one_line_says_how_to_get_it():
    with pytest.raises(InputError, match=r"opensmile is not installed: run `pip install -e .\[egemaps\]`"):
        encoders.load("egemaps")


@needs_opensmile
@pytest.mark.slow
def test_they_are_those_of_opensmile_and_differ_between_clips(shared, tmp_path):
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    waves = [recording.load(path) for path in sorted((shared / "data" / "ravdess" / "Actor_01").iterdir())[:4]]
    encoder = encoders.load("egemaps")
    rows = encoder.embed(waves, [0], ["functionals"])
    assert rows.shape == (4, 1, 88) and rows.dtype == np.float32
    for wave, row in zip(waves, rows, strict=True):
        soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="FLOAT")
        assert np.array_equal(row[0], smile.process_file(tmp_path / "a.wav").to_numpy()[0])
    assert len(np.unique(rows[:, 0, 0])) == 4
    assert np.array_equal(encoder.embed(waves[2:3], [0], ["functionals"])[0], rows[2])  # whatever the batch
    assert encoder.identity["revision"] == opensmile.__version__


@needs_opensmile
def test_samples_at_full_scale_do_not_change_their_sign_and_the_shortest_clip_has_functionals():
    from speechemb.encoders.egemaps import functionals

    tone = np.sin(2 * np.pi * 220 * np.arange(16_000) / 16_000).astype(np.float32)
    loudness = 10  # the mean; 5 times as much where samples above 1 wrap around
    assert functionals(1.001 * tone)[loudness] == pytest.approx(functionals(0.999 * tone)[loudness], rel=0.01)
    assert np.isfinite(functionals(tone[:1600])).all()


@needs_opensmile
@pytest.mark.slow
def test_a_model_on_them_predicts(script, tmp_path):
    table = made.corpus(tmp_path / "tones", speakers=4)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(tmp_path / "out")])
    npz, metadata = tmp_path / "a.npz", str(tmp_path / "out" / "tones.csv")
    script("2_wavlm_feature_extraction").main(["--metadata", metadata, "--model", "egemaps", "--out", str(npz)])
    assert embeddings.read(npz).tag == "egemaps"
    flags = ["--npz-path", str(npz), "--classifier", "svm", "--n-folds", "2", "--models-dir", str(tmp_path / "models")]
    script("3_train_classifiers").main([*flags, "--results-dir", str(tmp_path)])
    model, out = str(next((tmp_path / "models").iterdir())), tmp_path / "p.csv"
    script("predict").main(["--model", model, str(tmp_path / "tones"), "--out", str(out)])
    rows = out.read_text().splitlines()[1:]
    assert len(rows) == 32 and sum(path.split("_")[1] in rest for path, rest in (r.split(",", 1) for r in rows)) > 24
