"""Copies of IEMOCAP and CREMA-D on the Hugging Face hub, saved as audio files below `data/<corpus>/hub/`.

Zahra99/IEMOCAP_Audio   splits session1 .. session5, the 5,531 turns of the four-class set; `audio`, `label`.
                        The speaker is known only where the audio record has the turn's name.
AbstractTTS/IEMOCAP     10,039 turns; `file`, `major_emotion`; 6,877 in the four-class set
AbstractTTS/CREMA-D     7,442 clips, `file`, `major_emotion`
confit/cremad-parquet   the same in splits train, validation, test; `file`, `emotion`, `label`

Any other data set with an `audio` column is read in the same way. Its labels come from the names of its files, or from
one of LABEL_COLUMNS. Audio is not decoded here, so neither torchcodec nor ffmpeg is needed; `datasets` needs both for
data sets of plain audio files, which are to be downloaded as folders. The content of a data set, its file names above
all, is untrusted.
"""

import logging
import re
import sys
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from speechemb import terminal
from speechemb.artifacts.atomic import atomic
from speechemb.audio.files import is_formula
from speechemb.corpora import cremad, iemocap, ratings
from speechemb.corpora.clip import Clip
from speechemb.errors import InputError, first
from speechemb.labels import canonical, vote_columns
from speechemb.paths import shown

log = logging.getLogger(__name__)

DEFAULTS = {"iemocap": "Zahra99/IEMOCAP_Audio", "cremad": "AbstractTTS/CREMA-D"}
LABEL_COLUMNS = ("major_emotion", "emotion", "label")
NOTICES = {
    "AbstractTTS/IEMOCAP": "its four-class subset has 6,877 turns, so results are not comparable to those on "
    "the 5,531 of the literature (Zahra99/IEMOCAP_Audio has these)"
}
_MODULES = {"iemocap": iemocap, "cremad": cremad}
_STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SUFFIX = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"FORM": ".aiff"}  # by the first four bytes


def read(corpus: str, source: str, folder: Path) -> tuple[list[Clip], str, Path]:
    """The clips of a hub copy, `<hub id>@<commit>`, and the folder below `folder` that its audio was saved in.

    `source` is `hub`, for the corpus's usual copy, or `<hub id>[@revision]`.
    """
    hub_id, _, revision = (DEFAULTS[corpus] if source == "hub" else source).partition("@")
    if not _HUB_ID.fullmatch(hub_id):
        raise InputError(f"--{corpus}-source {source}: choose local, hub or a hub id, as {DEFAULTS[corpus]}[@revision]")
    commit, splits = _load(corpus, hub_id, revision or "main")
    if hub_id in NOTICES:
        log.warning("%s: %s", hub_id, NOTICES[hub_id])
    target = folder / hub_id.replace("/", "--")
    clips, taken, differing = [], set(), []
    for split, row, name, label, data, numbers in _rows(hub_id, splits):
        stem = _stem(name, taken, f"{split}_{row:05d}")
        path = target / (stem + _SUFFIX.get(data[:4], ".mp3"))
        _write_once(path, data)
        known = _describe(corpus, name, split, label)
        known["numbers"] = (*known.get("numbers", ()), *numbers)
        if label and known["emotion"] != label:
            differing.append(stem)
        clips.append(Clip(clip_id=f"{corpus}/{stem}", path=path, corpus=corpus, **known))
    if differing:
        log.warning(
            "%s: the labels of %d clips differ from their names (%s): the acted emotion in the name is used",
            hub_id,
            len(differing),
            first(differing),
        )
    _write_scores(target / "raters.csv", splits, [clip.clip_id for clip in clips])
    return clips, f"{hub_id}@{commit}", target


def _write_scores(path: Path, splits: dict[str, Any], clip_ids: list[str]) -> None:
    """The scores of raters by emotion, where a copy has them, as a table for step 3; its columns are numbers."""
    parts = []
    for rows in splits.values():
        numbers = [name for name, of in rows.features.items() if str(getattr(of, "dtype", "")).startswith("float")]
        known = vote_columns([name.lower() for name in numbers])
        parts.append(rows.select_columns([name for name in numbers if name.lower() in known]).to_pandas())
    if any(len(part.columns) < 2 for part in parts):
        return
    import pandas as pd

    table = pd.concat(parts, ignore_index=True).round(6)
    table.insert(0, "clip_id", clip_ids)
    _write_once(path, table.to_csv(index=False, lineterminator="\n").encode())
    log.info("scores by emotion: give them to step 3 with --raters %s", shown(path))


