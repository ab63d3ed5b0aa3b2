"""What benchmarks run in a process of its own: a step, with its time and its peak memory, and the making of a model."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(script: str, *flags: str | Path) -> tuple[float, float]:
    """Seconds of wall time, and the largest resident set in MB, of `src/<script>` with these flags.

    The latter is of the largest process where there are several. On Linux it is at least what the benchmark's own
    process holds: import nothing large there. Ends the benchmark where the script fails; what the script prints is
    shown only then.
    """
    return timed([sys.executable, str(ROOT / "src" / script), *map(str, flags)])


def timed(command: list[str]) -> tuple[float, float]:
    """As `run`, of any command."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}\n{printed}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def make_model(folder: Path, family: str, shape: str, **changes: int) -> None:
    """Write an encoder of random weights, as the tests use them (tests/support/models.py), to `folder`."""
    code = "import json, sys, models; models.make_model(*sys.argv[1:4], **json.loads(sys.argv[4]))"
    command = [sys.executable, "-c", code, str(folder.absolute()), family, shape, json.dumps(changes)]
    subprocess.run(command, check=True, cwd=ROOT / "tests" / "support", env={**os.environ, "TQDM_DISABLE": "1"})
