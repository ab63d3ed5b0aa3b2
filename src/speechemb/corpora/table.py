"""Any other corpus: a CSV with the columns `path` and `emotion`, one row per clip.

Columns `speaker`, `session`, `sentence` and `gender` are used if they are there; columns of numbers are kept as targets
of step 3 (see `ratings`); others are ignored. In those four, UNKNOWN words count as unknown. With `start` and `end`
(seconds, or `0 days 00:00:01.5`) a row is a part of its file, see `audio.segments`; other columns that would make it
one are refused. `shapes` lists names of columns, and published tables, that are also recognised. Paths are relative to
the CSV's folder, or else to the project's root; they may have Windows' backslashes, and their letters may be composed
or decomposed. URLs of object storage (`s3://bucket/a.wav`) are read through fsspec. Fields are separated by commas,
tabs, semicolons or bars; the encoding is UTF-8, with or without byte-order mark. The corpus is named after the file:
`My Clips.csv` -> `my_clips`.
"""

import csv
import io
import logging
import os
import re
import sys
import unicodedata
from collections import Counter
from functools import lru_cache
from pathlib import Path

from speechemb.audio.files import is_formula, is_video, table_text
from speechemb.audio.segments import Segment, file_of, part_of, seconds_of, with_segment
from speechemb.corpora import ratings, shapes
from speechemb.corpora.clip import Clip
from speechemb.errors import InputError, first
from speechemb.labels import canonical
from speechemb.paths import ROOT, remote, shown

REQUIRED = ("path", "emotion")
OPTIONAL = ("speaker", "session", "sentence", "gender")
UNKNOWN = {"unknown", "unk", "undefined", "nan", "<na>", "na", "n/a", "#n/a", "none", "null", "-", "--", "?"}
_NAMES = {";": "semicolons", "|": "bars"}
SEPARATORS = ",\t;|"
# Words in the names of columns that say where in a file a row's clip lies.
_SEGMENT = re.compile(
    "(start|begin|beginning|onset|offset|end|stop|finish|xmin|xmax|tmin|tmax|dur|duration|segment)"
    "(time|sec|second|ms|s|frame|sample)*"
)
GENDERS = {"f": "female", "woman": "female", "m": "male", "man": "male"}

log = logging.getLogger(__name__)


def corpus_name(file: Path) -> str:
    """The corpus's name: the file's, in lower case, with underscores for everything but letters and digits."""
    name = re.sub(r"[^a-z0-9]+", "_", file.stem.lower()).strip("_")
    if not name or name.endswith("_excluded"):
        raise InputError(f"{shown(file)}: a corpus cannot be named after this file: rename it, as in my_clips.csv")
    return name


def clips(file: Path, ties: bool = False) -> list[Clip]:
    """One clip per row of the CSV; `ties`: also those on which raters tie, see `shapes`."""
    corpus = corpus_name(file)
    shape, rows, numbers = _rows(file, ties)
    texts = [row["path"] for _, row in rows]
    paths = shape.find(file, texts) if shape.find else [_locate(file, text, shape.folders) for text in texts]
    shapes.refuse_videos(file, [path for path in paths if is_video(path)])
    parts = [_segment(file, line, row) for line, row in rows]
    paths = [with_segment(path, part) for path, part in zip(paths, parts, strict=True)]
    if len(set(paths)) < len(paths):
        twice = [path.name for path, n in Counter(paths).items() if n > 1]
        raise InputError(f"{shown(file)} lists a file twice: {first(twice)}: keep one row of each")
    return [
        Clip(
            clip_id=f"{corpus}/{name}",
            path=path,
            corpus=corpus,
            emotion=canonical(row["emotion"]),
            speaker=row.get("speaker", ""),
            session=row.get("session", ""),
            sentence=row.get("sentence", ""),
            gender=GENDERS.get(row.get("gender", "").lower(), row.get("gender", "").lower()),
            numbers=of_row,
            excluded=row.get("excluded", ""),
        )
        for (_, row), path, name, of_row in zip(rows, paths, clip_names(paths), numbers, strict=True)
    ]


