"""A trained model's folder: the classifier's own file (no pickle) and `model.json`, which says what it is.

`model.json` holds the provenance block and: `labels` (class order of the probabilities), `classifier`, `encoder`
(tag, name, revision, dimensions), `layers` and `layer` (what was computed, what is used), `pooling`, `precision`,
`settings` (of the classifier, where they were tuned, else empty), `files` (SHA-256 of every other file), and the
cross-validated figures of the same procedure under `cross_validation` and `risk_coverage`. `novelty.safetensors` says
what the training speech is like, see `novelty`.
"""

import tempfile
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from speechemb.artifacts import predictions, provenance, regression, schemas
from speechemb.artifacts.atomic import Together
from speechemb.artifacts.freshness import check_upstream, command_for, recorded_stamp
from speechemb.artifacts.storage import ArtifactError, read_json, write_json
from speechemb.classifiers import Classifier, class_of, make, regressors
from speechemb.classifiers.novelty import NAME as NOVELTY
from speechemb.classifiers.novelty import Novelty
from speechemb.classifiers.regressors import Regressor
from speechemb.metrics.calibration import N_THRESHOLDS
from speechemb.paths import STEP3, shown

FOREIGN = (KeyError, TypeError, ValueError, OSError)  # of files that hold something else than they should
Share = Annotated[float, Field(ge=0, le=1)]
Shares = Annotated[list[Share], Field(min_length=N_THRESHOLDS, max_length=N_THRESHOLDS)]


class RiskCoverage(schemas.Schema):
    """What cross-validation measured of answers at least as confident as each threshold; see `risk_coverage`.

    Of the out-of-fold predictions, in the folds that `protocol_note` describes.
    """

    thresholds: Shares
    coverage: Shares
    risk: Annotated[list[Share | None], Field(min_length=N_THRESHOLDS, max_length=N_THRESHOLDS)]


class ModelStamp(predictions.RunMeta, schemas.Stamp):
    """`model.json`."""

    settings: dict[schemas.Name, float | int | bool]
    clips: schemas.Count
    speakers: schemas.Count
    risk_coverage: RiskCoverage | None = None  # models of older versions have none


class RegressionModelStamp(regression.RegressionMeta, schemas.Stamp):
    """`model.json` of a model that predicts numbers."""

    settings: dict[schemas.Name, float | int | bool]
    clips: schemas.Count
    speakers: schemas.Count


def save(
    folder: Path, classifier: Classifier | Regressor, novelty: Novelty, meta: dict[str, Any], files: Together
) -> None:
    """Write the classifier's files and, after them, `model.json` with their hashes."""
    with tempfile.TemporaryDirectory() as temporary:
        classifier.save(Path(temporary))
        novelty.save(Path(temporary))
        for path in sorted(Path(temporary).iterdir()):
            files.temporary(folder / path.name).write_bytes(path.read_bytes())
    write_json(folder / "model.json", {**meta, "files": files.hashes(folder)}, files)


def load(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The classifier and its `model.json`, after every file was found to be the one that was written.

    Of a model that predicts numbers it is the regressor, and `model.json` has `targets` in place of labels.

    Raises:
        ArtifactError: a file is missing, changed, foreign, or older than the embeddings that it was trained on.
    """
    remedy = remedy_of(folder)
    of_numbers = (recorded_stamp(folder / "model.json") or {}).get("kind") == regression.MODEL_KIND
    kind, schema = (regression.MODEL_KIND, RegressionModelStamp) if of_numbers else ("model", ModelStamp)
    meta = read_json(folder / "model.json", kind, remedy, schema)
    for name, digest in meta["files"].items():
        path = folder / name
        if not path.is_file() or provenance.sha256_file(path) != digest:
            raise ArtifactError(f"{shown(path)} is missing or was changed after it was written: {remedy}")
    check_upstream(folder / "model.json", STEP3)
    try:
        if of_numbers:
            regressor = regressors.make(meta["classifier"], len(meta["targets"]), meta["seed"], **meta["settings"])
            return regressor.load(folder), meta
        class_of(meta["classifier"])
        classifier = make(meta["classifier"], len(meta["labels"]), meta["seed"], **meta["settings"])
        return classifier.load(folder), meta
    except FOREIGN as error:
        raise _foreign(folder, error) from None


def load_novelty(folder: Path, meta: dict[str, Any]) -> Novelty | None:
    """What the training speech is like; None where a model of an older version does not say. `meta`: of `load`.

    Raises:
        ArtifactError: the file holds something else.
    """
    if NOVELTY not in meta["files"]:
        return None
    try:
        found = Novelty().load(folder)
        if found.features != meta["features"]:
            raise ValueError(f"{NOVELTY} is of {found.features} features, not {meta['features']}")
    except FOREIGN as error:
        raise _foreign(folder, error) from None
    return found


def remedy_of(folder: Path) -> str:
    """The command that trains the model anew."""
    return f"train it anew with {command_for(folder / 'model.json', STEP3)}"


def _foreign(folder: Path, error: Exception) -> ArtifactError:
    what = " ".join(str(error).split()) or type(error).__name__
    return ArtifactError(f"{shown(folder)} does not hold what model.json says ({what}): {remedy_of(folder)}")
