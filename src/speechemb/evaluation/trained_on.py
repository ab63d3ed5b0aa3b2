"""What speech an encoder was trained on, from `data/encoder_training.csv`: a corpus that it saw is no unseen speech.

Columns of that file, one row per encoder:

| column | holds |
|---|---|
| `encoder` | hub id; any name where `weights_sha256` is given |
| `weights_sha256` | empty, or the hash of the weights' values, from `encoder` in the `meta` of an npz |
| `speech` | what the encoder heard, in words |
| `labels` | what it was told about that speech: none, transcripts, emotions |
| `corpora` | the emotion corpora among it, as step 1 names them, separated by spaces |
| `complete` | yes: the source names all corpora; no: it may have heard others |
| `source` | model card or paper |

An encoder from the hub is found by its id, and any by its weights. The name of a folder, or of the model that its
config.json says it came from, proves nothing: without a row for its weights, its training is unknown.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from speechemb.artifacts import schemas
from speechemb.artifacts.storage import ArtifactError, read_table
from speechemb.paths import DATA, shown

FILE = DATA / "encoder_training.csv"
COLUMNS = ("encoder", "weights_sha256", "speech", "labels", "corpora", "complete", "source")
SAW, NOT_LISTED, UNKNOWN = "saw", "not listed", "unknown"  # what is known of an encoder and a corpus


@dataclass(frozen=True)
class Training:
    """One row of the table; without arguments, an encoder that it does not hold."""

    encoder: str = ""
    weights_sha256: str = ""
    speech: str = UNKNOWN
    labels: str = UNKNOWN
    corpora: str = ""
    complete: str = "no"
    source: str = ""

    def saw(self, corpus: str) -> str:
        """SAW, NOT_LISTED or UNKNOWN."""
        if corpus in self.corpora.split():
            return SAW
        return NOT_LISTED if self.complete == "yes" else UNKNOWN


@cache
def read_trainings(path: Path = FILE) -> tuple[Training, ...]:
    """The table's rows; none where the file is missing.

    Raises:
        ArtifactError: a column is missing, or a row lacks a source or holds a value that no row can have.
    """
    if not path.is_file():
        return ()
    mend = f"mend it, or git checkout {shown(path)}"
    frame = read_table(path, COLUMNS, mend)
    rows = [Training(*row) for row in frame[list(COLUMNS)].itertuples(index=False)]
    for number, row in enumerate(rows, start=2):
        checks = {
            "encoder": schemas.fault_of(schemas.Label, row.encoder),
            "weights_sha256": row.weights_sha256 and schemas.fault_of(schemas.Sha256, row.weights_sha256),
            "speech": schemas.fault_of(schemas.Label, row.speech),
            "labels": schemas.fault_of(schemas.Label, row.labels),
            "corpora": row.corpora and schemas.fault_of(schemas.Corpora, row.corpora.split(" ")),
            "complete": "" if row.complete in ("yes", "no") else "is neither yes nor no",
            "source": schemas.fault_of(schemas.Label, row.source),
        }
        if fault := next((f"{name}: {fault}" for name, fault in checks.items() if fault), ""):
            raise ArtifactError(f"{shown(path)}, line {number}: {fault}: {mend}")
    names = [row.encoder for row in rows]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ArtifactError(f"{shown(path)}: {twice[0]} has two rows: {mend}")
    return tuple(rows)


def training_of(encoder: dict[str, Any], rows: tuple[Training, ...]) -> Training:
    """What the encoder with this identity was trained on: the row of its weights, or else of its hub id."""
    weights, name = encoder.get("weights_sha256"), encoder.get("name")
    for row in rows:
        if weights and weights == row.weights_sha256:
            return row
    # Only ids of the hub have a slash; an encoder without weights is the acoustic baseline.
    trusted = not weights or "/" in str(name)
    return next((row for row in rows if trusted and row.encoder == name), Training())


def summary(encoders: list[dict[str, Any]], corpora: list[str]) -> dict[str, Any]:
    """What an evaluation records: `encoder`, `speech`, `labels` and `source` of the encoder's row, unknown without one;
    and `saw`: corpus -> saw, not listed or unknown. Of several encoders, joined by ` + `, and the worst of the words.
    """
    trainings = [training_of(encoder, read_trainings()) for encoder in encoders]
    names = [row.encoder or str(encoder.get("name")) for row, encoder in zip(trainings, encoders, strict=True)]
    found = {key: " + ".join(getattr(row, key) for row in trainings) for key in ("speech", "labels")}
    sources = " + ".join(row.source for row in trainings if row.source)
    saw = {corpus: worst([row.saw(corpus) for row in trainings]) for corpus in corpora}
    return {"encoder": " + ".join(names), **found, "source": sources, "saw": saw}


def words(trained: dict[str, Any]) -> str:
    """`960 h LibriSpeech; labels: none` of a `summary`, or `unknown`."""
    return trained["speech"] + (f"; labels: {trained['labels']}" if trained["source"] else "")


def worst(found: Collection[str]) -> str:
    """One word for several encoders or corpora."""
    return next(word for word in (SAW, UNKNOWN, NOT_LISTED) if word in found)


def warnings(trained: dict[str, Any]) -> list[str]:
    """One line for each corpus of a `summary` that the encoder saw."""
    return [
        f"{trained['encoder']} was trained on {corpus} (labels: {trained['labels']}): "
        f"do not take its figures on {corpus} for those of unseen speech"
        for corpus, word in trained["saw"].items()
        if word == SAW
    ]
