"""The campaign of surroundings: full disks, two runs at once, stale files, a hub that fails, odd terminals and names.

Every case runs in the folder that the kills start from. It ends right where the files are those of quiet surroundings,
or where one line says what is wrong and, once that is mended, the same command gives these files.
"""

import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import harness
import kills

Outcome = tuple[str, str]
MODEL = "m/acoustic-toy-4emo-mean-svm-speaker2"
SMALL = "small"  # a folder for all outputs, which a case may fill or write-protect

# What each step runs, with outputs below SMALL, and the files that it reads.
STEPS: dict[str, kills.Command] = {
    "1": ("1", "--corpora", "table:toy.csv", "--out-dir", SMALL, "--emotions", "all"),
    "2": ("2", "--metadata", "p/toy.csv", "--model", "acoustic", "--out", f"{SMALL}/n.npz", "--batch-seconds", "3"),
    "2 tiny": ("2", "--metadata", "p/toy.csv", "--model", "tiny", "--out", f"{SMALL}/n.npz", "--batch-seconds", "3"),
    **{
        f"3 {name}": (
            *kills.THREE[:3],
            "--results-dir",
            SMALL,
            "--models-dir",
            SMALL,
            *kills.THREE[7:],
            "--classifier",
            name,
        )
        for name in ("svm", "logistic", "mlp", "xgboost")
    },
    "4": ("4", "--results-dir", SMALL),
    "5": ("5", "--npz-path", "e.npz", "--results-dir", SMALL),
    "predict": ("predict", "--model", MODEL, "toy", "--out", f"{SMALL}/x.csv"),
}


