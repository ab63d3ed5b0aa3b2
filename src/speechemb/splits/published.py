"""Folds that somebody published, from a table: which speakers, sessions or clips a fold trains on and tests.

The table (CSV) has one key column, one of KEYS, and one of three kinds of further columns:

| columns | values | |
|---|---|---|
| `split` | train, development, test | one fold |
| `fold1`, `fold2`, ... | train, development, test | one fold per column |
| `fold` or `test_fold` | a fold's name | the fold that tests these clips; all others train on them |

An empty value: not used in that fold. Other columns are ignored, so that a corpus's own table with a `split` column can
be given. Development clips are neither trained on nor tested: whatever is chosen is chosen inside the training part.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from speechemb.artifacts.clip_names import Named
from speechemb.audio.files import table_rows
from speechemb.errors import InputError, first
from speechemb.paths import shown
from speechemb.splits import TABLE
from speechemb.splits.folds import Fold

KEYS = ("clip_id", "path", "file", "speaker", "session")
_USES = {
    "train": ("train", "training"),
    "development": ("development", "dev", "validation", "valid", "val"),
    "test": ("test", "testing"),
}
_USE_OF = {word: use for use, words in _USES.items() for word in words} | {"": ""}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}")
_COLUMN = re.compile(r"split|(test_?)?fold[ _]?[a-z0-9_]{0,20}")


@dataclass(frozen=True)
class Published:
    """The table: its key column, its keys (m,), and what each fold does with them, fold -> (m,) train, test or other.

    `name` is the file's, with the first digits of a hash of the content: runs under other tables are not comparable.
    """

    path: Path
    name: str
    key: str
    keys: list[str]
    uses: dict[str, list[str]]

    def folds(self, clip_ids: np.ndarray, corpora: np.ndarray, values: np.ndarray, audio: np.ndarray) -> list[Fold]:
        """The folds over clips, given by string arrays (n,); `values` are their speakers, sessions or clip ids.

        A training clip whose audio is also tested in that fold is not trained on.

        Raises:
            InputError: the table does not name a clip's key, tests a clip twice, or leaves a fold without clips.
        """
        row = self._rows(clip_ids, corpora, values)
        made, tested = [], np.zeros(len(row), int)
        for name, uses in self.uses.items():
            use = np.array(uses)[row]
            test = use == "test"
            train = (use == "train") & ~np.isin(audio, audio[test])
            if not test.any() or not train.any():
                self._refuse(f"fold {name} has no clip to {'train on' if test.any() else 'test'} among those given")
            tested += test
            made.append(Fold(name, np.flatnonzero(train), np.flatnonzero(test)))
        if (tested > 1).any():
            self._refuse(f"several folds test {first(clip_ids[tested > 1].tolist())}: let one fold test a clip")
        return made

    def _rows(self, clip_ids: np.ndarray, corpora: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The table's row of every clip, (n,)."""
        if self.key in ("clip_id", "path", "file"):
            named = Named(self.keys)
            rows, keys = [named.rows(clip) for clip in clip_ids.tolist()], clip_ids.tolist()
            found = [of[0] if len(of) == 1 else -1 for of in rows]
        else:
            number = {key: i for i, key in enumerate(self.keys)}
            keys = [f"{a}/{b}" if b else "" for a, b in zip(corpora.tolist(), values.tolist(), strict=True)]
            forms = zip(keys, values.tolist(), strict=True)
            found = [next((number[form] for form in of if form and form in number), -1) for of in forms]
        if lost := sorted({key or clip for key, i, clip in zip(keys, found, clip_ids, strict=True) if i < 0}):
            self._refuse(
                f"column {self.key} does not name {first(lost)}: add a row for each; an empty value leaves it out"
            )
        return np.array(found)

    def _refuse(self, what: str) -> None:
        raise InputError(f"--folds {shown(self.path)}: {what}")


def read(path: Path) -> Published:
    """Read and check the table.

    Raises:
        InputError: it is no such table.
    """
    wrong = f"--folds {shown(path)}"
    columns, rows = table_rows(path, wrong, "give a CSV", "a header and one row for each speaker, session or clip")
    frame = pd.DataFrame(rows, columns=columns)
    key = next((column for column in KEYS if column in frame.columns), None)
    columns = [column for column in frame.columns if _COLUMN.fullmatch(column)]
    if key is None or not columns:
        raise InputError(
            f"{wrong} needs a column {', '.join(KEYS[:-1])} or {KEYS[-1]}, and split, fold1 fold2 ... or test_fold: "
            f"it has {first(list(frame.columns), 8)}"
        )
    if (bad := frame[key] == "").any() or (bad := frame[key].duplicated()).any():
        rows = first([str(i + 2) for i in np.flatnonzero(bad)])
        raise InputError(f"{wrong}: column {key} is empty or names something twice in row {rows}")
    uses = {column: [_USE_OF.get(value.lower(), "?") for value in frame[column]] for column in columns}
    words = any({"train", "test"} & set(of) for of in uses.values())
    if len(columns) == 1 and not words:
        names = sorted(set(frame[columns[0]]) - {""}, key=lambda name: (len(name), name))
        if len(names) < 2 or (odd := [name for name in names if not _NAME.fullmatch(name)]):
            what = f"holds {first(odd)}" if len(names) > 1 else "names fewer than two folds"
            raise InputError(
                f"{wrong}: column {columns[0]} {what}: write train, development and test, or names of folds such as 1"
            )
        uses = {name: _one_tests(frame[columns[0]], name) for name in names}
    elif strange := [(column, i) for column, of in uses.items() for i, use in enumerate(of) if use == "?"]:
        column, i = strange[0]
        raise InputError(
            f"{wrong}: column {column} has {frame[column][i]!r} in row {i + 2}: write train, development or test"
        )
    content = pd.DataFrame(frame[[key, *columns]]).sort_values(key).to_csv(index=False)
    digest = hashlib.sha256(content.encode()).hexdigest()
    stem = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_") or "table"
    return Published(path, f"{TABLE}{stem[:60]}_{digest[:8]}", key, frame[key].tolist(), uses)


def _one_tests(column: pd.Series, name: str) -> list[str]:
    return ["" if value == "" else "test" if value == name else "train" for value in column]
