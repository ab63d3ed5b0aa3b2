"""A file is up to date only where inputs, settings, code, libraries and the file itself are as they were."""

import json
import os
import shutil

import made
import numpy as np
import pytest
from chain import build
from conftest import ROOT

from speechemb import cli
from speechemb.artifacts import atomic, freshness, provenance, storage
from speechemb.classifiers import persistence
from speechemb.errors import InputError
from speechemb.extraction import resume

pytestmark = pytest.mark.slow


def step3(script, folder, npz, *flags):
    script("3_train_classifiers").main(
        ["--npz-path", str(npz), "--classifier", "svm", "--n-folds", "2"]
        + ["--models-dir", str(folder / "models"), "--results-dir", str(folder / "results"), *flags]
    )


def step5(script, folder, npz):
    script("5_visualization_umap").main(["--npz-path", str(npz), "--results-dir", str(folder / "maps")])


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def damage(path):
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["predictions", "training log", "model.json", "weights", "sidecar"])
def test_a_damaged_file_is_made_again_by_the_same_command(script, tmp_path, capsys, what):
    folder, chain = tmp_path, build(script, tmp_path)
    before, tag = content(folder), chain["model"].name
    damage(
        {
            "predictions": chain["predictions"],
            "training log": folder / "results" / f"training_{tag}.csv",
            "model.json": chain["model"] / "model.json",
            "weights": chain["model"] / "svm.safetensors",
            "sidecar": storage.sidecar(chain["predictions"]),
        }[what]
    )
    capsys.readouterr()
    step3(script, folder, chain["embeddings"])
    assert "up to date" not in capsys.readouterr().out
    assert content(folder) == before
    step3(script, folder, chain["embeddings"])
    assert "up to date" in capsys.readouterr().out


@pytest.mark.slow
def test_a_damaged_picture_is_drawn_again(script, tmp_path, capsys):
    npz = made.npz(tmp_path / "a.npz", *made.planted())
    step5(script, tmp_path, npz)
    before = content(tmp_path)
    damage(tmp_path / "maps" / "umap_emotion.png")
    step5(script, tmp_path, npz)
    assert "up to date" not in capsys.readouterr().out and content(tmp_path) == before


@pytest.mark.slow
def test_maps_of_another_file_are_not_taken_for_those_asked_for(script, tmp_path):
    first, second = (made.npz(tmp_path / f"{seed}.npz", *made.planted(seed=seed)) for seed in (0, 1))
    step5(script, tmp_path, first)
    before = content(tmp_path / "maps")
    step5(script, tmp_path, second)
    step5(script, tmp_path, first)
    assert content(tmp_path / "maps") == before


