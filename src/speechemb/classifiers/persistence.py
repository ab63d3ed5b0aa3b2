"""A trained model's folder: the classifier's own file (no pickle) and `model.json`, which says what it is.

`model.json` holds the provenance block and: `labels` (class order of the probabilities), `classifier`, `encoder`
(tag, name, revision, dimensions), `layers` and `layer` (what was computed, what is used), `pooling`, `precision`,
`settings` (of the classifier, where they were tuned, else empty), `files` (SHA-256 of every other file), and the
cross-validated figures of the same procedure under `cross_validation`.
"""

import tempfile
from pathlib import Path
from typing import Any

from speechemb.artifacts import predictions, provenance, schemas
from speechemb.artifacts.atomic import Together
from speechemb.artifacts.freshness import check_upstream, command_for
from speechemb.artifacts.storage import ArtifactError, read_json, write_json
from speechemb.classifiers import Classifier, class_of, make
from speechemb.paths import STEP3, shown


class ModelStamp(predictions.RunMeta, schemas.Stamp):
    """`model.json`."""

    settings: dict[schemas.Name, float | int | bool]
    clips: schemas.Count
    speakers: schemas.Count


def save(folder: Path, classifier: Classifier, meta: dict[str, Any], files: Together) -> None:
    """Write the classifier's files and, after them, `model.json` with their hashes."""
    with tempfile.TemporaryDirectory() as temporary:
        classifier.save(Path(temporary))
        for path in sorted(Path(temporary).iterdir()):
            files.temporary(folder / path.name).write_bytes(path.read_bytes())
    write_json(folder / "model.json", {**meta, "files": files.hashes(folder)}, files)


def load(folder: Path) -> tuple[Classifier, dict[str, Any]]:
    """The classifier and its `model.json`, after every file was found to be the one that was written.

    Raises:
        ArtifactError: a file is missing, changed, foreign, or older than the embeddings that it was trained on.
    """
    remedy = f"train it anew with {command_for(folder / 'model.json', STEP3)}"
    meta = read_json(folder / "model.json", "model", remedy, ModelStamp)
    for name, digest in meta["files"].items():
        path = folder / name
        if not path.is_file() or provenance.sha256_file(path) != digest:
            raise ArtifactError(f"{shown(path)} is missing or was changed after it was written: {remedy}")
    check_upstream(folder / "model.json", STEP3)
    try:
        class_of(meta["classifier"])
        classifier = make(meta["classifier"], len(meta["labels"]), meta["seed"], **meta["settings"])
        return classifier.load(folder), meta
    except (KeyError, TypeError, ValueError, OSError) as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise ArtifactError(f"{shown(folder)} does not hold what model.json says ({what}): {remedy}") from None
