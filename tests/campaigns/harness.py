"""What the campaigns share: the steps in forked children, their outcomes, and the table that counts them.

A child is forked from a process that has imported the libraries once, so that a step takes as long as its work. The
process itself must not start threads of OpenMP: a fork would inherit their locks, but not the threads.
"""

import hashlib
import importlib
import importlib.util
import json
import os
import pkgutil
import resource
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from forked import wait

ROOT = Path(__file__).resolve().parents[2]
NAMES = {path.name[0]: path.stem for path in sorted((ROOT / "src").glob("[1-5]_*.py"))} | {"predict": "predict"}
OUTCOMES = ("right", "one-line error", "left behind", "traceback", "hang", "signal", "silently wrong")
BAD = OUTCOMES[2:]
LEFT = (".*.tmp", "*.partial", ".*.lock")  # what a finished step must not leave behind

# Read when the libraries are imported. One thread each: several children share the cores.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "NUMBA_THREADING_LAYER": "workqueue",
    "LOKY_MAX_CPU_COUNT": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MPLBACKEND": "Agg",
    "TQDM_DISABLE": "1",
}


@dataclass
class Result:
    """How a child ended: its exit code (negative: the signal), what it printed, and whether it was too slow."""

    code: int
    out: str
    err: str
    hung: bool = False

    @property
    def outcome(self) -> str:
        """One of OUTCOMES; `right` stands for exit code 0, whose files the caller compares."""
        if self.hung:
            return "hang"
        if self.code < 0:
            return "signal"
        if "Traceback (most recent call last)" in self.err:
            return "traceback"
        if self.code == 0:
            return "right"
        lines = [line for line in self.err.splitlines() if "error: " in line]
        return "one-line error" if len(lines) == 1 else "traceback"

    @property
    def last(self) -> str:
        """The last line of stderr, which holds the error."""
        return (self.err.strip().splitlines() or [""])[-1][:300]


@dataclass
class Case:
    """One row of a campaign: what was done, how it ended, and what was seen."""

    family: str
    name: str
    outcome: str
    seen: str = ""


class Steps:
    """The scripts' `main` functions, to be run in forked children in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.mains = folder, {}
        self.logs = Path(tempfile.mkdtemp(prefix="campaign-"))
        for name, stem in NAMES.items():
            spec = importlib.util.spec_from_file_location(f"step_{name}", ROOT / "src" / f"{stem}.py")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            self.mains[name] = module.main
        warm()

    def close(self) -> None:
        shutil.rmtree(self.logs)

    def run(
        self,
        step: str,
        *argv: object,
        seconds: float = 300,
        memory: int = 4 << 30,
        before: Callable[[], None] | None = None,
        kill_after: float | None = None,
    ) -> Result:
        """Run a step with these flags in `folder`; `memory` bytes beyond what this process has are allowed."""
        files = [open(self.logs / name, "w+b") for name in ("out", "err")]
        child = os.fork()
        if child == 0:
            self._child(step, [str(word) for word in argv], files, memory, before)
        code, hung = wait(child, seconds if kill_after is None else kill_after)
        for file in files:
            file.seek(0)
        out, err = (file.read().decode(errors="replace") for file in files)
        for file in files:
            file.close()
        return Result(code, out, err, hung and kill_after is None)

    def _child(self, step: str, argv: list[str], files: list, memory: int, before: Callable[[], None] | None):
        code = 70
        try:
            os.setsid()
            os.chdir(self.folder)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for target, file in enumerate(files, start=1):
                os.dup2(file.fileno(), target)
            limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + memory
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            sys.argv = [f"{NAMES[step]}.py", *argv]
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)
            if before:
                before()
            from speechemb import cli

            code = cli.run(lambda: self.mains[step](argv))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except (OSError, ValueError):
                    pass
            os._exit(code)


@cache
def warm() -> None:
    """Import and compile what the steps use, and compute what they remember, so that each child need not."""
    import numpy as np
    import pandas  # noqa: F401
    import scipy.optimize  # noqa: F401
    import sklearn.svm  # noqa: F401
    import soundfile  # noqa: F401

    import speechemb
    from speechemb.artifacts import provenance

    provenance.versions(), provenance.code_sha256(), provenance.git_state()
    for package in pkgutil.walk_packages(speechemb.__path__, "speechemb."):
        importlib.import_module(package.name)
    import matplotlib.pyplot  # noqa: F401
    import optuna  # noqa: F401
    import seaborn  # noqa: F401
    import torch  # noqa: F401
    import xgboost  # noqa: F401
    from transformers import WavLMConfig, WavLMModel  # noqa: F401  for the encoder that a campaign makes

    from speechemb.encoders import acoustic
    from speechemb.visualization import projection

    acoustic.functionals(np.random.default_rng(0).normal(size=4000).astype(np.float32))
    x = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    distances = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2))
    indices = np.argsort(distances, axis=1)[:, :15]
    graph = indices.astype(np.int32), np.take_along_axis(distances, indices, axis=1)
    for n_dims in (2, 3):
        projection.coordinates(x, graph, n_dims, seed=0)


def is_named(only: str, family: str, name: str) -> bool:
    """Whether a case is of those that `only` asks for: its family and name hold one of the parts between bars."""
    return any(part in f"{family}: {name}" for part in only.split("|"))


def tree(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def left_behind(folder: Path) -> list[str]:
    """Temporaries, locks and unfinished runs in a folder."""
    return sorted(path.name for pattern in LEFT for path in folder.rglob(pattern))


def difference(found: dict[str, str], wanted: dict[str, str]) -> str:
    """What two trees do not have in common, in words; empty where they are equal."""
    names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    return ", ".join(
        f"{name} ({'missing' if name not in found else 'too many' if name not in wanted else 'differs'})"
        for name in names[:4]
    )


def restore(base: Path, folder: Path) -> None:
    """Make `folder` a copy of `base`."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder, symlinks=True)


def in_processes(jobs: int, work: Callable[[int], Iterator[Case]]) -> list[Case]:
    """The cases of `work(0)` to `work(jobs - 1)`, each in a process of its own; they are shown as they come."""
    folder, children = Path(tempfile.mkdtemp(prefix="campaign-")), []
    for number in range(jobs):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with open(folder / str(number), "w") as file:
                    for case in work(number):
                        file.write(json.dumps(vars(case)) + "\n")
                        file.flush()
                        if case.outcome in BAD:
                            print(f"{case.outcome}: {case.family}: {case.name}: {case.seen}", flush=True)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    lines = [line for number in range(jobs) for line in (folder / str(number)).read_text().splitlines()]
    shutil.rmtree(folder)
    if any(codes):
        raise RuntimeError(f"a process of the campaign ended with {codes}")
    return [Case(**json.loads(line)) for line in lines]


def table(cases: list[Case]) -> str:
    """Families by outcomes, as Markdown."""
    counts = Counter((case.family, case.outcome) for case in cases)
    families = list(dict.fromkeys(case.family for case in cases))
    rows = [[name, *(counts[name, outcome] for outcome in OUTCOMES)] for name in families]
    rows.append(["all", *(sum(row[i] for row in rows) for i in range(1, len(OUTCOMES) + 1))])
    lines = [f"| | n | {' | '.join(OUTCOMES)} |", "|---" * (len(OUTCOMES) + 2) + "|"]
    lines += [f"| {row[0]} | {sum(row[1:])} | {' | '.join(map(str, row[1:]))} |" for row in rows]
    return "\n".join(lines)
