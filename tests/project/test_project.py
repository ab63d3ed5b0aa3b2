"""The files around the code: the installer's errors, the devcontainer, what may be tracked."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.fixture
def clone(tmp_path):
    """A copy of what the installer reads, and a folder of stand-ins for programs, first on PATH."""
    requirements = ("requirements.txt", "requirements-test.txt", "constraints.txt", "pyproject.toml")
    for name in (*requirements, "tools/install.sh", "run.sh"):
        target = tmp_path / "clone" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    (tmp_path / "bin").mkdir()
    return tmp_path / "clone"


def program(clone: Path, name: str, script: str) -> None:
    file = clone.parent / "bin" / name
    file.write_text(f"#!/bin/bash\n{script}\n")
    file.chmod(0o755)


# Answers as a Python 3.12 does; `-m venv` makes a .venv whose python notes the calls of pip and uv.
PYTHON = """
case "$*" in
--version) echo "Python ${VERSION:-3.12.1}" ;;
*version_info*) exit ${OLD:-0} ;;
*ensurepip*) exit ${NO_VENV:-0} ;;
*urllib*) exit 1 ;;
*"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
*"-m uv"*) [ -n "${UV_WORKS:-}" ] || exit 1; echo "uv $*" >>"$PIP_CALLS" ;;
*"-m pip config"*) echo "global.index-url='https://pip.example/simple'" ;;
*"-m pip"*) echo "pip $*" >>"$PIP_CALLS"; [ -z "${PIP_SAYS:-}" ] || { echo "$PIP_SAYS" >&2; exit 1; } ;;
esac
"""


def install(clone: Path, *flags: str, script: str = "tools/install.sh", **environment: str):
    program(clone, "python3", PYTHON)
    environment = {
        "PATH": f"{clone.parent / 'bin'}:{os.environ['PATH']}",
        "PIP_CALLS": str(clone.parent / "calls"),
        **environment,
    }
    return subprocess.run(["bash", str(clone / script), *flags], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OLD": "1", "VERSION": "3.8.10"}, "Python 3.8.10 is too old: install Python 3.10 or newer"),
        ({"NO_VENV": "1"}, "apt install python3-venv"),
        ({"PYTHON": "python9"}, "no python9: install Python 3.10 or newer"),
        ({"PIP_SAYS": "ProxyError: Cannot connect: Tunnel connection failed: 403"}, "set https_proxy"),
        ({"PIP_SAYS": "OSError: [Errno 28] No space left on device"}, "the disk is full"),
        ({"PIP_SAYS": "Temporary failure in name resolution"}, "the package index cannot be reached"),
        ({"PIP_SAYS": "ERROR: something new"}, "install.log says why: ERROR: something new"),
    ],
)
@pytest.mark.parametrize("script", ["tools/install.sh", "run.sh"])
def test_what_stops_the_installation_is_one_line_with_the_remedy(clone, environment, message, script):
    done = install(clone, script=script, **environment)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and message in done.stderr and done.stderr.count("\n") == 1


def test_a_full_disk_is_said_before_the_download(clone):
    program(clone, "df", "echo header; echo '/dev/x 100 99 1048576 99% /'")
    done = install(clone)
    assert done.returncode == 1 and "1 GB free here, but .venv needs about" in done.stderr
    assert not (clone / ".venv").exists()


def test_it_installs_once_and_again_only_for_other_requirements(clone):
    calls = clone.parent / "calls"
    assert install(clone).returncode == 0
    once = calls.read_text()
    assert "requirements.txt" in once and "requirements-test.txt" not in once
    assert once.splitlines()[-1].endswith("--no-deps --no-build-isolation -e .")
    assert install(clone).returncode == 0 and calls.read_text() == once
    assert install(clone, "--test").returncode == 0 and "requirements-test.txt" in calls.read_text()
    tested = calls.read_text()
    assert install(clone).returncode == 0 and install(clone, "--test").returncode == 0
    assert calls.read_text() == tested
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
        before = calls.read_text()
        (clone / name).write_text("numpy\n")
        assert install(clone).returncode == 0 and calls.read_text() != before, name


def test_uv_installs_from_pip_s_index_and_pip_what_uv_cannot(clone):
    calls = clone.parent / "calls"
    program(clone, "python12", PYTHON.replace('echo "uv $*"', 'echo "uv from $UV_DEFAULT_INDEX: $*"'))
    assert install(clone, PYTHON="python12", UV_WORKS="1").returncode == 0
    got_uv, *rest = calls.read_text().splitlines()
    assert got_uv.endswith(" uv") and len(rest) == 2
    assert all(line.startswith("uv from https://pip.example/simple: -m uv pip install ") for line in rest)
    (clone / ".venv" / "installed").unlink()
    assert install(clone, PYTHON="python12").returncode == 0  # its uv fails
    assert [line.split()[0] for line in calls.read_text().splitlines()[3:]] == ["pip", "pip", "pip"]


def test_an_installation_that_was_cut_short_begins_anew(clone):
    program(clone, "python12", PYTHON.replace("mkdir -p", '[[ "$*" == *--clear* ]] && rm -rf .venv; mkdir -p'))
    assert install(clone, PYTHON="python12", PIP_SAYS="ERROR: killed").returncode == 1
    (clone / ".venv" / "half-installed").touch()
    assert install(clone, PYTHON="python12").returncode == 0
    assert (clone / ".venv" / "installed").exists() and not (clone / ".venv" / "half-installed").exists()


def test_versions_that_do_not_fit_give_way_to_the_ranges(clone):
    no_such_version = 'case "$*" in *constraints*) echo "No matching distribution" >&2; exit 1 ;; esac; '
    test = '[ -z "${PIP_SAYS:-}" ]'
    script = PYTHON.replace(test, no_such_version + test)
    program(clone, "python12", script)
    done = install(clone, PYTHON="python12")
    assert done.returncode == 0 and "taking what requirements.txt allows" in done.stdout


def test_the_constraints_lie_in_the_ranges():
    from packaging.requirements import Requirement
    from packaging.version import Version

    lines = (ROOT / "constraints.txt").read_text().splitlines()
    tested = dict(line.lower().replace("_", "-").split("==") for line in lines if line and not line.startswith("#"))
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        text = line.split("#")[0].strip()
        if text:
            requirement = Requirement(text)
            version = tested[requirement.name.lower().replace("_", "-")]
            assert requirement.specifier.contains(Version(version)), text


def test_the_package_is_installed_from_this_checkout_with_the_requirements():
    from packaging.requirements import Requirement

    try:
        installed = importlib.metadata.requires("speechemb") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed in this Python: bash tools/install.sh --test installs it")
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [Requirement(text) for line in lines if (text := line.split("#")[0].strip())]
    found = [Requirement(line) for line in installed]
    assert [one for one in found if "extra" not in str(one.marker)] == wanted
    assert {"pytest", "ruff", "pyright"} <= {one.name for one in found if 'extra == "test"' in str(one.marker)}


def test_the_devcontainer_waits_for_the_installation():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    # By the schema, a terminal opens after onCreateCommand, but before postCreateCommand has ended.
    assert container["onCreateCommand"].startswith("bash tools/install.sh --test && ")
    assert re.fullmatch(r"\d+([tgmk]b)?", container["hostRequirements"]["memory"])
    assert container["hostRequirements"]["gpu"] == "optional"  # True would refuse hosts without one


def test_the_devcontainer_has_the_python_of_the_constraints_and_what_its_extensions_need():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    tested = re.search(r"Python (3\.\d+)", (ROOT / "constraints.txt").read_text())[1]
    assert re.search(r"python:([\d.]+)-", container["image"])[1] == tested
    assert container["remoteEnv"]["PATH"].startswith("${containerWorkspaceFolder}/.venv/bin:")
    assert any("/git-lfs:" in feature for feature in container["features"])  # CREMA-D's audio
    assert "ms-toolsai.jupyter" in container["customizations"]["vscode"]["extensions"]
    assert "pip install ipykernel" in container["onCreateCommand"]


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["src", "tests", "tools", "benchmarks", "examples"])
def test_no_file_hides_a_library(folder):
    # A script's folder comes first on the import path. numba, which librosa needs, imports coverage where it finds it.
    libraries = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions(), "coverage"} - {"speechemb"}
    assert not libraries & {file.stem for file in (ROOT / folder).glob("*.py")}


@pytest.mark.parametrize("folder", ["src", "tests", "tools", "benchmarks", "examples"])
def test_no_file_edits_the_import_path(folder):
    edited = re.compile(r"sys\.path\b")
    forked = ROOT / "tests" / "support" / "forked.py"  # starts programs, as Python does
    assert not [file for file in (ROOT / folder).rglob("*.py") if file != forked and edited.search(file.read_text())]


def test_no_script_reads_a_pickle_or_runs_foreign_code():
    banned = re.compile(
        r"import pickle|pickle\.loads?|joblib\.load|torch\.load\((?![^()]*weights_only=True)|allow_pickle=True"
        r"|trust_remote_code=True|(?<![.\w])eval\("
    )
    for file in (ROOT / "src").rglob("*.py"):
        assert not banned.search(file.read_text()), file
