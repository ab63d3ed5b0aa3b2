"""Where things lie: the project's root and its five data folders, whatever folder a script is started from."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
DATA = ROOT / "data"
PROCESSED = DATA / "processed"
EMBEDDINGS = ROOT / "embeddings"
MODELS = ROOT / "models"
RESULTS = ROOT / "results"

# The commands that errors advise.
STEP1 = "python src/1_data_preprocessing.py"
STEP2 = "python src/2_wavlm_feature_extraction.py"
STEP3 = "python src/3_train_classifiers.py"


def existing(path: str | Path) -> Path:
    """Absolute path of an input: as seen from the working folder if it exists there, else from the root.

    So `embeddings/x.npz` means the same file from the root and from `src/`. A path that exists in neither place
    comes back as `output` would give it, for the caller's error message.
    """
    path = Path(path).expanduser()
    for base in (Path.cwd(), ROOT):
        if (base / path).exists():
            return _absolute(base / path)
    return output(path)


def output(path: str | Path) -> Path:
    """Absolute path of something to write: from `src/`, a path that does not climb (`..`) counts from the root."""
    path = Path(path).expanduser()
    in_src = Path.cwd() == SRC and path.parts[:1] != ("..",)
    return _absolute((ROOT if in_src else Path.cwd()) / path)


def shown(path: str | Path) -> str:
    """The path as artifacts and messages show it: relative to the root where it lies inside, with `/`."""
    path = _absolute(Path(path))
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def _absolute(path: Path) -> Path:
    # Not resolve(): a corpus linked into data/ keeps the link's name, so artifacts do not name the machine's disks.
    return Path(os.path.normpath(path if path.is_absolute() else Path.cwd() / path))
