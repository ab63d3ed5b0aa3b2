"""The examples run as they stand, on files that the steps write, without the project's own modules."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

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