class Campaign:
    """One process's share of the surroundings."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.outer, self.random = folder, random.Random(seed)
        self.steps = harness.Steps(folder / "work")
        kills.prepare(self.steps)
        self.work = self.steps.folder
        self.base = self.work.with_name("work.base")
        for command in (kills.SVM, kills.FOUR, kills.FIVE):
            kills.do(self.steps, command)
        (self.work / SMALL).mkdir()
        harness.restore(self.work, self.base)
        self.wanted: dict[str, dict[str, str]] = {}

    def begin(self, step: str = "") -> None:
        harness.restore(self.base, self.work)
        if step == "4":
            for path in (self.work / "r").glob("predictions_*"):
                shutil.copy(path, self.work / SMALL)

    def run(self, command: kills.Command, **limits) -> harness.Result:
        return self.steps.run(*command, **limits)

    def reference(self, step: str) -> dict[str, str]:
        """What a step writes in quiet surroundings."""
        if step not in self.wanted:
            self.begin(step)
            kills.do(self.steps, STEPS[step])
            self.wanted[step] = harness.tree(self.work / SMALL)
        return self.wanted[step]

    def judged(self, step: str, result: harness.Result, mend: Callable[[], None] | None = None) -> Outcome:
        """The outcome of a run, and of the same command again where the first ended with an error."""
        outcome, seen = result.outcome, result.last
        if outcome not in ("right", "one-line error"):
            return outcome, seen
        if outcome == "one-line error":
            (mend or (lambda: None))()
            again = kills.do(self.steps, STEPS[step], seconds=600)
            if again.code:
                return again.outcome if again.outcome in harness.BAD else "silently wrong", f"afterwards: {again.last}"
        if left := harness.left_behind(self.work / SMALL):
            return "left behind", ", ".join(left)
        if differs := harness.difference(harness.tree(self.work / SMALL), self.wanted[step]):
            return "silently wrong", differs
        return outcome, seen


Case = tuple[str, str, Callable[[Campaign], Outcome]]


# Disks.


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[None]:
    """A disk of this size at `folder`, with the files that are there."""
    kept = folder.with_name(folder.name + ".kept")
    shutil.copytree(folder, kept)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        for path in kept.iterdir():
            shutil.copy(path, folder)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        shutil.rmtree(kept)


def remounted(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def full(step: str, room: int) -> Callable[[Campaign], Outcome]:
    """All but `room` bytes of the disk are taken; then there is room again."""

    def case(campaign: Campaign) -> Outcome:
        campaign.reference(step)
        campaign.begin(step)
        folder = campaign.work / SMALL
        with tmpfs(folder, "64m"):
            filler = folder / "filler"
            statistics = os.statvfs(folder)
            free = statistics.f_bavail * statistics.f_frsize
            filler.write_bytes(bytes(max(0, free - room)))
            result = campaign.run(STEPS[step])
            if result.code and (new := [path for path in folder.iterdir() if path.stat().st_size == 0]):
                return "left behind", f"empty {new}"
            filler.unlink()
            return campaign.judged(step, result)

    return case


def file_size(step: str, size: int) -> Callable[[Campaign], Outcome]:
    """No file may grow beyond `size` bytes."""

    def case(campaign: Campaign) -> Outcome:
        campaign.reference(step)
        campaign.begin(step)

        def limit() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does when it starts
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        return campaign.judged(step, campaign.run(STEPS[step], before=limit))

    return case


def read_only(step: str) -> Callable[[Campaign], Outcome]:
    def case(campaign: Campaign) -> Outcome:
        campaign.reference(step)
        campaign.begin(step)
        folder = campaign.work / SMALL
        with tmpfs(folder, "64m"):
            remounted(folder, "ro")
            started = time.monotonic()
            result = campaign.run(STEPS[step])
            seconds = time.monotonic() - started
            remounted(folder, "rw")
            outcome = campaign.judged(step, result, lambda: None)
            return (
                ("silently wrong", "written?") if result.code == 0 else (outcome[0], f"{seconds:.1f} s: {outcome[1]}")
            )

    return case


def through_a_file(step: str) -> Callable[[Campaign], Outcome]:
    """Where the output folder should be, there is a file."""

    def case(campaign: Campaign) -> Outcome:
        campaign.reference(step)
        campaign.begin(step)
        folder, kept = campaign.work / SMALL, campaign.work / "kept"
        folder.rename(kept)
        folder.write_text("a file")
        result = campaign.run(STEPS[step])
        folder.unlink()
        kept.rename(folder)
        return campaign.judged(step, result)

    return case


def a_folder_instead(step: str, name: str) -> Callable[[Campaign], Outcome]:
    """Where a file should be written, there is a folder."""

    def case(campaign: Campaign) -> Outcome:
        campaign.reference(step)
        campaign.begin(step)
        path = campaign.work / SMALL / name
        path.unlink(missing_ok=True)
        (path / "inside").mkdir(parents=True)
        result = campaign.run(STEPS[step])
        shutil.rmtree(path, ignore_errors=True)  # an unfinished run without a plan is removed
        if step == "4":
            shutil.rmtree(campaign.work / SMALL)
            (campaign.work / SMALL).mkdir()
            for one in (campaign.work / "r").glob("predictions_*"):
                shutil.copy(one, campaign.work / SMALL)
        return campaign.judged(step, result)

    return case


def disks() -> Iterator[Case]:
    mountable = os.geteuid() == 0 and sys.platform == "linux"
    for step in STEPS:
        for room in (0, 6_000, 40_000, 120_000):
            if mountable:
                yield "full disk", f"step {step}, {room} bytes left", full(step, room)
            else:
                yield "full disk", f"step {step}, files of {room} bytes", file_size(step, room)
        yield "full disk", f"step {step}, files of 20,000 bytes", file_size(step, 20_000)
        if mountable:
            yield "read-only output", f"step {step}", read_only(step)
        if step != "4":
            yield "read-only output", f"step {step}, through a file", through_a_file(step)
    tag = "acoustic-toy-4emo-mean-svm-speaker2"
    for step, name in (
        ("1", "toy.csv"),
        ("1", "toy.meta.json"),
        ("2", "n.npz"),
        ("2", "n.npz.partial"),
        ("3 svm", tag),
        ("3 svm", f"predictions_{tag}.csv"),
        ("4", "metrics.json"),
        ("5", "umap_emotion_3d.png"),
        ("predict", "x.csv"),
    ):
        if name != tag:  # the model's folder is a folder
            yield "read-only output", f"step {step}, {name} is a folder", a_folder_instead(step, name)


# Two at once.


def twice(step: str, pause: float) -> Callable[[Campaign], Outcome]:
    def case(campaign: Campaign) -> Outcome:
        campaign.reference(step)
        campaign.begin(step)
        other = os.fork()
        if other == 0:
            campaign.steps.logs = campaign.steps.logs / "other"
            campaign.steps.logs.mkdir(exist_ok=True)
            time.sleep(pause)
            result = campaign.run(STEPS[step])
            (campaign.steps.logs / "code").write_text(f"{result.outcome}\n{result.last}")
            os._exit(0)
        result = campaign.run(STEPS[step])
        os.waitpid(other, 0)
        outcome, seen = (campaign.steps.logs / "other" / "code").read_text().split("\n", 1)
        if outcome in harness.BAD:
            return outcome, f"the other: {seen}"
        return campaign.judged(step, result)

    return case


def at_once() -> Iterator[Case]:
    for step in STEPS:
        for pause in (0.0, 0.15, 0.4):
            yield "two at once", f"step {step}, {pause} s apart", twice(step, pause)


# Stale files.


def after(*commands: Callable[[Campaign], None], last: kills.Command, wanted: str = "one-line error", word: str = ""):
    """Change something, run a step: it has to say so in one line (which holds `word`), or, `right`, to work."""

    def case(campaign: Campaign) -> Outcome:
        campaign.begin()
        for command in commands:
            command(campaign)
        result = campaign.run(last)
        if result.outcome == wanted and word not in result.err + result.out:
            return "silently wrong", f"does not say {word}: {result.last}"
        if result.outcome == "right" and wanted != "right":
            return "silently wrong", "accepted"
        return result.outcome, result.last

    return case


def command(*words: str) -> Callable[[Campaign], None]:
    return lambda campaign: kills.do(campaign.steps, words) and None


def removed(name: str) -> Callable[[Campaign], None]:
    def do(campaign: Campaign) -> None:
        path = campaign.work / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return do


def changed_bytes(name: str) -> Callable[[Campaign], None]:
    def do(campaign: Campaign) -> None:
        path = campaign.work / name
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)

    return do


def moved_clip(campaign: Campaign) -> None:
    (campaign.work / "toy" / "s0_happy_0.wav").rename(campaign.work / "toy" / "elsewhere.wav")


def stale() -> Iterator[Case]:
    fewer = command(*kills.ONE[:-1], "happy", "sad", "--overwrite")
    others = command(*kills.TWO, "--limit", "24", "--overwrite")
    predict: kills.Command = ("predict", "--model", MODEL, "toy", "--out", "x.csv")
    mended: kills.Command = (*kills.TWO, "--overwrite")
    tiny = command(*kills.DEEP, "--classifier", "svm")
    tiny_model: kills.Command = ("predict", "--model", "m/tiny-toy-4emo-mean-svm-speaker2", "toy", "--out", "x.csv")
    yield "stale", "clip changed, step 2", after(changed_bytes("toy/s0_happy_0.wav"), last=mended, word="s0_happy_0")
    yield "stale", "clip moved, step 2", after(moved_clip, last=mended, word="s0_happy_0")
    yield "stale", "CSV replaced, step 2", after(fewer, last=kills.TWO, word="--overwrite")
    yield "stale", "CSV replaced, step 3", after(fewer, last=kills.SVM, word="p/toy.csv")
    yield "stale", "CSV replaced, step 4", after(fewer, last=kills.FOUR, word="p/toy.csv")
    yield "stale", "CSV replaced, step 5", after(fewer, last=kills.FIVE, word="p/toy.csv")
    yield "stale", "CSV replaced, predict", after(fewer, last=predict, word="p/toy.csv")
    yield "stale", "npz replaced, step 3 again", after(others, last=kills.SVM, wanted="right")
    yield "stale", "npz replaced, step 4", after(others, last=kills.FOUR, word="e.npz")
    yield "stale", "npz replaced, step 5 again", after(others, last=kills.FIVE, wanted="right", word="wrote")
    yield "stale", "npz replaced, predict", after(others, last=predict, word="e.npz")
    yield "stale", "CSV removed, step 3", after(removed("p/toy.csv"), last=kills.SVM, wanted="right", word="up to date")
    yield "stale", "npz removed, step 4", after(removed("e.npz"), last=kills.FOUR, wanted="right")
    yield "stale", "npz removed, predict", after(removed("e.npz"), last=predict, wanted="right")
    yield "stale", "npz removed, step 3", after(removed("e.npz"), last=kills.SVM, word="e.npz")
    yield (
        "stale",
        "picture changed, step 5",
        after(changed_bytes("r/umap_emotion_3d.png"), last=kills.FIVE, wanted="right", word="wrote"),
    )
    yield (
        "stale",
        "model changed, step 3",
        after(changed_bytes(f"{MODEL}/svm.safetensors"), last=kills.SVM, wanted="right", word="wrote"),
    )
    yield (
        "stale",
        "log changed, step 3",
        after(
            changed_bytes("r/training_acoustic-toy-4emo-mean-svm-speaker2.csv"),
            last=kills.SVM,
            wanted="right",
            word="wrote",
        ),
    )
    yield (
        "stale",
        "excluded.csv changed, step 1",
        after(changed_bytes("p/toy_excluded.csv"), last=kills.ONE, wanted="right", word="wrote"),
    )
    yield "stale", "encoder replaced, step 2", after(new_encoder, last=kills.TINY, word="--overwrite")
    yield "stale", "encoder replaced, predict", after(tiny, new_encoder, last=tiny_model, word="--encoder")
    yield "stale", "encoder removed, predict", after(tiny, removed("tiny"), last=tiny_model, word="tiny")

    def runs_removed(campaign: Campaign) -> Outcome:
        campaign.begin()
        kills.do(campaign.steps, (*kills.SVM, "--cv", "random"))
        kills.do(campaign.steps, kills.FOUR)
        tag = "acoustic-toy-4emo-mean-svm-random2"
        for path in (campaign.work / "r").glob(f"predictions_{tag}.*"):
            path.unlink()
        result = campaign.run(kills.FOUR)
        named = [
            path.name for path in (campaign.work / "r").iterdir() if tag in path.name and "training" not in path.name
        ]
        audit = (campaign.work / "r" / "audit.csv").exists()
        return ("silently wrong", f"{named}, audit {audit}") if named or audit else (result.outcome, result.last)

    yield "stale", "predictions removed, step 4", runs_removed


def new_encoder(campaign: Campaign) -> None:
    shutil.rmtree(campaign.work / "tiny")
    from safetensors.numpy import load_file, save_file

    shutil.copytree(campaign.base / "tiny", campaign.work / "tiny")
    path = campaign.work / "tiny" / "model.safetensors"
    arrays = load_file(path)
    save_file({name: array * 1.01 for name, array in arrays.items()}, path, metadata={"format": "pt"})


# Outputs and signals.


def closed(*numbers: int) -> Callable[[], None]:
    def do() -> None:
        for number in numbers:
            os.close(number)
            setattr(sys, ("stdin", "stdout", "stderr")[number], None)  # as Python does when it starts

    return do


def piped() -> None:
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.close(reader)
    sys.stdout = open(1, "w", closefd=False)


def device_full() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    sys.stdout = open(1, "w", closefd=False)


def with_output(step: str, before: Callable[[], None], may_end: bool) -> Callable[[Campaign], Outcome]:
    """`may_end`: a step whose output nobody reads may end at once with code 1, as long as it can go on later."""

    def case(campaign: Campaign) -> Outcome:
        campaign.reference(step)
        campaign.begin(step)
        result = campaign.run(STEPS[step], before=before)
        if may_end and result.code == 1 and "Traceback" not in result.err:
            result.err = "error: "
        return campaign.judged(step, result)

    return case


def interrupted(step: str, number: signal.Signals, moment: float) -> Callable[[Campaign], Outcome]:
    def case(campaign: Campaign) -> Outcome:
        campaign.reference(step)
        campaign.begin(step)

        def later() -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            threading.Timer(moment, lambda: os.kill(os.getpid(), number)).start()

        result = campaign.run(STEPS[step], before=later)
        if number == signal.SIGINT and result.code == 130 and "Traceback" not in result.err:
            result = harness.Result(1, result.out, "error: ")
        elif result.code == -number:
            result = harness.Result(1, result.out, "error: ")
        return campaign.judged(step, result)

    return case


def outputs() -> Iterator[Case]:
    for step in STEPS:
        yield "standard streams", f"step {step}, >&-", with_output(step, closed(1), False)
        yield "standard streams", f"step {step}, 2>&-", with_output(step, closed(2), False)
        yield "standard streams", f"step {step}, <&- >&- 2>&-", with_output(step, closed(0, 1, 2), False)
        yield "standard streams", f"step {step}, | head -0", with_output(step, piped, True)
        yield "standard streams", f"step {step}, >/dev/full", with_output(step, device_full, True)
        for moment in (0.05, 0.5):
            yield "interrupted", f"step {step}, Ctrl-C after {moment} s", interrupted(step, signal.SIGINT, moment)
        yield "interrupted", f"step {step}, SIGTERM after 0.3 s", interrupted(step, signal.SIGTERM, 0.3)
        yield "limits", f"step {step}, 40 open files", with_output(step, few_files, True)


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))


# Real processes: environments, terminals, the hub.


def process(
    campaign: Campaign,
    words: kills.Command,
    environment: dict[str, str | None],
    cwd: Path | None = None,
    seconds: float = 300,
) -> harness.Result:
    """Run a step as users do, with these variables set (None: unset)."""
    kept = {name: value for name, value in os.environ.items() if environment.get(name, "") is not None}
    kept |= {name: value for name, value in environment.items() if value is not None}
    kept["PYTHONPATH"] = str(harness.ROOT / "src")
    script = harness.ROOT / "src" / f"{harness.NAMES[words[0]]}.py"
    try:
        done = subprocess.run(
            [sys.executable, str(script), *words[1:]],
            env=kept,
            cwd=cwd or campaign.work,
            capture_output=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as late:
        return harness.Result(-9, "", (late.stderr or b"").decode(errors="replace"), hung=True)
    return harness.Result(done.returncode, *(text.decode(errors="replace") for text in (done.stdout, done.stderr)))


def with_environment(step: str, environment: dict[str, str | None]) -> Callable[[Campaign], Outcome]:
    def case(campaign: Campaign) -> Outcome:
        campaign.reference(step)
        campaign.begin(step)
        return campaign.judged(step, process(campaign, STEPS[step], environment))

    return case


def environments() -> Iterator[Case]:
    ways: dict[str, dict[str, str | None]] = {
        "LC_ALL=C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        "PYTHONIOENCODING=ascii": {"PYTHONIOENCODING": "ascii"},
        "HOME unset": {"HOME": None, "USER": None, "LOGNAME": None},
        "HOME=/dev/null": {"HOME": "/dev/null", "MPLCONFIGDIR": None, "HF_HOME": None, "XDG_CACHE_HOME": None},
        "TMPDIR=/nowhere": {"TMPDIR": "/nowhere"},
        "COLUMNS=1": {"COLUMNS": "1", "LINES": "1"},
        "NUMBA_CACHE_DIR=/proc": {"NUMBA_CACHE_DIR": "/proc/none"},
    }
    for number, (name, environment) in enumerate(ways.items()):
        for step in ("1", "2", "3 svm", "4", "5", "predict")[number % 2 :: 2]:
            yield "environment", f"step {step}, {name}", with_environment(step, environment)


class _Nonsense(BaseHTTPRequestHandler):
    status, body, kind = 200, b"", "application/json"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Type", self.kind)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_HEAD = do_POST = do_GET

    def log_message(self, *words) -> None:
        """Nothing."""


@contextmanager
def answering(status: int, body: bytes, kind: str = "application/json") -> Iterator[str]:
    handler = type("Handler", (_Nonsense,), {"status": status, "body": body, "kind": kind})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


@contextmanager
def silent() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def refusing() -> Iterator[str]:
    import hub_stub

    yield hub_stub.refusing_endpoint()


def hub(words: kills.Command, way: Callable, *arguments) -> Callable[[Campaign], Outcome]:
    def case(campaign: Campaign) -> Outcome:
        import hub_stub

        campaign.begin()
        before = harness.tree(campaign.work)
        with way(*arguments) as endpoint:
            environment = hub_stub.client_env(endpoint, campaign.work / "hf")
            environment.pop("HF_HUB_OFFLINE", None)
            result = process(campaign, words, {**environment, "HF_HUB_OFFLINE": None}, seconds=400)
        shutil.rmtree(campaign.work / "hf", ignore_errors=True)
        if result.code == 0:
            return "silently wrong", "accepted"
        if differs := harness.difference(harness.tree(campaign.work), before):
            return "left behind", differs
        return result.outcome, result.last

    return case


def hubs() -> Iterator[Case]:
    commands: dict[str, kills.Command] = {
        "step 1": ("1", "--corpora", "cremad", "--cremad-source", "hub", "--data-dir", "cremad", "--out-dir", "q"),
        "step 2": ("2", "--metadata", "p/toy.csv", "--model", "wavlm_base", "--out", "n.npz"),
        "predict": ("predict", "--model", MODEL, "--encoder", "microsoft/wavlm-base", "toy", "--out", "x.csv"),
    }
    ways: dict[str, tuple] = {
        "refuses": (refusing,),
        "never answers": (silent,),
        "answers []": (answering, 200, b"[]"),
        "answers a page": (answering, 200, b"<html>portal</html>", "text/html"),
        "answers 500": (answering, 500, b"oops"),
        "answers nothing": (answering, 200, b""),
        "answers 429": (answering, 429, b""),
        "answers {}": (answering, 200, b"{}"),
    }
    for step, words in commands.items():
        for name, way in ways.items():
            if not (step == "predict" and name in ("answers 429", "answers nothing")):
                yield "hub", f"{step}, {name}", hub(words, *way)


# Names and folders.


def named(name: str) -> Callable[[Campaign], Outcome]:
    """All steps inside a folder of this name, with a table of this name."""

    def case(campaign: Campaign) -> Outcome:
        campaign.begin()
        inside = campaign.work / name
        try:
            inside.mkdir()
            shutil.copytree(campaign.work / "toy", inside / "toy")
            shutil.copy(campaign.work / "toy.csv", inside)
        except OSError as error:
            return "right", f"no such name here: {error}"
        at = f"./{name}"
        for words in (
            ("1", "--corpora", f"table:{at}/toy.csv", "--out-dir", f"{at}/p", "--emotions", "all"),
            ("2", "--metadata", f"{at}/p/toy.csv", "--model", "acoustic", "--out", f"{at}/e.npz"),
            (
                "3",
                "--npz-path",
                f"{at}/e.npz",
                "--n-folds",
                "2",
                "--classifier",
                "svm",
                "--results-dir",
                f"{at}/r",
                "--models-dir",
                f"{at}/m",
            ),
            ("4", "--results-dir", f"{at}/r"),
            ("5", "--npz-path", f"{at}/e.npz", "--results-dir", f"{at}/r"),
            ("predict", "--model", f"{at}/{MODEL}", f"{at}/toy", "--out", f"{at}/x.csv"),
        ):
            result = campaign.run(words)
            if result.outcome != "right":
                return result.outcome, f"{words[0]}: {result.last}"
        if (campaign.work / "ran").exists():
            return "silently wrong", "a command in a name ran"
        lines = len((inside / "x.csv").read_text().splitlines())
        return ("right", "") if lines == 49 else ("silently wrong", f"{lines} lines")

    return case


def from_folder(step: str, cwd: str) -> Callable[[Campaign], Outcome]:
    """A step from another working folder, with absolute paths; what it writes is the same but for paths."""

    def case(campaign: Campaign) -> Outcome:
        campaign.begin(step)
        words = list(STEPS[step])
        places = {"table:toy.csv": f"table:{campaign.work}/toy.csv"}
        for word in ("p/toy.csv", "e.npz", "tiny", "toy", SMALL, f"{SMALL}/n.npz", f"{SMALL}/x.csv", MODEL):
            places[word] = str(campaign.work / word)
        words = [words[0], *(places.get(word, word) for word in words[1:])]
        before = set(harness.ROOT.rglob("*"))

        def enter() -> None:
            os.chdir({"root": harness.ROOT, "src": harness.ROOT / "src", "/": "/"}[cwd])

        result = campaign.run(tuple(words), before=enter)
        new = [path for path in set(harness.ROOT.rglob("*")) - before if "__pycache__" not in path.parts]
        names = {path.name for path in (campaign.work / SMALL).rglob("*")}
        wanted = {Path(name).name for name in campaign.reference(step)}
        if new or not wanted <= names and result.code == 0:
            return "silently wrong", f"{new} {wanted - names}"
        return result.outcome, result.last

    return case


def no_working_folder(step: str) -> Callable[[Campaign], Outcome]:
    def case(campaign: Campaign) -> Outcome:
        campaign.begin(step)
        gone = campaign.outer / "gone"
        gone.mkdir()

        def enter() -> None:
            os.chdir(gone)
            gone.rmdir()

        result = campaign.run(STEPS[step], before=enter)
        return ("silently wrong", "accepted") if result.code == 0 else (result.outcome, result.last)

    return case


def names() -> Iterator[Case]:
    for name in (
        "with space",
        "Größe",
        "-dash",
        "--overwrite",
        "x" * 200,
        "\U0001f600",
        "50%s",
        "$(touch ran)",
        "a'b\"c",
        "a,b",
        "a:b",
        "[a]*",
        "u\u0308",
        "new\nline",
        "=1+1",
        "~",
        "a\\b",
        "table:x",
        "\udcff",
    ):
        yield "names", repr(name[:20]), named(name)
    for step in STEPS:
        for cwd in ("root", "src", "/"):
            yield "working folder", f"step {step}, {cwd}", from_folder(step, cwd)
        yield "working folder", f"step {step}, removed", no_working_folder(step)


# Memory.


def long_recording(words: kills.Command, megabytes: int) -> Callable[[Campaign], Outcome]:
    """An hour of one recording, within this memory beyond what the libraries take."""

    def case(campaign: Campaign) -> Outcome:
        import numpy as np
        import soundfile

        campaign.begin()
        hour = campaign.work / "hour"
        hour.mkdir()
        wave = (0.1 * np.random.default_rng(0).normal(size=16000 * 60)).astype(np.float32)
        with soundfile.SoundFile(hour / "hour.wav", "w", 16000, 1, "PCM_16") as file:
            for _ in range(60):
                file.write(wave)
        (campaign.work / "hour.csv").write_text(
            "path,emotion,speaker\nhour/hour.wav,happy,s0\ntoy/s0_sad_0.wav,sad,s0\n"
        )
        if words[0] == "2":
            kills.do(campaign.steps, ("1", "--corpora", "table:hour.csv", "--out-dir", "q", "--emotions", "all"))
        result = campaign.run(words, memory=megabytes << 20, seconds=900)
        return ("right", "") if result.code == 0 else (result.outcome, result.last)

    return case


def memory() -> Iterator[Case]:
    yield (
        "memory",
        "an hour, step 1",
        long_recording(("1", "--corpora", "table:hour.csv", "--out-dir", "q", "--emotions", "all"), 1500),
    )
    for model in ("acoustic", "tiny"):
        words: kills.Command = ("2", "--metadata", "q/hour.csv", "--model", model, "--out", "n.npz")
        yield "memory", f"an hour, step 2, {model}", long_recording(words, 3000)
    yield "memory", "an hour, predict", long_recording(("predict", "--model", MODEL, "hour", "--out", "x.csv"), 3000)
    for step in STEPS:
        yield "memory", f"step {step}, 60 MB", little_memory(step)


def little_memory(step: str) -> Callable[[Campaign], Outcome]:
    def case(campaign: Campaign) -> Outcome:
        campaign.reference(step)
        campaign.begin(step)
        return campaign.judged(step, campaign.run(STEPS[step], memory=60 << 20))

    return case


def cases() -> list[Case]:
    parts = (disks, at_once, stale, outputs, environments, hubs, names, memory)
    return [case for part in parts for case in part()]


def run(count: int = 0, jobs: int = 2, seed: int = 0, only: str = "") -> list[harness.Case]:
    """All surroundings, or `count` of them, evenly drawn (those that `only` names)."""
    folder = Path(tempfile.mkdtemp(prefix="surroundings-"))
    chosen = [case for case in cases() if harness.is_named(only, case[0], case[1])]
    if count and count < len(chosen):
        chosen = [chosen[i * len(chosen) // count] for i in range(count)]

    def work(job: int) -> Iterator[harness.Case]:
        campaign = Campaign(folder / str(job), seed)
        for family, name, case in chosen[job::jobs]:
            yield harness.Case(family, name, *case(campaign))
        campaign.steps.close()

    for job in range(jobs):
        (folder / str(job)).mkdir()
    try:
        return harness.in_processes(jobs, work)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
