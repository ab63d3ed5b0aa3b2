"""`--help` of every script: it answers, without waiting for libraries it does not need."""

import subprocess
import sys

import pytest
from conftest import ROOT

HEAVY = ("torch", "transformers", "datasets", "sklearn", "pandas", "scipy", "matplotlib", "umap", "librosa", "xgboost")
SCRIPTS = sorted(path.name for path in (ROOT / "src").glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_shows_flags_with_defaults_and_imports_nothing_heavy(name):
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(ROOT / 'src')!r}); sys.argv = [sys.argv[1], '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        f"finally: print('LOADED', *(set(sys.modules) & set({HEAVY})))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ROOT / "src" / name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *text, loaded = done.stdout.splitlines()
    assert loaded.split() == ["LOADED"]
    assert "usage:" in text[0] and "Example" in done.stdout
    assert str(ROOT) not in done.stdout  # defaults are shown from the root
    assert "(default: None)" not in done.stdout


def test_there_are_six_scripts():
    assert len(SCRIPTS) == 6 and [name[0] for name in SCRIPTS[:5]] == list("12345")
