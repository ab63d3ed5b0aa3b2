"""Features of one's own: a folder, an npz or a table through the steps, pooled as an encoder's, and what is refused."""

import made
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from speechemb import encoders
from speechemb.artifacts import embeddings
from speechemb.artifacts.metadata import read_metadata
from speechemb.encoders import features
from speechemb.errors import InputError

NANO = ROOT / "models" / "wavlm-nano"


@pytest.fixture(scope="module")
def metadata(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    table = made.corpus(folder / "tones", speakers=4, seconds=0.3)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(folder / "processed")])
    return folder / "processed" / "tones.csv"


@pytest.fixture
def clips(metadata):
    return read_metadata(metadata)[0]


def names_of(clips):
    return [clip.partition("/")[2] for clip in clips.clip_id]


def vectors_of(clips, shape=(6,)):
    """Arrays by name: noise, and a planted effect of the emotion."""
    rng = np.random.default_rng(0)
    effect = {emotion: rng.normal(size=shape[-1]) for emotion in made.EMOTIONS}
    arrays = [effect[emotion] * 3 + rng.normal(size=shape) for emotion in clips.emotion]
    return dict(zip(names_of(clips), np.array(arrays, np.float32), strict=True))


def save(path, arrays):
    """The arrays in a form that the path's ending names."""
    if path.suffix == "":
        for name, array in arrays.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            np.save(path / f"{name}.npy", array)
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        rows = pd.DataFrame(np.array(list(arrays.values()))).add_prefix("f")
        rows.insert(0, "path", [f"/elsewhere/{name}.wav" for name in arrays])
        rows.to_parquet(path) if path.suffix == ".parquet" else rows.to_csv(path, index=False)
    return path


def step2(script, metadata, out, model, *flags):
    flags = ["--metadata", str(metadata), "--out", str(out), "--model", f"features:{model}", *flags]
    script("2_wavlm_feature_extraction").main(flags)
    return embeddings.read(out)


@pytest.mark.parametrize("name", ["own", "own.npz", "own.csv", "own.parquet"])
def test_a_folder_an_npz_and_tables_of_the_same_numbers_are_the_same_features(
    script, metadata, clips, tmp_path, name, caplog
):
    arrays = vectors_of(clips)
    with caplog.at_level("INFO"):
        data = step2(script, metadata, tmp_path / "a.npz", save(tmp_path / name, arrays | {"other": np.ones(6, "f4")}))
    assert (
        data.clip_ids.tolist() == clips.clip_id.tolist() and data.audio_sha256.tolist() == clips.audio_sha256.tolist()
    )
    assert np.array_equal(data.embeddings[:, 0], np.array(list(arrays.values())))
    assert data.tag == "features_own" and data.meta["encoder"]["name"].endswith(f"/{name}")
    assert data.meta["encoder"]["dim"] == 6 and data.layers.tolist() == [0]
    assert "1 of 33 belong to no clip" in caplog.text
    by_folder = features.load(f"features:{save(tmp_path / 'same', arrays)}", clips, ["mean"], 0)
    assert data.meta["encoder"]["revision"] == by_folder.identity["revision"]  # of the content, wherever it lies


def test_frames_and_layers_are_pooled_and_chosen_as_those_of_an_encoder(script, metadata, clips, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(3, rng.integers(1, 9), 5)) for name in names_of(clips)}
    folder, pooling = save(tmp_path / "own", arrays), ["--pooling", "mean", "std", "max", "first", "last"]
    data = step2(script, metadata, tmp_path / "a.npz", folder, *pooling, "--layers", "0,2")
    expected = [
        np.concatenate([a.mean(1), a.std(1), a.max(1), a[:, 0], a[:, -1]], axis=1)[[0, 2]] for a in arrays.values()
    ]
    assert data.tag == "features_own-mean_std_max_first_last" and data.layers.tolist() == [0, 2]
    np.testing.assert_allclose(data.embeddings, np.array(expected, "f4"), atol=1e-6)
    frames = save(tmp_path / "frames", {name: np.asfortranarray(array[1]) for name, array in arrays.items()})
    one = step2(script, metadata, tmp_path / "b.npz", frames)
    np.testing.assert_allclose(one.embeddings[:, 0], [a[1].mean(0) for a in arrays.values()], atol=1e-6)