def _segment(file: Path, line: int, row: dict[str, str]) -> Segment | None:
    """The part of its file that a row is; None for the whole.

    Raises:
        InputError: its times are none, or are in the wrong order.
    """
    if "start" not in row:
        return None
    times = []
    for column in shapes.TIMES:
        try:
            times.append(seconds_of(row[column]))
        except ValueError:
            raise InputError(
                f"{shown(file)}: column {column} has {row[column]!r} in row {line}: write seconds from the file's "
                "beginning, such as 1.5, or 0 days 00:00:01.5"
            ) from None
    start, end = times[0] or 0.0, times[1]
    if end is not None and end <= start:
        raise InputError(
            f"{shown(file)}: the segment of row {line} ends at {end:g} s, not after its start, {start:g} s"
        )
    return Segment(start, end) if start or end is not None else None


def _rows(file: Path, ties: bool) -> tuple[shapes.Shape, list[tuple[int, dict[str, str]]], list[ratings.Numbers]]:
    """The table's shape; line number and fields of every row, without spaces around them; the numbers of every row."""
    text = table_text(file, shown(file), "give --corpora table:FILE.csv")
    try:
        separator, text = _separator(text)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
        shape = shapes.of(columns, ties)
        _check_columns(file, columns, shape)
        reader.fieldnames = columns
        wide, rows, others = [], [], []
        names = ratings.candidates(columns, [*REQUIRED, *OPTIONAL, *shape.used, *filter(_is_segment, columns)])
        for row in reader:
            if None in row:
                wide.append(str(reader.line_num))
            plain = {name: (text or "").strip() for name, text in row.items() if name is not None}
            rows.append((reader.line_num, _interned(shape.of_row(plain))))
            others.append(_interned({name: plain[name] for name in names}))
    except csv.Error as error:
        raise InputError(f"{shown(file)} is not a CSV in UTF-8 ({error}): save it as one") from None
    except ValueError as error:  # of the shape
        raise InputError(f"{shown(file)}: {error}") from None
    if wide:
        raise InputError(f"{shown(file)}: more fields than columns in row {first(wide)}: quote fields that hold commas")
    if not rows:
        raise InputError(f"{shown(file)} lists no clip: add one row per clip, with path and emotion")
    _drop_unknown(file, rows)
    _check_fields(file, rows)
    if "split" in columns:
        log.info("%s: column split is not used here; step 3 takes it with --folds %s", shown(file), shown(file))
    if separator in _NAMES:
        log.info("%s: fields are separated by %s", shown(file), _NAMES[separator])
    if said := shape.said():
        log.info("%s: %s", shown(file), said)
    _say_labels(file, [row["emotion"] for _, row in rows])
    return shape, rows, ratings.numbers_of(shown(file), others, names, UNKNOWN)


def _interned(fields: dict[str, str]) -> dict[str, str]:
    """Words that many rows share are held once."""
    return {name: sys.intern(text) for name, text in fields.items()}


def _say_labels(file: Path, labels: list[str]) -> None:
    """Name the spellings that are read as another label."""
    read_as: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        if canonical(label) != label.lower():
            read_as.setdefault(canonical(label), []).append(label)
    if read_as:
        words = [f"{', '.join(spellings)} as {label}" for label, spellings in read_as.items()]
        log.info("%s: labels found: %s", shown(file), "; ".join(words))


def _separator(text: str) -> tuple[str, str]:
    """What separates the fields, and the text; without the line `sep=;` in which Excel may name it."""
    header, _, rest = text.partition("\n")
    if named := re.fullmatch(r'"?sep=(.)"?\r?', header):
        return named[1], rest
    for separator in SEPARATORS:
        columns = [name.strip().lower() for name in next(csv.reader([header], delimiter=separator), [])]
        if not _lacking(shapes.of(columns)):
            return separator, text
    return ",", text


def _drop_unknown(file: Path, rows: list[tuple[int, dict[str, str]]]) -> None:
    """Empty the fields that say that something is unknown, and say which."""
    found = Counter()
    for _, row in rows:
        for column in OPTIONAL:
            if (word := row.get(column, "")).lower() in UNKNOWN:
                found[f"{column} {word}"] += 1
                row[column] = ""
    if found:
        words = first([f"{word} ({n})" for word, n in found.most_common()], 5)
        log.info("%s: counted as unknown: %s", shown(file), words)


def _check_fields(file: Path, rows: list[tuple[int, dict[str, str]]]) -> None:
    for column in REQUIRED:
        if empty := [str(line) for line, row in rows if not row[column]]:
            raise InputError(f"{shown(file)}: column {column} is empty in row {first(empty)}: fill it in")
    for column in ("emotion", *OPTIONAL):
        if formulas := [str(line) for line, row in rows if is_formula(row.get(column, ""))]:
            raise InputError(
                f"{shown(file)}: column {column} begins with = + - @ in row {first(formulas)}, which a spreadsheet "
                "would run as a formula: give it another name"
            )


