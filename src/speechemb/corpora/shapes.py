"""The columns of tables as corpora publish them, and what ours are called there.

audformat, nkululeko   file, start, end (seconds, or `0 days 00:00:01.5`), emotion, speaker, gender
MSP-Podcast            labels_consensus.csv: FileName, EmoClass (a letter; X: no agreement), SpkrID, Gender. Audio is
                       in `Audios` beside the table or its folder. Clips of one podcast are one session
MELD                   train_sent_emo.csv: Dialogue_ID, Utterance_ID, Emotion, Speaker; a clip is dia0_utt0. Its
                       StartTime and EndTime are those in the episode, from which the clips are cut already. A dialogue
                       is a session
raters                 no column of the label, but two or more called as emotions, with votes or probabilities: the
                       label is the one with the most. Clips on which raters tie are excluded, or kept with --ties

A column is one of ours by its own name first; by another one only where that is missing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from speechemb.audio import files
from speechemb.errors import InputError, first
from speechemb.labels import ordered, vote_columns
from speechemb.paths import shown

_CALLED = {
    "path": ("file", "filename", "file_name", "filepath", "file_path", "audio_path", "wav"),
    "emotion": ("emoclass", "emotion_label", "emotion_class"),
    "speaker": ("spkrid", "speaker_id", "speakerid", "spk"),
    "gender": ("sex",),
    "start": ("starttime", "begin", "begintime", "onset", "onsettime"),
    "end": ("endtime", "stop", "stoptime", "offset", "offsettime"),
}
TIMES = ("start", "end")
_UNITS = ("s", "sec", "secs", "seconds")
_MSP = {
    **{"A": "angry", "S": "sad", "H": "happy", "U": "surprised", "F": "fearful", "D": "disgust", "C": "contempt"},
    **{"N": "neutral", "O": "other"},
}
_MSP_FOLDERS = (".", "Audios", "Audio", "../Audios", "../Audio")
_COUNTERS = ("sr no.", "dialogue_id", "utterance_id", "season", "episode")  # of MELD
_SPLITS = {"train": ("train",), "dev": ("dev",), "test": ("test", "output_repeated")}  # MELD's folders


@dataclass(frozen=True)
class Shape:
    """How to read a table: `columns` says what ours are called in it, `fill` adds what one of its rows implies.

    `folders`: where audio may lie, from the table's. `find`: the files of all rows, where `path` is no path.
    """

    name: str
    columns: dict[str, str]
    fill: Callable[[dict[str, str]], dict[str, str]] = lambda row: {}
    folders: tuple[str, ...] = (".",)
    find: Callable[[Path, list[str]], list[Path]] | None = None
    note: str = ""
    made: tuple[str, ...] = field(default=())  # of our columns, those that `fill` makes
    others: tuple[str, ...] = ()  # columns that are no numbers of a clip, such as counters of its rows

    @property
    def used(self) -> list[str]:
        """The columns that are read as something, and those that count rows."""
        return [*self.columns.values(), *self.others]

    def of_row(self, row: dict[str, str]) -> dict[str, str]:
        """Our columns of a row, whose keys are in lower case."""
        return {ours: row[theirs] for ours, theirs in self.columns.items()} | self.fill(row)

    def said(self) -> str:
        """What is worth a line: columns read under another name; empty where there is none."""
        renamed = [f"{theirs} as {ours}" for ours, theirs in self.columns.items() if theirs != ours]
        words = [f"read as {self.name}" if self.name else "", ", ".join(renamed), self.note]
        return "; ".join(filter(None, words))


def of(columns: list[str], ties: bool = False) -> Shape:
    """The shape of a table with these columns, in lower case; `ties`: clips on which raters tie are kept."""
    found = {}
    for ours in ("path", "emotion", "speaker", "session", "sentence", "gender", "start", "end"):
        names = [name for name in columns if (_bare(name) if ours in TIMES else name) in _CALLED.get(ours, ())]
        plain = [name for name in columns if name == ours or (ours in TIMES and _bare(name) == ours)]
        if plain or names:
            found[ours] = (plain or names)[0]
    if found.get("end", "").startswith("offset") and not found.get("start", "").startswith("onset"):
        del found["end"]  # elsewhere an offset is where a clip begins
    if {"filename", "emoclass"} <= set(columns):
        return Shape(
            "MSP-Podcast", found, _of_msp, (".", "Audios", "Audio", "../Audios", "../Audio"), made=("session",)
        )
    if {"dialogue_id", "utterance_id", "emotion"} <= set(columns):
        note = "StartTime and EndTime are those in the episode, not in the clip: not used"
        kept = {ours: theirs for ours, theirs in found.items() if ours not in TIMES}
        if "path" in found:
            return Shape("MELD", kept, _dialogue, note=note, made=("session",), others=_COUNTERS)
        made = ("path", "session")
        return Shape("MELD", kept, _of_meld, find=_found_in_meld, note=note, made=made, others=_COUNTERS)
    if "emotion" not in found and len(labels := vote_columns(columns)) > 1:
        note = f"labels by the majority of {', '.join(labels)}; --raters of step 3 learns the distribution"
        return Shape("", found, partial(_of_votes, labels, ties), note=note, made=("emotion",), others=tuple(labels))
    return Shape("audformat" if {"file", "start", "end"} <= set(columns) else "", found)


def _bare(column: str) -> str:
    """`Start [s]`, `start_time` and `starttime_sec` without separators and a unit of seconds."""
    words = [word for word in re.split(r"[^a-z]+", column) if word]
    return "".join(words[:-1] if len(words) > 1 and words[-1] in _UNITS else words)


def _of_votes(labels: dict[str, str], ties: bool, row: dict[str, str]) -> dict[str, str]:
    """The label with the most votes; of several, the first in the project's order."""
    counts: dict[str, float] = {}
    for column, label in labels.items():
        try:
            counts[label] = counts.get(label, 0) + float(row[column] or 0)
        except ValueError:
            raise ValueError(f"column {column} has {row[column]!r}, which is no vote or probability") from None
    most = [label for label in ordered(counts) if counts[label] >= max(counts.values()) - 1e-9]
    excluded = (
        "no raters' votes" if not max(counts.values()) > 0 else "raters' votes tie" * (len(most) > 1 and not ties)
    )
    return {"emotion": most[0], "excluded": excluded}


