"""What every script does first: `--help` without a wait, and one line where it was started outside the environment."""

import ast
import os
import shlex
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

from speechemb import cli

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


@pytest.mark.slow
def test_fast_encoders_and_classifiers_import_neither_transformers_nor_torchs_compiler():
    code = """
import sys
import numpy as np
from speechemb import encoders
from speechemb.classifiers.logistic import Logistic
from speechemb.classifiers.mlp import Mlp
draw = np.random.default_rng(0)
encoder = encoders.load("wavlm_nano", "cpu", "fp32")
x = np.concatenate([encoder.embed([draw.normal(size=1600).astype(np.float32)], [0], ["mean"])[0] for _ in range(24)])
y, speakers = np.tile([0, 1], 12), np.repeat(list("abcdef"), 4)
for classifier in (Logistic, Mlp):
    assert classifier(2, 0).fit(x, y, speakers).predict_proba(x).shape == (24, 2)
print({"transformers", "torch._dynamo"} & sys.modules.keys())
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout == "set()\n", done.stderr


def test_there_are_seven_scripts():
    assert len(SCRIPTS) == 7 and [name[0] for name in SCRIPTS[:5]] == list("12345")


@pytest.fixture
def clone(tmp_path):
    """A copy of the scripts without a .venv."""
    shutil.copytree(ROOT / "src", tmp_path / "clone" / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.txt", tmp_path / "clone")
    return tmp_path / "clone"


def without_packages(script, *flags, cwd, python=sys.executable):
    """Run a script with this Python, but without what is installed in it."""
    command = [python, "-S", "-E", script, *flags]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=cwd)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_outside_the_environment_one_line_says_what_to_run(clone, name):
    (clone / ".venv").mkdir()
    flags = {"predict.py": ["--model", "m", "my clip.wav"], "robustness.py": ["my run"]}.get(name, [])
    shown = "".join(f" {shlex.quote(word)}" for word in flags)
    done = without_packages(f"src/{name}", *flags, cwd=clone)
    assert done.returncode == 1 and done.stdout == ""
    line = done.stderr.removesuffix("\n")
    assert line.startswith("error: ") and "\n" not in line and f"is not installed in {sys.executable}" in line
    assert line.endswith(f": run `.venv/bin/python src/{name}{shown}`, or first `source .venv/bin/activate`")


def test_the_command_fits_the_folder_it_is_typed_in(clone):
    def advice(script, cwd):
        return without_packages(script, cwd=cwd).stderr.split(": run ")[1].strip()

    name = "1_data_preprocessing.py"
    assert advice(f"src/{name}", clone) == f"`bash tools/install.sh` first, then `.venv/bin/python src/{name}`"
    (clone / ".venv").mkdir()
    assert advice(name, clone / "src") == f"`../.venv/bin/python {name}`, or first `source ../.venv/bin/activate`"
    far, python = clone / "src" / name, clone / ".venv" / "bin"
    assert advice(far, clone.parent) == f"`{python}/python {far}`, or first `source {python}/activate`"


def test_a_package_missing_from_the_environment_itself(clone):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", clone / ".venv"], check=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [".venv/bin/python", "src/4_evaluation_metrics.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=clone, env=environment)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "missing from .venv: run `.venv/bin/python -m pip install -r requirements.txt -c cons" in done.stderr


@pytest.mark.parametrize("name", ["speechemb.nothing", "sklearn.nothing", "nothing"])
def test_a_wrong_import_of_our_own_keeps_its_traceback(name):
    with pytest.raises(ModuleNotFoundError):
        cli.run(lambda: __import__(name))


def test_every_library_the_package_imports_is_a_requirement():
    imported = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            imported |= {name.split(".")[0] for name in names}
    brought = {"daal4py", "pynndescent"}  # with scikit-learn-intelex and umap-learn
    extras = {"opensmile", "ray", "audformat", "yaml"}
    files = {"plotly"}  # its plotly.js is read, the package is not imported
    assert (imported | files) - set(sys.stdlib_module_names) - {"speechemb"} - brought - extras == cli.requirements()
