"""The campaign of kills: steps end by SIGKILL, and the same command afterwards has to give the same bytes as ever.

Each scenario is run once without a kill. Its file operations are counted by Python's audit events, and the bytes of its
folder are kept. Then it is killed before the n-th operation, or at a random moment, run again, and compared.
"""

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import harness

Command = tuple[str, ...]
OPERATIONS = {
    *("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.truncate", "os.link", "os.symlink"),
    *("shutil.rmtree", "tempfile.mkstemp", "fcntl.flock", "os.posix_fallocate"),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

ONE: Command = ("1", "--corpora", "table:toy.csv", "--out-dir", "p", "--emotions", "all")
TWO: Command = ("2", "--metadata", "p/toy.csv", "--model", "acoustic", "--out", "e.npz", "--batch-seconds", "3")
TINY: Command = ("2", "--metadata", "p/toy.csv", "--model", "tiny", "--out", "t.npz", "--batch-seconds", "3")
THREE: Command = ("3", "--n-folds", "2", "--results-dir", "r", "--models-dir", "m", "--npz-path", "e.npz")
FOUR: Command = ("4", "--results-dir", "r")
FIVE: Command = ("5", "--npz-path", "e.npz", "--results-dir", "r")
SVM: Command = (*THREE, "--classifier", "svm")
LEAK: Command = (*SVM, "--leak", "scaler")
DEEP: Command = (*THREE[:-1], "t.npz")
AGAIN: Command = ("--overwrite",)


@dataclass
class Scenario:
    """Commands before, the one that is killed, and those after it (default: the same one again)."""

    family: str
    name: str
    killed: Command
    before: tuple[Command, ...] = ()
    after: tuple[Command, ...] = ()
    # A command that follows in place of the killed one, and the files in which it may give what it gave before the
    # killed command or after it, but nothing else.
    next_step: Command = ()
    outputs: tuple[str, ...] = field(default=())


def scenarios() -> list[Scenario]:
    """All of them; `p`, `e.npz` (acoustic), `f.npz` (fewer clips) and `t.npz` (transformer) are there before."""
    few = (*ONE[:-1], "happy", "sad", "--overwrite")
    limited = (*TWO, "--limit", "16", "--overwrite")
    other, back = ("cp", "f.npz", "e.npz"), ("cp", "g.npz", "e.npz")
    seeded = (*FIVE, "--seed", "1")
    runs = (SVM, (*SVM, "--cv", "random"))
    return [
        Scenario("step 1", "first run", ("1", *ONE[1:4], "q", *ONE[5:])),
        Scenario("step 1", "two corpora", ("1", "--corpora", "table:toy.csv", "table:toy2.csv", "--out-dir", "q")),
        Scenario("step 1", "--overwrite", few),
        Scenario("step 1", "A, B killed, A", few, after=((*ONE, "--overwrite"),)),
        Scenario("step 2, acoustic", "first run", (*TWO[:5], "--out", "n.npz", *TWO[7:])),
        Scenario("step 2, acoustic", "augmented", (*TWO[:5], "--out", "n.npz", "--augment", "1")),
        Scenario("step 2, acoustic", "--overwrite", limited),
        Scenario("step 2, acoustic", "A, B killed, A", limited, after=((*TWO, "--overwrite"),)),
        Scenario("step 2, transformer", "first run", (*TINY[:5], "--out", "n.npz", *TINY[7:])),
        Scenario("step 2, transformer", "two poolings", (*TINY[:5], "--out", "n.npz", "--pooling", "mean,std")),
        Scenario("step 2, transformer", "--overwrite", (*TINY, "--layers", "last", "--overwrite")),
        Scenario("step 3", "svm", SVM),
        Scenario("step 3", "logistic", (*THREE, "--classifier", "logistic")),
        Scenario("step 3", "xgboost", (*THREE, "--classifier", "xgboost")),
        Scenario("step 3", "mlp", (*THREE, "--classifier", "mlp")),
        Scenario("step 3", "two classifiers", (*THREE, "--classifier", "svm", "xgboost")),
        Scenario("step 3", "--tune", (*SVM, "--tune", "2")),
        Scenario("step 3", "superb", (*DEEP, "--protocol", "superb", "--cv", "speaker")),
        Scenario("step 3", "--overwrite", (*SVM, *AGAIN), before=(SVM,)),
        Scenario("step 3", "A, B killed, A", (*SVM, *AGAIN), (SVM, other), (back, (*SVM, *AGAIN))),
        Scenario("step 3, no model", "--layer each", (*DEEP, "--classifier", "svm", "--layer", "each")),
        Scenario("step 3, no model", "--leak", LEAK),
        Scenario("step 3, no model", "--overwrite --leak", (*LEAK, *AGAIN), (LEAK,)),
        Scenario("step 4", "first run", FOUR, before=runs),
        Scenario("step 4", "one run more", FOUR, before=(SVM, FOUR, runs[1])),
        Scenario("step 5", "first run", FIVE),
        Scenario("step 5", "A, B killed, A", seeded, before=(FIVE,), after=(FIVE,)),
        Scenario("predict", "--out", ("predict", "--model", "m0", "toy", "--out", "x.csv")),
        Scenario("next step", "1 killed, then 2", few, next_step=(*TWO, "--overwrite"), outputs=("e.npz",)),
        Scenario("next step", "2 killed, then 3", limited, next_step=SVM, outputs=("r/*.csv",)),
        Scenario("next step", "3 killed, then 4", (*SVM, *AGAIN), (SVM, other), next_step=FOUR, outputs=("r/*.json",)),
        Scenario("next step", "3 killed, then predict", (*SVM, *AGAIN), (SVM, other),
                 next_step=("predict", "--model", "m/acoustic-toy-4emo-mean-svm-speaker2", "toy", "--out", "x.csv"),
                 outputs=("x.csv",)),
    ]  # fmt: skip


def prepare(steps: harness.Steps) -> Path:
    """Build the folder that every scenario starts from; returns a copy of it."""
    import made

    folder = steps.folder
    shutil.rmtree(folder, ignore_errors=True)
    made.corpus(folder / "toy", speakers=4, takes=3, seconds=0.3)
    text = (folder / "toy.csv").read_text()
    (folder / "toy2.csv").write_text("\n".join(text.splitlines()[:20]) + "\n")
    model(folder / "tiny")
    commands = [ONE, TWO, (*TWO[:5], "--out", "f.npz", "--limit", "24"), TINY, SVM]
    for command in commands:
        do(steps, command)
    shutil.copy(folder / "e.npz", folder / "g.npz")
    (made_model,) = (folder / "m").iterdir()
    made_model.rename(folder / "m0")
    for name in ("m", "r"):
        shutil.rmtree(folder / name)
    return copied(folder)


def copied(folder: Path) -> Path:
    base = folder.with_name(folder.name + ".base")
    harness.restore(folder, base)
    return base


def model(folder: Path) -> None:
    """A tiny transformer, made in a process of its own: this one must not compute with torch."""
    import multiprocessing

    from models import make_model

    maker = multiprocessing.get_context("fork").Process(target=make_model, args=(folder, "wavlm"))
    maker.start()
    maker.join()


def do(steps: harness.Steps, command: Command, **limits) -> harness.Result:
    """Run a command (`cp` copies a file); where no kill is asked for, a failure ends the campaign."""
    if command[0] == "cp":
        shutil.copy(steps.folder / command[1], steps.folder / command[2])
        return harness.Result(0, "", "")
    result = steps.run(*command, **limits)
    if not limits and result.code:
        raise RuntimeError(f"{' '.join(command)}: {result.code}: {result.err}")
    return result


def killer(folder: Path, number: int, log: Path) -> Callable[[], None]:
    """To be called in a child: note every file operation below `folder`, and die before the `number`-th of them."""

    def start() -> None:
        import sys

        file, count, real = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 0, os.posix_fallocate

        def hook(event: str, args: tuple) -> None:
            nonlocal count
            if event == "open":
                if not isinstance(args[0], (str, bytes)) or not args[2] & WRITING:
                    return
            elif event not in OPERATIONS:
                return
            what = str(args[0] if args else "")
            # A relative name comes from shutil.rmtree, which works from an open folder.
            if os.path.isabs(what) and not what.startswith(str(folder)):
                return
            count += 1
            os.write(file, f"{event} {what.removeprefix(str(folder))}\n".encode())
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

        def posix_fallocate(*args) -> None:
            sys.audit("os.posix_fallocate", *args)
            real(*args)

        os.posix_fallocate = posix_fallocate
        sys.addaudithook(hook)

    return start


class Campaign:
    """One process's share of the kills."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.steps = harness.Steps(folder / "work")
        self.base = prepare(self.steps)
        self.log, self.random = folder / "operations", random.Random(seed)

    def begin(self, scenario: Scenario) -> None:
        harness.restore(self.base, self.steps.folder)
        for command in scenario.before:
            do(self.steps, command)

    def cases(self, scenario: Scenario, kills: int) -> Iterator[harness.Case]:
        """Kill `kills` times: three of four before an operation, spread evenly, the others at random moments."""
        after = scenario.after or (scenario.killed,)
        self.begin(scenario)
        started = time.monotonic()
        result = do(self.steps, scenario.killed, before=killer(self.steps.folder, -1, self.log), seconds=600)
        if result.code:
            raise RuntimeError(f"{scenario}: {result.err}")
        duration, operations = time.monotonic() - started, self.log.read_text().splitlines()
        states = (True, False) if scenario.next_step else (True,)
        wanted = [self.reference(scenario, after, killed) for killed in states]
        total = len(operations)
        n_spread = min(total, max(1, round(kills * 0.75)))
        numbers = [1 + (i * (total - 1)) // max(1, n_spread - 1) for i in range(n_spread)]
        for number in sorted(set(numbers)):
            yield self.kill(scenario, after, wanted, number, None, f"{number} of {total}: {operations[number - 1]}")
        for _ in range(max(0, kills - len(set(numbers)))):
            moment = self.random.uniform(0, duration)
            yield self.kill(scenario, after, wanted, -1, moment, f"after {moment:.3f} s")

    def reference(self, scenario: Scenario, after: tuple[Command, ...], killed: bool) -> dict[str, str]:
        """The folder after the commands, uninterrupted. Of `A, B, A`, only A counts: it is run as if B never was."""
        self.begin(scenario)
        if scenario.next_step:
            if killed:
                do(self.steps, scenario.killed)
            # Where the next step refuses what is there, it gives nothing, and nothing else may be found.
            done = do(self.steps, scenario.next_step, seconds=600)
            return self.outputs(scenario) if done.code == 0 else {}
        for command in after:
            do(self.steps, command)
        return harness.tree(self.steps.folder)

    def outputs(self, scenario: Scenario) -> dict[str, str]:
        found = harness.tree(self.steps.folder)
        return {name: found[name] for name in found if any(Path(name).match(one) for one in scenario.outputs)}

    def kill(
        self, scenario: Scenario, after: tuple, wanted: list[dict], number: int, moment: float | None, where: str
    ) -> harness.Case:
        self.begin(scenario)
        before = killer(self.steps.folder, number, self.log)
        do(self.steps, scenario.killed, before=before, kill_after=moment, seconds=600)
        name = f"{scenario.name}, killed {where}"
        for command in (scenario.next_step,) if scenario.next_step else after:
            result = do(self.steps, command, seconds=600)
            if result.outcome != "right":
                return harness.Case(scenario.family, name, result.outcome, result.last)
        if scenario.next_step:
            found = self.outputs(scenario)
            if found in wanted:
                return harness.Case(scenario.family, name, "right")
            return harness.Case(scenario.family, name, "silently wrong", harness.difference(found, wanted[0]))
        if left := harness.left_behind(self.steps.folder):
            return harness.Case(scenario.family, name, "left behind", ", ".join(left))
        if differs := harness.difference(harness.tree(self.steps.folder), wanted[0]):
            return harness.Case(scenario.family, name, "silently wrong", differs)
        return harness.Case(scenario.family, name, "right")


def run(count: int = 300, jobs: int = 2, seed: int = 0, only: str = "") -> list[harness.Case]:
    """About `count` kills, spread over the scenarios (those that `only` names)."""
    chosen = [one for one in scenarios() if harness.is_named(only, one.family, one.name)]
    folder = Path(tempfile.mkdtemp(prefix="kills-"))

    def work(job: int) -> Iterator[harness.Case]:
        campaign = Campaign(folder / str(job), seed + job)
        for i, scenario in enumerate(chosen):
            if i % jobs == job:
                yield from campaign.cases(scenario, max(1, count * (i + 1) // len(chosen) - count * i // len(chosen)))
        campaign.steps.close()

    try:
        return harness.in_processes(jobs, work)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