def test_what_is_up_to_date_is_skipped_and_another_content_is_another_encoder(
    script, metadata, clips, tmp_path, capsys
):
    arrays = vectors_of(clips)
    folder, out = save(tmp_path / "own", arrays), tmp_path / "a.npz"
    before = step2(script, metadata, out, folder)
    step2(script, metadata, out, folder)
    assert "is up to date, skipped" in capsys.readouterr().out
    name = next(iter(arrays))
    np.save(folder / f"{name}.npy", arrays[name] + 1)
    with pytest.raises(InputError, match="with other encoder: .*--overwrite"):
        step2(script, metadata, out, folder)
    after = step2(script, metadata, out, folder, "--overwrite")
    assert np.array_equal(after.embeddings[0, 0], arrays[name] + 1)
    assert after.meta["encoder"]["revision"] != before.meta["encoder"]["revision"]


@pytest.mark.slow
def test_features_go_through_steps_3_to_5_and_predict_says_what_it_cannot(script, metadata, clips, tmp_path):
    npz, where = tmp_path / "a.npz", ["--results-dir", str(tmp_path / "results")]
    step2(script, metadata, npz, save(tmp_path / "own", vectors_of(clips)))
    flags = ["--npz-path", str(npz), "--classifier", "svm", "--n-folds", "2", "--models-dir", str(tmp_path / "models")]
    script("3_train_classifiers").main([*flags, *where])
    script("4_evaluation_metrics").main(where)
    script("5_visualization_umap").main(["--npz-path", str(npz), *where])
    tag = "features_own-tones-4emo-mean-svm-speaker2"
    assert tag in (tmp_path / "results" / "comparison.csv").read_text()
    assert (tmp_path / "results" / "umap_emotion.png").exists()
    for encoder in ([], ["--encoder", str(NANO)]):
        wav = str(metadata.parent.parent / "tones" / "s0_happy_0.wav")
        with pytest.raises(
            InputError, match="trained on features:.*own, which this project did not compute and cannot"
        ):
            script("predict").main(["--model", str(tmp_path / "models" / tag), wav, *encoder])


@pytest.mark.slow
def test_the_frames_of_wavlm_nano_give_its_own_embeddings(script, shared, tmp_path):
    """Hidden states by transformers, one clip of human speech at a time, saved as files."""
    import torch
    from transformers import AutoFeatureExtractor, AutoModel

    from speechemb.audio import recording

    corpus = ["--corpora", "ravdess", "--data-dir", str(shared / "data" / "ravdess"), "--out-dir", str(tmp_path)]
    script("1_data_preprocessing").main(corpus)
    flags = ["--limit", "30", "--pooling", "mean", "std", "max", "--layers", "0,3,6"]
    words = ["--metadata", str(tmp_path / "ravdess.csv"), "--precision", "fp32"]
    script("2_wavlm_feature_extraction").main(
        [*words, "--model", str(NANO), "--out", str(tmp_path / "nano.npz"), *flags]
    )
    nano = embeddings.read(tmp_path / "nano.npz")
    paths = dict(read_metadata(tmp_path / "ravdess.csv")[0][["clip_id", "path"]].itertuples(index=False))
    network, extractor = AutoModel.from_pretrained(NANO).float().eval(), AutoFeatureExtractor.from_pretrained(NANO)
    for clip in nano.clip_ids.tolist():
        given = extractor(recording.load(ROOT / paths[clip]), sampling_rate=16_000, return_tensors="pt").input_values
        with torch.inference_mode():
            states = torch.cat(network(given, output_hidden_states=True).hidden_states)
        save(tmp_path / "own", {clip: states.numpy()})
    own = step2(script, tmp_path / "ravdess.csv", tmp_path / "own.npz", tmp_path / "own", *flags)
    assert own.embeddings.shape == nano.embeddings.shape == (30, 3, 576)
    assert np.abs(own.embeddings - nano.embeddings).max() < 1e-4 * np.abs(nano.embeddings).max()


