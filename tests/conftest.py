"""What the tests share: the scripts as modules, and the folder of real speech, where there is one."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import chain as chain_of_files
import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items):
    """The longest test begins first, so that no worker waits for it at the end."""
    items.sort(key=lambda item: "test_campaigns.py" not in item.nodeid)


def pytest_sessionfinish(session, exitstatus):
    session.config.exitstatus = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """End at once: the interpreter's own end may wait for good.

    The suite runs all steps in one process, which no script does. There the SVM's limit of one thread holds for Numba's
    TBB as well, and Numba's `unload_tbb` waits for a thread that never starts.
    """
    config.get_terminal_writer().flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(getattr(config, "exitstatus", 1))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real speech and the small encoder, beside the checkout; tests without it are skipped."""
    folder = ROOT.parent / "shared"
    if not (folder / "data" / "ravdess").is_dir():
        pytest.skip("no ../shared/data/ravdess beside the checkout: this test needs real speech")
    return folder


@pytest.fixture(scope="session")
def script():
    """`script("3_train_classifiers").main([...])`: a numbered script cannot be imported by its name."""

    def load(name: str):
        spec = importlib.util.spec_from_file_location("script_" + name, ROOT / "src" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="module")
def once(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    chain_of_files.build(script, folder)
    return folder


@pytest.fixture
def chain(once, tmp_path):
    """A copy of the run's files that a test may spoil."""
    shutil.copytree(once, tmp_path / "chain")
    return chain_of_files.files_of(tmp_path / "chain")
