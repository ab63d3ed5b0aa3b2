"""`run`, in place of `subprocess.run`: Python programs in forks of a process that has the large libraries imported.

Importing torch, pandas and pyarrow takes longer than what most tests run. Left to the program: speechemb, and
what reads its settings from the environment when it is imported (huggingface_hub, datasets, transformers).
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from functools import cache
from pathlib import Path


def run(
    command: list[object],
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    input: str = "",
    timeout: float = 300,
) -> subprocess.CompletedProcess:
    """How `[sys.executable, script or "-c", ...]` ends, with its output as text; a hanging program fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [str(Path(folder, name)) for name in ("in", "out", "err")]
        Path(streams[0]).write_text(input)
        words = [str(word) for word in command[1:]]
        request = [words, dict(os.environ if env is None else env), str(cwd or Path.cwd()), streams, timeout]
        server = _server()
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code, hung = json.loads(server.stdout.readline())
        if hung:
            raise subprocess.TimeoutExpired(words, timeout)
        out, err = (Path(name).read_text(errors="replace") for name in streams[1:])
    return subprocess.CompletedProcess(command, code, out, err)


@cache
def _server() -> subprocess.Popen:
    return subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _serve() -> None:
    _import_libraries()
    for line in sys.stdin:
        words, env, cwd, streams, timeout = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(words, env, cwd, streams)
        print(json.dumps(wait(child, timeout)), flush=True)


def _import_libraries() -> None:
    import fsspec.implementations.local  # noqa: F401
    import multiprocess.pool  # noqa: F401
    import pyarrow.dataset  # noqa: F401
    import pydantic  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.svm  # noqa: F401
    import soundfile  # noqa: F401
    import torch  # noqa: F401


def wait(child: int, seconds: float) -> tuple[int, bool]:
    """Exit code of a child (negative: the signal that ended it), and whether it had to be killed."""
    end, pause = time.monotonic() + seconds, 0.001
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > end:
            for kill in (os.killpg, os.kill):  # the child may not have its own group yet
                try:
                    kill(child, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), True
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    try:
        os.killpg(child, signal.SIGKILL)  # what it started and did not wait for
    except (ProcessLookupError, PermissionError):
        pass
    return os.waitstatus_to_exitcode(status), False


def _become(words: list[str], env: dict[str, str], cwd: str, streams: list[str]) -> None:
    code = 1
    try:
        os.setsid()
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        for number, name in enumerate(streams):
            os.dup2(os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT), number)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)
        code = _program(words)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _program(words: list[str]) -> int:
    """What `python` does with these arguments; its exit code."""
    in_line = words[0] == "-c"
    sys.argv = ["-c", *words[2:]] if in_line else words
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:1] = ["" if in_line else str(Path(words[0]).resolve().parent), *paths]
    try:
        if in_line:
            exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _serve()