WRONG = [
    (np.ones((2, 3, 4, 6), "f4"), "is float32 (2, 3, 4, 6): give floats"),
    (np.ones(6, int), "is int64 (6,): give floats"),
    (np.array(["a"] * 6), "is <U1 (6,): give floats"),
    (np.ones((0, 6), "f4"), "is float32 (0, 6)"),
    (np.ones((2, 6), "f4"), "is (2, 6), but "),
    (np.ones(7, "f4"), "is (7,), but "),
    (np.array([1, np.nan, 1, 1, np.inf, 1]), "2 of 6 numbers are not finite in float32, the first at index 1"),
    (np.full(6, 1e300), "6 of 6 numbers are not finite in float32"),
    (np.array([{}] * 6), "cannot be read as .npy (the array is object (6,))"),
    (b"not numpy", "cannot be read as .npy"),
    (
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000,)}",
        "cannot be read as .npy",
    ),
    (None, "nothing is named after tones/s2_sad_0 (1 of 32 clips): name it by the clip id or the audio file"),
]


@pytest.mark.parametrize(("content", "words"), WRONG)
def test_a_wrong_array_is_one_line_that_names_it_and_nothing_is_written(
    script, metadata, clips, tmp_path, content, words
):
    folder = save(tmp_path / "own", vectors_of(clips))
    file = folder / "s2_sad_0.npy"
    file.unlink()
    if isinstance(content, bytes):
        file.write_bytes(content.ljust(200) if content[0] == 0x93 else content)
    elif content is not None:
        np.save(file, content, allow_pickle=True)
    with pytest.raises(InputError) as caught:
        step2(script, metadata, tmp_path / "a.npz", folder)
    assert words in str(caught.value) and "s2_sad_0" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


TABLES = [
    ("path,a\n", "has no row"),
    ("what,a\nx,1\n", "has no column clip_id, path"),
    ("path,a\nx,1\nx,2\n", "column path names x twice: give one row per clip"),
    ("path,a\n,1\n", "column path is empty"),
    ("path,a,A\nx,1,2\n", "two columns are called a"),
    ("path,label\nx,1\n", "has no column of features beside path, label"),
    ("path,a\nx,1\ny,high\nz,\n", "column a is no number for y, z"),
    ("path,a\nx,1,2,3\n", "cannot be read as CSV"),
    ("path,a\ns0_happy_0,1\n", "nothing is named after"),
]


@pytest.mark.parametrize(("text", "words"), TABLES)
def test_a_wrong_table_is_one_line(clips, tmp_path, text, words):
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        features.load(f"features:{tmp_path / 'own.csv'}", clips, ["mean"], 0)


def test_a_number_that_is_missing_in_a_table_is_named_by_clip_and_column(clips, tmp_path):
    rows = pd.DataFrame({"clip_id": clips.clip_id, "pitch": 1.0, "energy": 2.0})
    rows.loc[3, "energy"] = np.nan
    rows.loc[len(rows)] = ["tones/silent", np.nan, np.nan]  # no clip: step 1 excluded it
    rows.to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(InputError, match=f"{clips.clip_id[3]}: 1 of 2 numbers .* at column energy"):
        features.load(f"features:{tmp_path / 'own.csv'}", clips, ["mean"], 0)


def test_opensmile_s_own_csv_is_read_and_columns_that_describe_the_clip_are_no_features(clips, tmp_path, caplog):
    values = np.random.default_rng(0).normal(size=(32, 2))
    lines = [f"'{name}';0.000000;{a};{b}" for name, (a, b) in zip(names_of(clips), values, strict=True)]
    (tmp_path / "own.csv").write_text("name;frameTime;F0;loudness\n" + "\n".join(lines) + "\n")
    with caplog.at_level("INFO"):
        found = features.load(f"features:{tmp_path / 'own.csv'}", clips, ["mean"], 0)
    assert np.array_equal(found.embed(clips.clip_id.tolist(), [0], ["mean"])[:, 0], values.astype("f4"))
    assert "not features: frameTime" in caplog.text
    table = pd.DataFrame({"file": names_of(clips), "emotion": 1.0, "start": "0 days", "F0": values[:, 0]})
    table.to_csv(tmp_path / "python.csv")
    assert features.load(f"features:{tmp_path / 'python.csv'}", clips, ["mean"], 0).dim == 1


