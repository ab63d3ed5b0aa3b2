"""Any other corpus: a CSV with the columns `path` and `emotion`, one row per clip.

Columns `speaker`, `session`, `sentence` and `gender` are used if they are there; others are ignored. Paths are
relative to the CSV's folder, or else to the project's root. Fields are separated by commas or tabs; the encoding
is UTF-8, with or without byte-order mark. The corpus is named after the file: `My Clips.csv` -> `my_clips`.
"""

import csv
import io
import os
import re
from collections import Counter
from pathlib import Path

from speechemb.corpora.clip import Clip
from speechemb.errors import InputError, first
from speechemb.labels import canonical
from speechemb.paths import ROOT, shown

REQUIRED = ("path", "emotion")
OPTIONAL = ("speaker", "session", "sentence", "gender")
_GENDERS = {"f": "female", "woman": "female", "m": "male", "man": "male"}


def corpus_name(file: Path) -> str:
    """The corpus's name: the file's, in lower case, with underscores for everything but letters and digits."""
    name = re.sub(r"[^a-z0-9]+", "_", file.stem.lower()).strip("_")
    if not name or name.endswith("_excluded"):
        raise InputError(f"{shown(file)}: a corpus cannot be named after this file: rename it, as in my_clips.csv")
    return name


def clips(file: Path) -> list[Clip]:
    """One clip per row of the CSV."""
    corpus, rows = corpus_name(file), _rows(file)
    paths = [_locate(file, row["path"]) for _, row in rows]
    return [
        Clip(
            clip_id=f"{corpus}/{name}",
            path=path,
            corpus=corpus,
            emotion=canonical(row["emotion"]),
            speaker=row.get("speaker", ""),
            session=row.get("session", ""),
            sentence=row.get("sentence", ""),
            gender=_GENDERS.get(row.get("gender", "").lower(), row.get("gender", "").lower()),
        )
        for (_, row), path, name in zip(rows, paths, _names(file, paths), strict=True)
    ]


def _rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and fields of every row, without spaces around them."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
        if "\0" in text:
            raise csv.Error("it holds NUL bytes")
        comma = "\t" if "\t" in text.partition("\n")[0] else ","
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=comma, strict=True)
        columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
        _check_columns(file, columns)
        reader.fieldnames = columns
        rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise InputError(f"{shown(file)} is missing: give --corpora table:FILE.csv") from None
    except IsADirectoryError:
        raise InputError(f"{shown(file)} is a folder: give --corpora table:FILE.csv") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{shown(file)} is not a CSV in UTF-8 ({error}): save it as one") from None
    wide = [str(line) for line, row in rows if None in row]
    if wide:
        raise InputError(f"{shown(file)}: more fields than columns in row {first(wide)}: quote fields that hold commas")
    rows = [(line, {name: (field or "").strip() for name, field in row.items()}) for line, row in rows]
    for column in REQUIRED:
        if empty := [str(line) for line, row in rows if not row[column]]:
            raise InputError(f"{shown(file)}: column {column} is empty in row {first(empty)}: fill it in")
    if not rows:
        raise InputError(f"{shown(file)} lists no clip: add one row per clip, with path and emotion")
    return rows


def _check_columns(file: Path, columns: list[str]) -> None:
    for column in REQUIRED:
        if column not in columns:
            raise InputError(
                f"{shown(file)} has no column {column} (found: {', '.join(columns) or 'none'}): it needs "
                f"{' and '.join(REQUIRED)}, and may have {', '.join(OPTIONAL)}"
            )
    if twice := [name for name in REQUIRED + OPTIONAL if columns.count(name) > 1]:
        raise InputError(f"{shown(file)} has column {first(twice)} twice: keep one")


def _locate(file: Path, text: str) -> Path:
    """Absolute path of a clip: in the CSV's folder, unless it exists only below the project's root."""
    # os.path, because Path.exists raises for names that are not valid file names
    beside, below_root = (os.path.normpath(folder / text) for folder in (file.parent, ROOT))
    return Path(below_root if os.path.exists(below_root) and not os.path.exists(beside) else beside)


def _names(file: Path, paths: list[Path]) -> list[str]:
    """The shortest unique names: stems, or else paths within the common folder, without or with suffix."""
    if len(set(paths)) < len(paths):
        twice = [path.name for path, n in Counter(paths).items() if n > 1]
        raise InputError(f"{shown(file)} lists a file twice: {first(twice)}: keep one row of each")
    common = Path(os.path.commonpath([path.parent for path in paths]))
    within = [path.relative_to(common) for path in paths]
    for names in ([path.stem for path in paths], [path.with_suffix("").as_posix() for path in within]):
        if len(set(names)) == len(names):
            return names
    return [path.as_posix() for path in within]