def _of_msp(row: dict[str, str]) -> dict[str, str]:
    letter, podcast = row["emoclass"].upper(), re.match(r"MSP-PODCAST_\d+(?=_)", row["filename"])
    known = {"emotion": _MSP.get(letter, row["emoclass"]), "session": podcast[0] if podcast else ""}
    return known | ({"excluded": "the raters did not agree (X)"} if letter == "X" else {})


def _dialogue(row: dict[str, str]) -> dict[str, str]:
    return {"session": f"dia{row['dialogue_id']}"}


def _of_meld(row: dict[str, str]) -> dict[str, str]:
    return _dialogue(row) | {"path": f"dia{row['dialogue_id']}_utt{row['utterance_id']}"}


def _found_in_meld(table: Path, stems: list[str]) -> list[Path]:
    """The audio files of these clips, below the table's folder; of clips that are in several parts, in the table's own.

    Raises:
        InputError: there are videos only, or several files of one name.
    """
    own = next((words for part, words in _SPLITS.items() if table.name.lower().startswith(part)), ())
    places: dict[str, list[Path]] = {}
    for path in files.search(table.parent, suffixes=(*files.SUFFIXES, *files.VIDEOS))[0]:
        places.setdefault(path.stem, []).append(path)
    found, videos, several = [], [], []
    for stem in stems:
        of_stem = places.get(stem, [])
        inside = [path for path in of_stem if path.relative_to(table.parent).as_posix().lower().startswith(own or "")]
        sound = [path for path in inside or of_stem if not files.is_video(path)]
        videos += [] if sound else (inside or of_stem)[:1]
        several += [stem] if len(sound) > 1 else []
        found.append(sound[0] if sound else table.parent / f"{stem}.wav")
    refuse_videos(table, videos)
    if several:
        raise InputError(
            f"{shown(table)}: {len(several)} clips are in several files, first {first(several)}: move the table into "
            "the folder of its own audio"
        )
    return found


def refuse_videos(table: Path, videos: list[Path]) -> None:
    """Raise where a table lists videos."""
    if videos:
        raise InputError(
            f"{shown(table)}: {len(videos)} clips are videos, first {videos[0].name}, which are not decoded here: "
            f"{files.sound_of_videos(videos[0].name)}; then list the .wav files"
        )
