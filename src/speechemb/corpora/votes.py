"""What raters said of each clip: votes or probabilities by emotion, from the files in which corpora publish them.

| file | what is read |
|---|---|
| any CSV | a column that names the clip (one of KEYS), columns called as emotions, also `votes_sad` or `p_sad` |
| CREMA-D's `tabulatedVotes.csv` | the counts of the listeners, who heard the sound without the picture |
| CREMA-D's `summaryTable.csv` | `VoiceVote`: the emotion that most listeners chose, or several that tied |
| the folder of IEMOCAP's release | evaluators' lines (`C-E2: Neutral;`) of its label files; not the actors' (`C-F1`) |

An evaluator who named two emotions gave half a vote to each.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechemb.artifacts.clip_names import Named
from speechemb.audio.files import table_rows
from speechemb.corpora import cremad, iemocap
from speechemb.errors import InputError, first
from speechemb.labels import canonical, merge_excited, ordered, vote_columns
from speechemb.paths import shown

KEYS = ("clip_id", "path", "file", "filename", "file_name", "name")
_LETTERS = {code[0].lower(): emotion for code, emotion in cremad.EMOTIONS.items()}
_TURN = re.compile(r"^\[\d+\.\d+ - \d+\.\d+\]\t(\w+)\t", re.MULTILINE)
_EVALUATOR = re.compile(r"^C-E\d+:\t([^\t\n]*)", re.MULTILINE)


@dataclass(frozen=True)
class Votes:
    """Votes or probabilities (m, K) of the clips with these names, for these emotions; none is negative.

    `name` is the file's, with the first digits of a hash of the content. `counted`: they are votes, of one rater each.
    """

    path: Path
    name: str
    names: list[str]
    classes: list[str]
    values: np.ndarray

    @property
    def counted(self) -> bool:
        """Whether these are whole votes, of two or more raters: only they say how raters agree with each other."""
        return bool((self.values == self.values.round()).all() and (self.values.sum(axis=1) > 1).any())

    def of(self, clip_ids: list[str], paths: list[str]) -> np.ndarray:
        """(n, K) of these clips; NaN where the file has none.

        Raises:
            InputError: it names one of them twice.
        """
        named = Named(self.names)
        rows = [named.rows(clip, path) for clip, path in zip(clip_ids, paths, strict=True)]
        if several := [clip for clip, of in zip(clip_ids, rows, strict=True) if len(of) > 1]:
            raise InputError(f"--raters {shown(self.path)} has several rows for {first(several)}: keep one of each")
        found = np.full((len(rows), len(self.classes)), np.nan)
        known = [i for i, of in enumerate(rows) if of]
        found[known] = self.values[[rows[i][0] for i in known]]
        return found

    def merged(self, wanted: list[str] | None) -> "Votes":
        """With excited counted as happy where the classes say so, see `labels.merge_excited`."""
        names = [merge_excited(label, wanted) for label in self.classes]
        classes = ordered(names)
        values = np.stack([self.values[:, [name == label for name in names]].sum(axis=1) for label in classes], axis=1)
        return Votes(self.path, self.name, self.names, classes, values)


def majority(votes: np.ndarray) -> np.ndarray:
    """(n, K) bool: the classes with the most votes of each clip, several where they tie; none without votes."""
    most = votes.max(axis=1, keepdims=True)
    return (votes >= most - 1e-9) & (most > 0)


def read(path: Path) -> Votes:
    """Read and check a file, or the folder of IEMOCAP's release.

    Raises:
        InputError: it holds no votes.
    """
    if path.is_dir():
        return _named(path, *_of_iemocap(path))
    wrong = f"--raters {shown(path)}"
    columns, fields = table_rows(path, wrong, "give a CSV", "a header and one row per clip")
    rows = [dict(zip(columns, row, strict=True)) for row in fields]
    if {"filename", "voicevote"} <= set(columns):
        return _named(path, *_of_summary(wrong, rows))
    key = next((column for column in KEYS if column in columns), "")
    if set(_LETTERS) | {"filename", "numresponses"} <= set(columns):
        labels = _LETTERS
        rows = [row for row in rows if row[""].startswith("1")]  # 2: of the picture, 3: of both
    else:
        labels = vote_columns(columns)
    if not key or len(labels) < 2 or len(set(labels.values())) < len(labels):
        raise InputError(
            f"{wrong} needs a column {', '.join(KEYS[:-1])} or {KEYS[-1]} and one column per emotion, such as "
            f"votes_angry; it has {first(columns, 8)}"
        )
    values = np.array([[_number(wrong, row, column, key) for column in labels] for row in rows])
    return _named(path, [row[key] for row in rows], list(labels.values()), values)


def _named(path: Path, names: list[str], classes: list[str], values: np.ndarray) -> Votes:
    if not len(values):
        raise InputError(f"--raters {shown(path)} holds no votes: give a table of them, or IEMOCAP's release")
    order = [classes.index(label) for label in ordered(classes)]
    values = np.ascontiguousarray(values[:, order], dtype=np.float64)
    digest = hashlib.sha256("\n".join([*names, *ordered(classes)]).encode() + values.tobytes()).hexdigest()
    stem = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_") or "table"
    return Votes(path, f"{stem[:40]}_{digest[:8]}", names, ordered(classes), values)


def _number(wrong: str, row: dict[str, str], column: str, key: str) -> float:
    try:
        value = float(row[column] or 0)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise InputError(f"{wrong}: column {column} has {row[column]!r} for {row[key]}: write a vote or probability")
    return value


def _of_summary(wrong: str, rows: list[dict[str, str]]) -> tuple[list[str], list[str], np.ndarray]:
    letters = list(_LETTERS)
    values = np.zeros((len(rows), len(letters)))
    for row, of in zip(rows, values, strict=True):
        tied = row["voicevote"].lower().split(":")
        if not set(tied) <= set(letters):
            raise InputError(f"{wrong}: column VoiceVote has {row['voicevote']!r} for {row['filename']}")
        of[[letters.index(letter) for letter in tied]] = 1 / len(tied)
    return [row["filename"] for row in rows], [_LETTERS[letter] for letter in letters], values


def _of_iemocap(folder: Path) -> tuple[list[str], list[str], np.ndarray]:
    names, found = [], []
    for file in iemocap.label_files(folder):
        text = file.read_text(encoding="utf-8", errors="replace")
        turns = list(_TURN.finditer(text))
        for turn, following in zip(turns, [*turns[1:], None], strict=True):
            block = text[turn.end() : following.start() if following else None]
            votes: dict[str, float] = {}
            for said in _EVALUATOR.findall(block):
                words = [canonical(word) for word in said.split(";") if word.strip()]
                for word in words:
                    votes[word] = votes.get(word, 0) + 1 / len(words)
            names.append(turn[1])
            found.append(votes)
    classes = ordered(label for votes in found for label in votes)
    return names, classes, np.array([[votes.get(label, 0.0) for label in classes] for votes in found])
