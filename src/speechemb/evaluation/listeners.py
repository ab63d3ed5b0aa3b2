"""How well people recognise CREMA-D by ear: the crowd's votes on the sound of each clip, without the picture.

`summaryTable.csv` of the corpus gives for each clip the emotion that most listeners chose (`VoiceVote`: one letter, or
several such as `H:N` where they tied). A clip counts as recognised where that vote is the acted emotion alone; a tie
counts as wrong. Over all 7,442 clips that is 41.6 %. The paper (Cao et al. 2014, IEEE Transactions on Affective
Computing 5(4)) gives 40.9 %, the share of single answers, which this table does not hold.

The listeners always chose among six emotions. Over fewer classes, only the clips of these classes count, and a vote for
another emotion is wrong. A classifier that has only four classes to choose from has an easier task: `note` says so.
"""

import csv
from pathlib import Path
from typing import Any

from speechemb.artifacts.storage import ArtifactError
from speechemb.corpora import cremad
from speechemb.metrics import classification, confusion
from speechemb.paths import DATA, shown

TABLE = DATA / cremad.FOLDER / "summaryTable.csv"  # beside AudioWAV
SOURCE = "crowd votes of CREMA-D's summaryTable.csv, voice only"
_LETTERS = {code[0]: emotion for code, emotion in cremad.EMOTIONS.items()}
_NONE = "tie or another emotion"


def listener_scores(labels: list[str], table: Path | None = None) -> dict[str, Any] | None:
    """Scores of listeners on the clips of these classes: accuracy, uar, recall by class, clips, source, note.

    None where the table is missing or has no clips of these classes, or where CREMA-D lacks one of them.

    Raises:
        ArtifactError: the file is not CREMA-D's table, or empty.
    """
    table = table or TABLE
    if not table.is_file() or not set(labels) <= set(_LETTERS.values()):
        return None
    votes = [(acted, vote if vote in labels else _NONE) for acted, vote in read_votes(table) if acted in labels]
    if not votes:
        return None
    answers = [*labels, _NONE]
    true, heard = (confusion.indices(words, answers, "listeners'") for words in zip(*votes, strict=True))
    matrix = confusion.matrix(true, heard, len(answers))
    six = len(labels) == len(_LETTERS)
    return {
        "accuracy": float(classification.accuracy_of(matrix)),
        "uar": float(classification.uar_of(matrix)),
        "recall": dict(zip(labels, classification.recall_of(matrix).tolist(), strict=False)),
        "clips": len(votes),
        "source": SOURCE,
        "note": "ties are wrong" if six else f"ties are wrong; they chose among six emotions, not {len(labels)}",
    }


def read_votes(table: Path) -> list[tuple[str, str]]:
    """Acted emotion, and the one that listeners chose (or `_NONE`), of every clip in the table."""
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ArtifactError(
            f"{shown(table)} is not a CSV ({error}): get it from {cremad.SOURCE}, or move it away"
        ) from None
    votes = []
    for row in rows:
        code = (row.get("FileName") or "").split("_")
        if len(code) != 4 or code[2] not in cremad.EMOTIONS or not row.get("VoiceVote"):
            raise ArtifactError(
                f"{shown(table)}: no clip name in column FileName or no vote in VoiceVote (row {len(votes) + 1}): get "
                f"it from {cremad.SOURCE}, or move it away"
            )
        votes.append((cremad.EMOTIONS[code[2]], _LETTERS.get(row["VoiceVote"], _NONE)))
    if not votes:
        raise ArtifactError(f"{shown(table)} holds no votes: get it from {cremad.SOURCE}, or move it away")
    return votes
