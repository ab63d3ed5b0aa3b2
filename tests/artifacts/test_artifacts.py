"""Every reader refuses a file that is missing, truncated, foreign, changed by hand or older than its input."""

import json
import os
import subprocess
import sys
import zipfile

import made
import numpy as np
import pandas as pd
import pytest
from chain import build
from conftest import ROOT

from speechemb import cli
from speechemb.artifacts import atomic, embeddings, freshness, metadata, npz, predictions, storage
from speechemb.artifacts.storage import ArtifactError
from speechemb.classifiers import persistence
from speechemb.errors import InputError

READERS = {
    "metadata": metadata.read_metadata,
    "embeddings": embeddings.read,
    "predictions": predictions.read_predictions,
    "model": persistence.load,
}
REMEDIES = {"metadata": "1_data", "embeddings": "2_wavlm", "predictions": "3_train", "model": "3_train"}


def refused(chain, kind):
    """The one line with which the reader refuses, having named the file and the command that mends it."""
    with pytest.raises(ArtifactError) as caught:
        READERS[kind](chain[kind])
    message = str(caught.value)
    assert "\n" not in message and REMEDIES[kind] in message
    assert chain[kind].stem in message
    return message


def the_file(chain, kind):
    return chain[kind] / "svm.safetensors" if kind == "model" else chain[kind]


@pytest.mark.parametrize("kind", READERS)
def test_what_was_written_is_read(chain, kind):
    READERS[kind](chain[kind])


@pytest.mark.parametrize("kind", READERS)
def test_missing(chain, kind):
    the_file(chain, kind).unlink()
    assert "missing" in refused(chain, kind)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_truncated(chain, kind, keep):
    file = the_file(chain, kind)
    os.truncate(file, int(file.stat().st_size * keep))
    refused(chain, kind)


@pytest.mark.parametrize("kind", READERS)
def test_foreign(chain, kind):
    the_file(chain, kind).write_bytes(b"PK\x03\x04 or some,text\n1,2\n")
    refused(chain, kind)


@pytest.mark.parametrize("kind", ["metadata", "predictions"])
def test_a_csv_edited_by_hand(chain, kind):
    text = chain[kind].read_text()
    chain[kind].write_text(text.replace("angry", "happy", 1))
    assert "changed" in refused(chain, kind)


@pytest.mark.parametrize("kind", ["metadata", "predictions"])
def test_a_csv_of_ones_own(chain, kind):
    storage.sidecar(chain[kind]).unlink()
    assert "no script wrote it" in refused(chain, kind)


@pytest.mark.parametrize(
    ("kind", "key", "value"), [("predictions", "protocol", "speaker "), ("model", "layer", "last")]
)
def test_a_claim_edited_by_hand(chain, kind, key, value):
    file = chain["model"] / "model.json" if kind == "model" else storage.sidecar(chain[kind])
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, key: value}))
    assert "changed" in refused(chain, kind)


def test_predictions_without_what_step_4_needs(chain):
    file = storage.sidecar(chain["predictions"])
    stamp = json.loads(file.read_text())
    storage.write_json(file, {key: value for key, value in stamp.items() if key not in ("genders", "repeats")})
    assert "repeats: Field required" in refused(chain, "predictions")


def test_an_npz_edited_by_hand(chain):
    with np.load(chain["embeddings"]) as archive:
        arrays = dict(archive)
    for name, change in (("labels", lambda a: np.roll(a, 1)), ("embeddings", lambda a: a * 1.001)):
        np.savez(chain["embeddings"], **{**arrays, name: change(arrays[name])})
        assert f"{name} was changed" in refused(chain, "embeddings")
    meta = json.loads(str(arrays["meta"]))
    np.savez(chain["embeddings"], **{**arrays, "meta": np.array(json.dumps({**meta, "pooling": ["max"]}))})
    assert "changed" in refused(chain, "embeddings")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("layers", lambda a: a.astype(float), "layers are not those of its meta"),
        ("clip_ids", lambda a: np.roll(a, 1) if len(a) < 2 else np.concatenate([a[:1], a[:-1]]), "occur twice"),
        ("labels", lambda a: np.zeros(len(a), "<U0"), "labels"),
        ("speakers", lambda a: a[:-1], "speakers does not hold one string per clip"),
    ],
)
def test_an_npz_with_the_right_hashes_and_wrong_arrays(chain, name, change, message):
    with np.load(chain["embeddings"]) as archive:
        arrays = dict(archive)
    meta, arrays[name] = json.loads(str(arrays.pop("meta"))), change(arrays[name])
    npz.write(chain["embeddings"], arrays, meta)
    assert message in refused(chain, "embeddings")


