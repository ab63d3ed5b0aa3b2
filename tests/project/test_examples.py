"""The examples run as they stand, on files that the steps write; and `speechemb.api`, which one of them shows."""

import os
import re
import runpy
import subprocess
import sys

import made
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from speechemb import api
from speechemb.errors import InputError

EXAMPLE = ROOT / "examples" / "read_npz.py"


@pytest.fixture(scope="module")
def npz(script, tmp_path_factory):
    """Acoustic functionals of part of the demo corpus."""
    folder = tmp_path_factory.mktemp("example")
    script("1_data_preprocessing").main(["--corpora", "demo", "--out-dir", str(folder)])
    out = folder / "acoustic.npz"
    script("2_wavlm_feature_extraction").main(
        ["--metadata", str(folder / "demo.csv"), "--model", "acoustic", "--limit", "120", "--out", str(out)]
    )
    return out


def run(*args):
    # -I ignores PYTHONPATH and the working folder, so that nothing of src/ can be imported.
    return subprocess.run([sys.executable, "-I", str(EXAMPLE), *map(str, args)], capture_output=True, text=True)


def changed(npz, folder, **arrays):
    """A copy of the npz with other arrays."""
    with np.load(npz, allow_pickle=False) as file:
        np.savez(folder / "changed.npz", **{**file, **arrays})
    return folder / "changed.npz"