def test_predictions_record_what_was_read_not_what_lies_there_later(script, tmp_path, monkeypatch):
    """The npz is replaced while step 3 trains: step 4 refuses the predictions, which were made from the older one."""
    from speechemb.training import run

    npz = made.npz(tmp_path / "a.npz", *made.planted(seed=0))
    fit = run.cross_validated

    def replaced_meanwhile(*args, **kwargs):
        made.npz(npz, *made.planted(seed=1))
        return fit(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(run, "cross_validated", replaced_meanwhile)
        step3(script, tmp_path, npz)
    with pytest.raises(InputError, match="made from an earlier"):
        script("4_evaluation_metrics").main(["--results-dir", str(tmp_path / "results")])


def test_the_content_of_an_npz_counts_not_its_settings(script, tmp_path):
    """As where bf16 and fp32 give files with one fingerprint."""
    vectors, labels, speakers = made.planted()
    npz = made.npz(tmp_path / "a.npz", vectors, labels, speakers)
    step3(script, tmp_path, npz)
    mirrored = vectors.copy()
    mirrored[0], mirrored[-1] = vectors[-1], vectors[0]  # the same sum, which is all that made.npz puts into the stamp
    before = freshness.recorded_stamp(npz)["fingerprint"]
    made.npz(npz, mirrored, labels, speakers)
    assert np.isclose(vectors.sum(), mirrored.sum()) and freshness.recorded_stamp(npz)["fingerprint"] == before
    with pytest.raises(InputError, match="made from an earlier"):
        script("4_evaluation_metrics").main(["--results-dir", str(tmp_path / "results")])


@pytest.mark.slow
def test_the_whole_chain_is_checked(script, tmp_path):
    """The metadata changes after step 3: neither step 4 nor predict.py uses what was made from the older file."""
    folder, chain = tmp_path, build(script, tmp_path)
    shutil.rmtree(folder / "tones")
    made.corpus(folder / "tones", speakers=4, seconds=0.4)
    script("1_data_preprocessing").main(
        ["--corpora", f"table:{chain['table']}", "--out-dir", str(folder / "processed")]
    )
    with pytest.raises(InputError, match="e.npz was made from an earlier .*tones.csv: rerun python src/2"):
        script("4_evaluation_metrics").main(["--results-dir", str(folder / "results")])
    with pytest.raises(InputError, match="was made from an earlier"):
        persistence.load(chain["model"])


def test_another_npz_does_not_replace_predictions_of_the_same_name(script, tmp_path):
    first, second = (made.npz(tmp_path / f"{seed}.npz", *made.planted(seed=seed)) for seed in (0, 1))
    step3(script, tmp_path, first)
    before = content(tmp_path)
    with pytest.raises(
        InputError, match=r"exists, made by `python src/3_train.*0\.npz.*with other inputs.*--overwrite"
    ):
        step3(script, tmp_path, second)
    assert content(tmp_path) == before
    step3(script, tmp_path, second, "--overwrite")
    assert content(tmp_path) != before


def test_the_code_is_told_apart_without_a_commit(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "src", tmp_path / "src")
    monkeypatch.setattr(provenance, "SRC", tmp_path / "src")
    hash_of_code = provenance.code_sha256.__wrapped__
    before = hash_of_code()
    with open(tmp_path / "src" / "speechemb" / "labels.py", "a") as file:
        file.write("# changed\n")
    assert hash_of_code() != before


@pytest.mark.slow
def test_errors_name_the_command_that_made_the_file(script, chain):
    os.truncate(chain["predictions"], 100)
    with pytest.raises(InputError, match="rerun python src/3_train_classifiers.py --classifier svm --n-folds 2 --npz"):
        script("4_evaluation_metrics").main(["--results-dir", str(chain["predictions"].parent)])


def test_commands_are_given_as_typed_in_the_working_folder(monkeypatch, capsys):
    def wrong():
        raise InputError("x: rerun python src/3_train_classifiers.py")

    for folder, expected in ((ROOT, "python src/3_"), (ROOT / "src", "python 3_"), (ROOT / "tests", f"{ROOT}/src/3_")):
        monkeypatch.chdir(folder)
        assert cli.run(wrong) == 1 and expected in capsys.readouterr().err


def begun(out, settings):
    partial = resume.Partial(out, (2, 1, 3), settings)
    partial.begin(overwrite=False)
    return partial


def test_an_unfinished_folder_that_was_being_removed_is_no_run(tmp_path):
    """Killed between the removal of `rows.npy` and the rest: the next run begins anew instead of writing zeros."""
    out, settings = tmp_path / "a.npz", {"fingerprint": "1"}
    batches, rows = [np.array([0]), np.array([1])], np.ones((1, 1, 3), np.float32)
    partial = begun(out, settings)
    for number, batch in enumerate(batches):
        partial.store(number, batch, rows, "fp32")
    assert begun(out, settings).done(batches) == {0, 1}
    for gone in ("rows.npy", "plan.json", "precision.txt"):
        shutil.copytree(partial.folder, tmp_path / "kept")
        (partial.folder / gone).unlink()
        again = begun(out, settings)
        assert again.done(batches) == (set() if gone != "precision.txt" else {0, 1})
        shutil.rmtree(partial.folder)
        (tmp_path / "kept").rename(partial.folder)


def test_a_damaged_row_of_an_unfinished_run_is_computed_again(tmp_path):
    batches = [np.array([0]), np.array([1])]
    partial = begun(tmp_path / "a.npz", {})
    for number, batch in enumerate(batches):
        partial.store(number, batch, np.full((1, 1, 3), number + 1, np.float32), "fp32")
    partial.rows[np.array([1])] = np.zeros((1, 1, 3), np.float32)
    assert begun(tmp_path / "a.npz", {}).done(batches) == {0}


def test_two_runs_of_one_output_do_not_mix(tmp_path):
    with (
        atomic.alone(tmp_path / "a.npz"),
        pytest.raises(InputError, match="another run is writing"),
        atomic.alone(tmp_path / "a.npz"),
    ):
        pass
    with atomic.alone(tmp_path / "a.npz"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_and_a_read_only_folder_are_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.run(lambda: atomic.check_writable(tmp_path / "file" / "below")) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1 and "file" in message


def test_a_model_tells_how_many_people_it_was_trained_on_and_not_who(chain):
    text = (chain["model"] / "model.json").read_text()
    assert json.loads(text)["speakers"] == 4 and "tones/s1" not in text and "female" not in text