def test_a_file_of_two_clips_and_a_clip_of_two_files_are_errors_that_name_them(tmp_path):
    clips = pd.DataFrame({"clip_id": ["a/001", "b/001"], "path": ["data/a/001.wav", "data/b/001.wav"]})
    save(tmp_path / "one", {"001": np.ones(3)})
    with pytest.raises(InputError, match="001.npy is named after a/001 and b/001: name one by each clip id"):
        features.load(f"features:{tmp_path / 'one'}", clips, ["mean"], 0)
    save(tmp_path / "two", {"x/001": np.ones(3), "y/001": np.ones(3)})
    with pytest.raises(InputError, match="a/001 may be .*x/001.npy, .*y/001.npy: name one of them by the clip id"):
        features.load(f"features:{tmp_path / 'two'}", clips, ["mean"], 0)
    save(tmp_path / "each", {"a/001": np.zeros(3), "b/001.wav": np.ones(3)})
    found = features.load(f"features:{tmp_path / 'each'}", clips, ["mean"], 0)
    assert found.embed(["b/001", "a/001"], [0], ["mean"])[:, 0, 0].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--pooling", "mean", "std"], "--pooling mean std: .* has one vector per clip and no frames to pool"),
        (["--augment", "1"], "--augment 1: is for encoders that compute features from audio"),
        (["--context", "clip"], "--context clip: is for encoders"),
        (["--layers", "1"], "--layers 1: "),
    ],
)
def test_flags_that_vectors_have_no_use_for_are_refused(script, metadata, clips, tmp_path, flags, words):
    folder = save(tmp_path / "own", vectors_of(clips))
    with pytest.raises(InputError, match=words):
        step2(script, metadata, tmp_path / "a.npz", folder, *flags)


@pytest.mark.parametrize(
    ("name", "words"),
    [("none", "does not exist"), ("a.txt.gz", "is no folder of .npy files"), ("a.npz", "cannot be read as npz")],
)
def test_what_is_no_place_of_features_is_one_line(clips, tmp_path, name, words):
    if name != "none":
        (tmp_path / name).write_bytes(b"PK nothing")
    with pytest.raises(InputError, match=words):
        features.load(f"features:{tmp_path / name}", clips, ["mean"], 0)
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "a.pt").write_bytes(b"")
    with pytest.raises(InputError, match="holds no .npy file .1 file of other kinds passed over: .pt 1"):
        features.load(f"features:{tmp_path / 'torch'}", clips, ["mean"], 0)


def test_an_array_that_changes_while_step_2_runs_is_refused(clips, tmp_path):
    arrays = vectors_of(clips)
    found = features.load(f"features:{save(tmp_path / 'own', arrays)}", clips, ["mean"], 0)
    np.save(tmp_path / "own" / "s0_happy_0.npy", np.zeros(6))
    with pytest.raises(InputError, match="s0_happy_0.npy was changed while step 2 was running"):
        found.embed(["tones/s0_happy_0"], [0], ["mean"])


def test_names_that_become_paths_are_of_a_fixed_alphabet_and_never_those_of_an_encoder(tmp_path):
    for name, tag in (("acoustic", "features_acoustic"), ("../Zürich, 2.0/out", "features_z_rich_2_0_out")):
        assert encoders.tag_of(f"features:{name}") == tag
    (tmp_path / "emotion2vec.npz").write_bytes(b"")
    assert encoders.tag_of(f"features:{tmp_path / 'emotion2vec.npz'}") == "features_emotion2vec"