def _load(corpus: str, hub_id: str, revision: str) -> tuple[str, dict[str, Any]]:
    """The data set's commit and its splits, audio undecoded; every failure becomes an `InputError`."""
    import datasets

    from speechemb import huggingface

    module = _MODULES[corpus]
    local = f"get the corpus from {module.SOURCE} into data/{module.FOLDER}, or give its folder with --data-dir"
    with huggingface.readable(f"--{corpus}-source {hub_id}@{revision}", hub_id, "dataset", local):
        commit = huggingface.commit(hub_id, "dataset", revision)
        loaded = _splits(hub_id, commit)
    # Without a network, datasets gives any commit it has in its cache; the cache folder has the commit's name.
    cached = {Path(file["filename"]).parent.name for rows in loaded.values() for file in rows.cache_files}
    if cached != {commit}:
        raise InputError(
            f"--{corpus}-source {hub_id}@{revision}: the hub cannot be reached, and the cache here holds another "
            f"commit ({first(sorted(cached))}): try again with a network, or give no revision after the @"
        )
    undecoded = datasets.Audio(decode=False)
    for split, rows in loaded.items():
        if "audio" not in rows.column_names:
            raise InputError(f"{hub_id} has no column audio (found: {', '.join(rows.column_names)}): {local}")
        loaded[split] = rows.cast_column("audio", undecoded)
    return commit, dict(loaded)


def _splits(hub_id: str, commit: str) -> Any:
    """What `datasets` makes of the data set at this commit."""
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(hub_id, revision=commit)
    except Exception as error:
        if not isinstance(error, ImportError) and not isinstance(error.__cause__, ImportError):
            raise
        raise InputError(
            f"{hub_id} consists of plain audio files, which are not read from the hub: fetch them with `hf download "
            f"{hub_id} --repo-type dataset --local-dir FOLDER`, and give the folder with --data-dir, or list its files "
            "in a table"
        ) from None


def _rows(hub_id: str, splits: dict[str, Any]) -> Iterator[tuple[str, int, str, str, bytes, ratings.Numbers]]:
    """Split, row number, name, label (canonical; may be empty), undecoded audio and ratings of every row."""
    for split, rows in splits.items():
        column = next((name for name in LABEL_COLUMNS if name in rows.column_names), "")
        names = getattr(rows.features.get(column), "names", None)  # a ClassLabel holds numbers
        for number, row in enumerate(terminal.bar(rows, "clips", title=split)):
            record, label = row["audio"] or {}, row.get(column)
            if not (data := record.get("bytes")):
                raise InputError(f"{hub_id}: row {number} of {split} holds no audio: choose another copy or --data-dir")
            if names and label is not None:
                label = names[label] if label >= 0 else ""  # -1: not labelled
            name = Path(re.split(r"[\\/]", row.get("file") or record.get("path") or "")[-1]).stem
            yield split, number, name, _safe_label(label), data, _ratings(row)


def _ratings(row: dict[str, Any]) -> ratings.Numbers:
    """Arousal, valence and dominance of a row, as far as it has them."""
    named = {ratings.name_of(column): value for column, value in row.items()}
    found = {name: named.get(name) for name in ratings.DIMENSIONS}
    return tuple(
        (name, float(value)) for name, value in found.items() if isinstance(value, float | int) and isfinite(value)
    )


def _safe_label(label: object) -> str:
    """The label in canonical spelling; empty where a spreadsheet would run it as a formula."""
    text = canonical(str(label or ""))
    return "" if is_formula(text) else text


def _describe(corpus: str, name: str, split: str, label: str) -> dict[str, Any]:
    """The fields of `Clip` for one row; a name that follows the corpus's naming overrides the columns."""
    known = _MODULES[corpus].describe(name)
    if known.get("excluded"):
        session = re.fullmatch(r"session([1-5])", split)
        known = {"session": f"Ses0{session[1]}"} if session and corpus == "iemocap" else {}
    known.setdefault("emotion", label)
    if not known["emotion"]:
        known["excluded"] = "no emotion label"
    return known


def _stem(name: str, taken: set[str], fallback: str) -> str:
    """A stem that cannot leave the folder and has not been used before (ignoring case)."""
    stem = name if _STEM.fullmatch(name) and name.lower() not in taken else fallback
    taken.add(stem.lower())
    return stem


def _write_once(path: Path, data: bytes) -> None:
    if path.is_file() and path.read_bytes() == data:
        return
    with atomic(path) as temporary:
        temporary.write_bytes(data)
