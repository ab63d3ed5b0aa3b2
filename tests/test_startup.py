"""`--help` of every script: it answers, without waiting for libraries it does not need."""

import subprocess
import sys

import pytest
from conftest import ROOT

HEAVY = ("torch", "transformers", "datasets", "sklearn", "pandas", "scipy", "matplotlib", "umap", "librosa", "xgboost")
SCRIPTS = sorted(path.name for path in (ROOT / "src").glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_shows_flags_with_defaults_and_imports_nothing_heavy(name):
    command = [sys.executable, "-X", "importtime", str(ROOT / "src" / name), "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "speechemb.cli" in imported and not imported & set(HEAVY)
    assert done.stdout.startswith("usage:") and "Example" in done.stdout
    assert str(ROOT) not in done.stdout  # defaults are shown from the root
    assert "(default: None)" not in done.stdout


def test_there_are_six_scripts():
    assert len(SCRIPTS) == 6 and [name[0] for name in SCRIPTS[:5]] == list("12345")