def test_sizes_in_an_npz_are_not_trusted(chain):
    header = str({"descr": "<U0", "fortran_order": False, "shape": (10**12,)}).ljust(117) + "\n"
    with zipfile.ZipFile(chain["embeddings"]) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members["labels.npy"] = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    with zipfile.ZipFile(chain["embeddings"], "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    assert "cannot be read as npz" in refused(chain, "embeddings")


def test_a_named_pipe_is_no_file(chain):
    for name, file in (("metadata", storage.sidecar(chain["metadata"])), ("model", chain["model"] / "model.json")):
        file.unlink()
        os.mkfifo(file)
        assert refused(chain, name)


@pytest.mark.parametrize("layer", ["last", "mean", "all", "1"])
def test_reading_one_layer_is_taking_it_from_all(layer, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(700, 3, 5))
    path = made.npz(tmp_path / "e.npz", vectors, ["happy"] * 700, ["s"] * 700)
    one = embeddings.read(path, layer)
    np.testing.assert_array_equal(one.features(layer), embeddings.read(path).features(layer))
    assert one.embeddings.ndim == 2
    with pytest.raises(ValueError, match="only layer"):
        one.features("2")
    with pytest.raises(InputError, match=r"--layer 7: these embeddings hold layers \[0, 1, 2\]"):
        embeddings.read(path, "7")


def test_a_size_that_the_file_cannot_hold_is_not_believed(chain):
    with np.load(chain["embeddings"]) as archive:
        arrays = dict(archive)
    n = len(arrays["clip_ids"])
    with zipfile.ZipFile(chain["embeddings"], "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                shape = (n, 1, 10**12) if name == "embeddings" else array.shape
                header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_2_0(member, header)
                member.write(array.tobytes())
    assert "embeddings is float32" in refused(chain, "embeddings")


def test_an_npz_with_a_pickle_is_not_opened(chain, tmp_path):
    with np.load(chain["embeddings"]) as archive:
        arrays = dict(archive)
    marker = tmp_path / "executed"

    class Payload:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    np.savez(chain["embeddings"], **{**arrays, "labels": np.array([Payload()], dtype=object)})
    refused(chain, "embeddings")
    assert not marker.exists()


def test_the_npz_opens_without_this_project(chain):
    with np.load(chain["embeddings"], allow_pickle=False) as archive:
        assert set(archive.files) == {*embeddings.KEYS, "meta"}
        assert archive["embeddings"].dtype == np.float32 and archive["embeddings"].shape[:2] == (32, 1)
        assert json.loads(str(archive["meta"]))["encoder"]["tag"] == "acoustic"


def test_stale_metadata_is_noticed_by_step_3(script, tmp_path):
    chain = build(script, tmp_path)
    table = pd.read_csv(chain["table"])
    table.iloc[:-1].to_csv(chain["table"], index=False)
    script("1_data_preprocessing").main(
        ["--corpora", f"table:{chain['table']}", "--out-dir", str(tmp_path / "processed")]
    )
    with pytest.raises(ArtifactError, match="was made from an earlier .*tones.csv: rerun python src/2_wavlm"):
        embeddings.read(chain["embeddings"])


def test_stale_embeddings_are_noticed_by_step_4(script, tmp_path):
    chain = build(script, tmp_path)
    where = ["--metadata", str(chain["metadata"]), "--out", str(chain["embeddings"])]
    script("2_wavlm_feature_extraction").main([*where, "--model", "acoustic", "--limit", "20", "--overwrite"])
    with pytest.raises(ArtifactError, match="was made from an earlier .*e.npz: rerun python src/3_train"):
        script("4_evaluation_metrics").main(["--results-dir", str(chain["predictions"].parent)])


def test_an_artifact_is_up_to_date_where_it_would_get_the_same_stamp_again(chain):
    files = (chain["metadata"], chain["embeddings"], chain["predictions"], chain["model"] / "model.json")
    for file in files:
        stamp = freshness.recorded_stamp(file)
        assert freshness.is_up_to_date(file, stamp)
        for key in ("fingerprint", "versions", "code"):
            assert not freshness.is_up_to_date(file, {**stamp, key: "other"})
        os.truncate(file, 100) if file.suffix in (".npz", ".json") else file.unlink()
        assert not freshness.is_up_to_date(file, stamp)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    file = tmp_path / "x.json"
    storage.write_json(file, {"kind": "old"})
    with pytest.raises(RuntimeError), atomic.atomic(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(file.read_text())["kind"] == "old" and list(tmp_path.iterdir()) == [file]


def test_wrong_input_is_one_line_and_code_1_and_a_bug_keeps_its_traceback(capsys):
    def wrong():
        raise ArtifactError("x.csv:\n  broken: rerun step 1")

    def bug():
        raise KeyError("bug")

    assert cli.run(wrong) == 1
    assert capsys.readouterr().err == "error: x.csv: broken: rerun step 1\n"
    with pytest.raises(KeyError):
        cli.run(bug)


def test_an_error_does_not_command_the_terminal(capsys):
    def coloured():
        raise InputError("clip \x1b[31mred is missing")

    assert cli.run(coloured) == 1
    assert capsys.readouterr().err == "error: clip \\x1b[31mred is missing\n"


def test_streams_that_the_shell_closed_do_not_become_files(tmp_path):
    code = (
        "import sys; from speechemb import cli\n"
        "def main():\n"
        "    with open(sys.argv[1], 'w') as file:\n"
        "        print('printed', flush=True), print('said', file=sys.stderr, flush=True), file.write('data')\n"
        "sys.exit(cli.run(main))"
    )
    command = f'"{sys.executable}" -c "$1" "$2" <&- >&- 2>&-'
    done = subprocess.run(["bash", "-c", command, "bash", code, str(tmp_path / "file")])
    assert done.returncode == 0 and (tmp_path / "file").read_text() == "data"


def test_a_warning_is_called_one_and_what_is_only_said_is_not():
    code = (
        "import sys; from speechemb import cli\n"
        "def main():\n"
        "    cli.log.warning('clip %s is odd', '\\x1b[31mred\\n'), cli.log.info('12 files')\n"
        "sys.exit(cli.run(main))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "src")
    assert done.stderr == "warning: clip \\x1b[31mred\\n is odd\n12 files\n" and done.stdout == ""


def test_no_memory_is_one_line(capsys):
    def large():
        raise MemoryError

    assert cli.run(large) == 1
    assert capsys.readouterr().err.startswith("error: out of memory")


def test_a_working_folder_that_was_removed_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert cli.run(lambda: os.getcwd()) == 1
    assert capsys.readouterr().err.startswith("error: the working folder was removed")
