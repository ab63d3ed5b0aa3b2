"""The project's root and its data folders, independent of the folder a script is started from."""

import os
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
DATA = ROOT / "data"
PROCESSED = DATA / "processed"
EMBEDDINGS = ROOT / "embeddings"
MODELS = ROOT / "models"
RESULTS = ROOT / "results"

# The commands that error messages name.
STEP1 = "python src/1_data_preprocessing.py"
STEP2 = "python src/2_wavlm_feature_extraction.py"
STEP3 = "python src/3_train_classifiers.py"


# Object storage that audio is read from, through fsspec. memory:// is that of the process, for tests.
_REMOTE = re.compile(r"(s3|gs|abfs|memory):/+(.+)", re.DOTALL)


def remote(path: str | Path) -> str | None:
    """The URL, as in `s3://bucket/a.wav`, of a file in object storage; None for a path of this machine.

    A `Path` of such a URL has a single `/` behind the colon, and is relative.
    """
    match = _REMOTE.fullmatch(path.as_posix() if isinstance(path, Path) else path)
    return f"{match[1]}://{match[2]}" if match else None


def located(text: str) -> Path:
    """The path of an audio file that an artifact's column `path` names: below the root, or in object storage."""
    return Path(text) if remote(text) else ROOT / text


def existing(path: str | Path) -> Path:
    """Absolute path of an input: relative to the working folder if it exists there, else to the root.

    So `embeddings/x.npz` is the same file from the root and from `src/`. A path that exists in neither is returned as
    by `output`, for the caller's error message.
    """
    path = Path(path).expanduser()
    for base in (Path.cwd(), ROOT):
        if (base / path).exists():
            return _absolute(base / path)
    return output(path)


def output(path: str | Path) -> Path:
    """Absolute path of an output; in `src/`, a path that does not start with `..` is relative to the root."""
    path = Path(path).expanduser()
    in_src = Path.cwd() == SRC and path.parts[:1] != ("..",)
    return _absolute((ROOT if in_src else Path.cwd()) / path)


def shown(path: str | Path) -> str:
    """The path for artifacts and messages: with `/`, relative to the root if it lies inside it."""
    if url := remote(path):
        return url
    text = str(_absolute(Path(path)))
    inside = text.removeprefix(f"{ROOT}{os.sep}")  # by Path.relative_to, 100,000 clips take seconds
    if text == inside:
        return "." if text == str(ROOT) else text
    return inside.replace(os.sep, "/")


def typed_here(text: str) -> str:
    """A message whose commands are given from the root, with the commands as they are typed in the working folder."""
    if Path.cwd() == ROOT:
        return text
    folder = "" if Path.cwd() == SRC else shlex.quote(f"{SRC}/")
    return re.sub(r"\bpython src/", f"python {folder}", text)


def _absolute(path: Path) -> Path:
    # Not resolve(): a corpus linked into data/ keeps the name of the link, so artifacts hold no path of this machine.
    return Path(os.path.normpath(path if path.is_absolute() else Path.cwd() / path))
