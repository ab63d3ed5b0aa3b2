"""The provenance of an artifact: hashes, fingerprint, library versions and the state of the code."""

import hashlib
import json
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

from speechemb.paths import ROOT, SRC

LIBRARIES = (
    "numpy",
    "scipy",
    "pandas",
    "torch",
    "transformers",
    "scikit-learn",
    "scikit-learn-intelex",
    "xgboost",
    "xgboost-cpu",
    "optuna",
    "librosa",
    "soundfile",
    "soxr",
    "umap-learn",
    "pynndescent",
    "numba",
)


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file, as `sha256sum` prints it."""
    with open(path, "rb") as file:
        return sha256(file)


def sha256(file: BinaryIO) -> str:
    """Hex SHA-256 of an open file, from where it is to its end."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):  # Python 3.10 has no hashlib.file_digest
        digest.update(block)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """The same text for equal values: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(**content: Any) -> str:
    """SHA-256 over everything that determines an artifact's content: input hashes, flags, model revision."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can change a result."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def code_sha256() -> str:
    """Hex SHA-256 over the Python files below `src/`: unlike a commit, it tells one uncommitted change from another."""
    files = sorted(path for path in SRC.rglob("*.py"))
    lines = "".join(f"{sha256_file(path)}  {path.relative_to(SRC).as_posix()}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


@cache
def git_state() -> str:
    """Commit of the code, with `+dirty` if tracked files were changed; `unknown` outside a git checkout."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout

    try:
        commit = git("rev-parse", "HEAD").strip()
        return commit + ("+dirty" if git("status", "--porcelain", "--untracked-files=no").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def stamp(kind: str, schema: int, command: str = "", **content: Any) -> dict[str, Any]:
    """The provenance block of one artifact: `content` is what the fingerprint covers, `command` what made the file."""
    return {
        "kind": kind,
        "schema": schema,
        "fingerprint": fingerprint(kind=kind, schema=schema, **content),
        **content,
        "command": command,
        "versions": versions(),
        "code": code_sha256(),
        "git": git_state(),
    }


def sealed(content: dict[str, Any]) -> bool:
    """Whether `content` carries its own hash."""
    try:
        return seal(content) == content
    except (ValueError, RecursionError):  # NaN, or nested without end
        return False


def seal(content: dict[str, Any]) -> dict[str, Any]:
    """`content` with its own hash under `content_sha256`, so that a later edit is noticed."""
    content = {key: value for key, value in content.items() if key != "content_sha256"}
    return {**content, "content_sha256": hashlib.sha256(canonical_json(content).encode()).hexdigest()}
