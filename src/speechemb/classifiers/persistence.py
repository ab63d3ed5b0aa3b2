"""The folder of a trained model: the classifier's file (no pickle) and `model.json`, which describes it.

`model.json` holds the fields of `artifacts.predictions.PredictionsMeta`, with `layer` the one that was chosen, and
further: `settings` (of the classifier where they were tuned, else empty), `clips` (trained on), `files` (SHA-256 of
every other file) and `cross_validation` (the figures of the same procedure in each fold).
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from speechemb.artifacts import provenance
from speechemb.artifacts.storage import ArtifactError, read_json, write_json
from speechemb.classifiers import Classifier, make
from speechemb.paths import STEP3, shown


def save(folder: Path, classifier: Classifier, meta: dict[str, Any]) -> None:
    """Write a temporary folder and move it into place, so that a half-written model is never found."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        classifier.save(temporary)
        files = {path.name: provenance.sha256_file(path) for path in sorted(temporary.iterdir())}
        write_json(temporary / "model.json", {**meta, "files": files})
        os.chmod(temporary, 0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load(folder: Path) -> tuple[Classifier, dict[str, Any]]:
    """The classifier and its `model.json`, after checking every file against its hash.

    Raises:
        ArtifactError: a file is missing, changed or foreign.
    """
    remedy = f"train it again with {STEP3}"
    meta = read_json(folder / "model.json", "model", remedy)
    for name, digest in meta["files"].items():
        path = folder / Path(name).name
        if not path.is_file() or provenance.sha256_file(path) != digest:
            raise ArtifactError(f"{shown(path)} is missing or was changed after it was written: {remedy}")
    classifier = make(meta["classifier"], len(meta["labels"]), meta["seed"], **meta["settings"])
    return classifier.load(folder), meta
