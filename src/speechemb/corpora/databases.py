"""audformat databases (audEERING's format: `db.yaml` and tables), through the audformat package, an extra.

The clips are those of the tables with a column `emotion`, or of the one named behind `#`. Speaker, gender and the like
come from their columns in these tables, from the fields of the scheme `speaker`, or from a table by file. A segment
without an end lasts to the end of its file.

A database may come from anywhere. Tables that were pickled are not read, and the header is read by YAML's safe loader.
"""

import tempfile
from pathlib import Path
from typing import Any

from speechemb.audio.files import is_formula, is_video
from speechemb.audio.segments import Segment, file_of, with_segment
from speechemb.corpora import shapes
from speechemb.corpora.clip import Clip
from speechemb.corpora.table import GENDERS, OPTIONAL, UNKNOWN, clip_names, corpus_name
from speechemb.errors import InputError, first
from speechemb.labels import canonical
from speechemb.paths import shown

WORD = "audformat:"
REMEDY = "give --corpora audformat:FOLDER, the folder of a database's db.yaml"


def folder_and_table(word: str) -> tuple[str, str]:
    """`audformat:FOLDER#TABLE` in two; the table is empty where none is named."""
    folder, _, table = word.removeprefix(WORD).partition("#")
    return folder, table


def clips(folder: Path, table: str = "") -> list[Clip]:
    """One clip per row of the database's tables of emotions.

    Raises:
        InputError: audformat is not installed, the folder holds no database or no such table, or a clip has two labels.
    """
    corpus, db = corpus_name(folder), _header(folder)
    names = _tables(folder, db, table)
    rows: dict[Path, dict[str, str]] = {}
    for name in names:
        frame = _frame(folder, db, name)
        for index, row in zip(frame.index, frame.to_dict("records"), strict=True):
            path = _path(folder, index)
            known = {key: _word(row.get(key)) for key in ("emotion", *OPTIONAL)}
            if path in rows and rows[path]["emotion"] != known["emotion"]:
                words = " and ".join(sorted({rows[path]["emotion"], known["emotion"]}))
                raise InputError(
                    f"{shown(folder)}: {path.name} is {words} in the tables {', '.join(names)}: name one of them, "
                    f"--corpora {WORD}{shown(folder)}#{names[0]}"
                )
            rows[path] = known
    shapes.refuse_videos(folder / "db.yaml", [path for path in rows if is_video(path)])
    if formulas := [path.name for path, row in rows.items() if any(is_formula(word) for word in row.values())]:
        raise InputError(f"{shown(folder)}: a spreadsheet would run a label or name of {first(formulas)} as a formula")
    known = _by_file(folder, db, names)
    return [
        _clip(corpus, name, path, rows[path], known) for name, path in zip(clip_names(list(rows)), rows, strict=True)
    ]


def _clip(corpus: str, name: str, path: Path, row: dict[str, str], known: dict[Path, dict[str, str]]) -> Clip:
    of_file = known.get(file_of(path), {})
    fields: dict[str, Any] = {key: row[key] or of_file.get(key, "") for key in OPTIONAL}
    fields["gender"] = GENDERS.get(fields["gender"].lower(), fields["gender"].lower())
    excluded = "" if row["emotion"] else "no emotion label"
    return Clip(f"{corpus}/{name}", path, corpus, canonical(row["emotion"]), **fields, excluded=excluded)


def _header(folder: Path) -> Any:
    """The database without its tables' rows."""
    try:
        import audformat  # pyright: ignore[reportMissingImports]
        import yaml
    except ImportError:
        raise InputError(f"{WORD} needs the audformat package: run `pip install -e .[audformat]`") from None
    file = folder / "db.yaml"
    if not file.is_file():
        raise InputError(f"{shown(folder)} holds no db.yaml: {REMEDY}")
    try:
        return audformat.Database.load_header_from_yaml(yaml.safe_load(file.read_text(encoding="utf-8")))
    except Exception as error:  # whatever a foreign header makes YAML and audformat raise
        why = (str(error).splitlines() or [""])[0]
        raise InputError(f"{shown(file)} is no header of an audformat database ({why}): {REMEDY}") from None


def _tables(folder: Path, db: Any, table: str) -> list[str]:
    names = [name for name in db.tables if "emotion" in db[name].columns]
    if table and table not in names:
        raise InputError(
            f"{shown(folder)} has no table {table} with a column emotion: choose from {first(names, 10) or 'none'}"
        )
    if not names:
        raise InputError(
            f"{shown(folder)}: no table has a column emotion (tables: {first(list(db.tables), 10)}): write the clips "
            "into a CSV and give --corpora table:FILE.csv"
        )
    return [table] if table else names


def _frame(folder: Path, db: Any, name: str) -> Any:
    """The rows of a table; speakers with the fields of their scheme."""
    files = [file for suffix in ("parquet", "csv") if (file := folder / f"db.{name}.{suffix}").is_file()]
    if not files:
        raise InputError(
            f"{shown(folder)} holds no db.{name}.csv or .parquet (pickled tables are not read, as they can run code): "
            "write it anew with audformat's Database.save"
        )
    with tempfile.TemporaryDirectory() as place:  # where no pickled copy of the table lies beside it
        (Path(place) / files[0].name).symlink_to(files[0].resolve())
        try:
            db[name].load(str(Path(place) / f"db.{name}"))
        except Exception as error:
            why = (str(error).splitlines() or [""])[0]
            raise InputError(f"{shown(files[0])} cannot be read as a table of its database ({why})") from None
    return _with_fields(db, db[name])


def _with_fields(db: Any, table: Any) -> Any:
    scheme = db.schemes.get(table.columns["speaker"].scheme_id) if "speaker" in table.columns else None
    labels = scheme.labels if scheme is not None else None
    if not isinstance(labels, dict) or not any(isinstance(of, dict) and "gender" in of for of in labels.values()):
        return table.get()
    if "gender" in table.columns:
        return table.get()
    return table.get(map={"speaker": ["speaker", "gender"]})


def _by_file(folder: Path, db: Any, taken: list[str]) -> dict[Path, dict[str, str]]:
    """What tables without emotions, one row per file, say about speakers, sessions, sentences and genders."""
    found: dict[Path, dict[str, str]] = {}
    for name in db.tables:
        if name in taken or db[name].type != "filewise" or not set(OPTIONAL) & set(db[name].columns):
            continue
        frame = _frame(folder, db, name)
        for index, row in zip(frame.index, frame.to_dict("records"), strict=True):
            known = {key: word for key in OPTIONAL if (word := _word(row.get(key)))}
            found.setdefault(_path(folder, index), {}).update(known)
    return found


def _path(folder: Path, index: Any) -> Path:
    """The file, or the part of it, that a row is about."""
    if isinstance(index, str):
        return folder / index
    import pandas as pd

    file, start, end = index
    until = None if pd.isna(end) else end.total_seconds()
    begin = 0.0 if pd.isna(start) else start.total_seconds()
    path = folder / file
    return with_segment(path, Segment(begin, until)) if begin or until is not None else path


def _word(value: Any) -> str:
    """A cell as a word; empty where it says that something is unknown."""
    text = "" if value is None else str(value).strip()
    return "" if text.lower() in UNKNOWN else text