@pytest.mark.slow
def test_read_npz_cross_validates_and_draws(npz, tmp_path):
    picture = tmp_path / "confusion.png"
    done = run(npz, picture)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = re.match(r"120 clips, 12 speakers: UAR (0\.\d+) \(chance 0\.250\)\n", done.stdout)
    assert found and float(found[1]) > 0.5, done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_read_npz_ignores_augmented_copies(npz, tmp_path):
    with np.load(npz, allow_pickle=False) as file:
        copies = np.where(np.arange(120) < 20, file["clip_ids"][20:40].repeat(6), "")
    done = run(changed(npz, tmp_path, augmented_from=copies), tmp_path / "confusion.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("100 clips, ")


@pytest.mark.slow
def test_read_npz_refuses_unknown_speakers(npz, tmp_path):
    with np.load(npz, allow_pickle=False) as file:
        speakers = file["speakers"]
    speakers[0] = ""
    done = run(changed(npz, tmp_path, speakers=speakers), tmp_path / "confusion.png")
    assert done.returncode == 1 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["changed.npz"]


def test_read_npz_fits_on_a_page():
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 60


@pytest.fixture
def example(monkeypatch, capsys):
    """`example("to_parquet", npz, out)`: exit code and what was printed, on stdout and stderr, by an example."""

    def call(name, *args):
        monkeypatch.setattr(sys, "argv", [name, *map(str, args)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
        return end.value.code, *capsys.readouterr()

    return call


@pytest.fixture
def layered(tmp_path):
    """Three layers of made vectors, and an augmented copy of the first clip in the last row."""
    vectors, labels, speakers = made.planted(speakers=4)
    copies = [""] * (len(labels) - 1) + ["made/0000"]
    rows = np.stack([vectors, vectors * 2, vectors / 3], axis=1).astype(np.float32)
    return made.npz(tmp_path / "e.npz", rows, labels, ["", *speakers[1:]], augmented_from=copies)


@pytest.mark.parametrize("layer", ["last", "mean", "all", "1"])
def test_parquet_has_a_column_per_dimension_and_the_same_bits(layered, tmp_path, example, layer):
    out = tmp_path / "out.parquet"
    code, printed, _ = example("to_parquet", layered, out, "--layer", layer)
    with np.load(layered, allow_pickle=False) as file:
        columns = ("clip_ids", "paths", "corpora", "speakers", "labels")
        x, *of = (file[key][:-1] for key in ("embeddings", *columns))
    x = {"last": x[:, -1], "mean": x.mean(axis=1), "all": x.reshape(len(x), -1), "1": x[:, 1]}[layer]
    assert code == 0 and printed == f"wrote {out}: {x.shape[0]} clips x {x.shape[1]} dimensions\n"
    names = ["clip_id", "path", "corpus", "speaker", "emotion", *(f"e{i}" for i in range(x.shape[1]))]
    table, frame = pq.read_table(out), pd.read_parquet(out)
    assert table.column_names == frame.columns.tolist() == names
    assert {str(kind) for kind in table.schema.types[5:]} == {"float"} and table.num_rows == len(x)
    assert frame[names[5:]].to_numpy().tobytes() == x.tobytes()
    assert [table[name].to_pylist() for name in names[:5]] == [column.tolist() for column in of]
    assert frame["speaker"].iloc[0] == "" and frame.attrs["layer"] == layer


@pytest.mark.parametrize(
    ("layer", "words"), [("weighted", "give last, mean, all"), ("7", "hold layers [0, 1, 2]"), ("auto", "--layer auto")]
)
def test_parquet_of_no_such_layer_is_one_line_and_no_file(layered, tmp_path, example, layer, words):
    code, _, said = example("to_parquet", layered, tmp_path / "out.parquet", "--layer", layer)
    assert code == 1 and said.startswith("error: ") and said.count("\n") == 1 and words in said
    assert sorted(os.listdir(tmp_path)) == ["e.npz"]


def test_parquet_of_a_damaged_npz_is_one_line(layered, tmp_path, example):
    layered.write_bytes(layered.read_bytes()[:-100])
    code, _, said = example("to_parquet", layered, tmp_path / "out.parquet")
    assert code == 1 and said.startswith(f"error: {layered}") and said.count("\n") == 1


@pytest.fixture(scope="module")
def trained(npz, script):
    """A model of step 3 on the acoustic functionals, and one that needs enrolment."""
    folder, where = npz.parent, ["--models-dir", str(npz.parent), "--results-dir", str(npz.parent)]
    for flags in ([], ["--normalise", "speaker"]):
        script("3_train_classifiers").main(["--npz-path", str(npz), "--classifier", "svm", *flags, *where])
    return sorted(path.parent for path in folder.glob("*/model.json"))


@pytest.mark.slow
def test_the_three_calls_give_what_the_scripts_give(npz, trained, script, tmp_path, example):
    with np.load(npz, allow_pickle=False) as file:
        files, expected = [str(ROOT / path) for path in file["paths"][:20]], file["embeddings"][:20, 0]
    vectors = api.embed(api.load_encoder("acoustic"), files)
    assert vectors.dtype == np.float32 and np.array_equal(vectors, expected)
    table = api.predict(api.load_model(trained[0]), files)
    script("predict").main(["--model", str(trained[0]), *files, "--out", str(tmp_path / "p.csv")])
    written = pd.read_csv(tmp_path / "p.csv").fillna({"note": ""})
    pd.testing.assert_frame_equal(table.round(6), written, check_dtype=False)
    code, printed, _ = example("three_calls", "acoustic", trained[0], *files)
    lines = printed.splitlines()
    assert code == 0 and lines[0] == f"embeddings: 20 files x {vectors.shape[1]} dimensions, float32"
    assert lines[1].split() == table.columns.tolist() and len(lines) == 22
    assert [line.split()[1] for line in lines[2:]] == table["emotion"].tolist()


@pytest.mark.slow
def test_layers_and_poolings_of_the_api_are_those_of_the_steps():
    nano = api.load_encoder("wavlm_nano", precision="fp32")
    file = next((ROOT / "data" / "demo" / "AudioWAV").glob("*.flac"))
    every, blocks = api.embed(nano, [file], "all", ["mean", "std"]), nano.n_layers + 1
    assert every.shape == (1, blocks * 2 * nano.dim)
    layers = every.reshape(blocks, -1)
    for layer, expected in ((2, layers[2]), ("last", layers[-1]), ("mean", layers.mean(axis=0))):
        assert np.allclose(api.embed(nano, str(file), layer, ["mean", "std"])[0], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="pooling median"):
        api.embed(nano, [file], pooling=["median"])
    with pytest.raises(InputError, match="--layer weighted"):
        api.embed(nano, [file], "weighted")
    with pytest.raises(InputError, match="from 0 to 6"):
        api.embed(nano, [file], 7)


@pytest.mark.slow
def test_the_api_refuses_what_it_cannot_use_in_one_line(trained, tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    model = api.load_model(trained[0])
    for call in (lambda files: api.embed(model.encoders[0], files), lambda files: api.predict(model, files)):
        with pytest.raises(InputError, match=r"not usable: .*text.wav \(.*\), .*none.wav \(.*\): leave them out$"):
            call([tmp_path / "text.wav", tmp_path / "none.wav"])
        with pytest.raises(InputError, match="no files were given"):
            call([])
    with pytest.raises(InputError, match="use predict.py --enrol"):
        api.load_model(trained[1])