def _lacking(shape: shapes.Shape) -> list[str]:
    """The columns that a table of this shape lacks."""
    return [column for column in REQUIRED if column not in (*shape.columns, *shape.made)]


def _check_columns(file: Path, columns: list[str], shape: shapes.Shape) -> None:
    for column in _lacking(shape):
        raise InputError(
            f"{shown(file)} has no column {column} (found: {', '.join(columns) or 'none'}): it needs "
            f"{' and '.join(REQUIRED)}, and may have {', '.join(OPTIONAL)}, start and end"
        )
    parts = [name for name in columns if _is_segment(name)]
    if parts and shape.name != "MELD" and not set(shapes.TIMES) <= set(shape.columns):
        raise InputError(
            f"{shown(file)} has columns of segments ({', '.join(parts)}), and the whole file would get a segment's "
            "label: write them as start and end, both in seconds, or drop the columns if rows are whole files"
        )
    if twice := [name for name in shape.columns.values() if columns.count(name) > 1]:
        raise InputError(f"{shown(file)} has column {first(twice)} twice: keep one")


def _is_segment(column: str) -> bool:
    """Whether a column says where in a file the clip lies; step 1's own duration_s is of whole files."""
    return column != "duration_s" and any(_SEGMENT.fullmatch(word) for word in re.split(r"[^a-z]+", column))


def _locate(file: Path, text: str, folders: tuple[str, ...] = (".",)) -> Path:
    """Absolute path of a clip: in `folders` of the CSV's, unless it exists only below the project's root.

    Or a remote one. A part of a file, as in step 1's own tables, stays one.
    """
    if part := part_of(text):
        return with_segment(_locate(file, str(file_of(text)), folders), part)
    if url := remote(text):
        if url != remote(Path(text)) or ".." in Path(text).parts or "::" in url:
            raise InputError(
                f"{shown(file)}: path {text} is not the plain URL of a file: write it without //, .. or ::"
            )
        return Path(text)
    # os.path, because Path.exists raises for names that are not valid file names, and Path joins slowly
    for folder in (*(file.parent / name for name in folders), ROOT):
        for spelled in dict.fromkeys((text, text.replace("\\", "/"))):
            path = os.path.normpath(os.path.join(folder, spelled))
            if os.path.lexists(path) or (path := _respelled(path)):
                return Path(path)
    return Path(os.path.normpath(os.path.join(file.parent, text)))


def _respelled(path: str) -> str | None:
    """The path that exists and differs only in how its letters are composed: one `ü`, or `u` and two dots."""
    if path.isascii():
        return None
    found = Path(path).anchor
    for part in Path(path).parts[1:]:
        within = os.path.join(found, part)
        found = within if os.path.lexists(within) else _entries(found).get(unicodedata.normalize("NFC", part), "")
        if not found:
            return None
    return found


@lru_cache(maxsize=256)
def _entries(folder: str) -> dict[str, str]:
    """The paths in a folder by their names, composed."""
    try:
        return {unicodedata.normalize("NFC", name): os.path.join(folder, name) for name in os.listdir(folder)}
    except OSError:
        return {}


def clip_names(paths: list[Path]) -> list[str]:
    """The shortest unique names of their files, with the times of those that are parts of one: `a_1.5-4.2`."""
    recordings = [file_of(path) for path in paths]
    unique = list(dict.fromkeys(recordings))
    named, parts = dict(zip(unique, _unique_names(unique), strict=True)), map(part_of, paths)
    return [named[of] + (f"_{part.name}" if part else "") for of, part in zip(recordings, parts, strict=True)]


def _unique_names(paths: list[Path]) -> list[str]:
    """Stems, or else paths within the common folder, without or with suffix."""
    if len(set(names := [path.stem for path in paths])) == len(names):
        return names
    rooted = [Path("/", path) for path in paths]  # URLs are relative
    common = os.path.commonpath([path.parent for path in rooted])
    within = [path.relative_to(common) for path in rooted]
    if len(set(names := [path.with_suffix("").as_posix() for path in within])) == len(names):
        return names
    return [path.as_posix() for path in within]
