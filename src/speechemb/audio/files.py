"""Which files are audio, and the few that must not be opened: pipes, devices and folders under an audio file's name."""

import csv
import glob
import io
import logging
import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import BinaryIO

from speechemb.audio.remote import fetched
from speechemb.audio.segments import file_of
from speechemb.errors import InputError, first
from speechemb.paths import existing, remote, shown

log = logging.getLogger(__name__)

# The suffixes of what libsndfile reads, by its names for the formats. Without RAW, which has no header; SD2, whose
# header is in another file; MAT4, MAT5 and HTK, which mostly hold something other than audio.
FORMATS = {
    "WAV": "wav wave bwf",
    "FLAC": "flac",
    "OGG": "ogg oga opus",
    "MP3": "mp3",
    "AIFF": "aif aiff aifc",
    "AU": "au snd",
    "CAF": "caf",
    "W64": "w64",
    "RF64": "rf64",
    "NIST": "sph nist",
    "AVR": "avr",
    "IRCAM": "sf",
    "MPC2K": "mpc",
    "PAF": "paf",
    "PVF": "pvf",
    "SDS": "sds",
    "SVX": "8svx svx iff",
    "VOC": "voc",
    "WVE": "wve",
    "XI": "xi",
}
SUFFIXES = tuple(f".{word}" for words in FORMATS.values() for word in words.split())
LFS_HEAD = b"version https://git-lfs"  # the first line of a Git LFS pointer file
VIDEOS = (".mp4", ".m4v", ".mkv", ".avi", ".mov", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts")
LFS_REMEDY = "the clone holds Git LFS pointers, not audio: run `git lfs pull` in it"


class AudioError(InputError):
    """A file cannot be used as audio; `reason` is the part without the file's name."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{printable(shown(path))}: {reason}")
        self.reason = reason


def opened(path: str | Path) -> BinaryIO:
    """The file, open for reading, if it is a regular one; a pipe could hold the process up for ever.

    Of a part of a recording (see `segments`), the whole file.

    Raises:
        AudioError: it is missing, of another kind, or cannot be read.
        InputError: it is in object storage, which cannot be read.
    """
    try:
        path = file_of(path)
        if url := remote(path):
            return fetched(url)
        if kind := irregular(path):
            raise AudioError(path, f"cannot be read ({kind}, not a file)")
        return open(path, "rb")
    except FileNotFoundError:
        raise AudioError(path, "missing") from None
    except OSError as error:
        raise AudioError(path, f"cannot be read ({error.strerror})") from None
    except ValueError:  # a NUL byte
        raise AudioError(path, "missing") from None


def is_video(path: str | Path) -> bool:
    """Whether a file is a video, by its name."""
    return file_of(path).suffix.lower() in VIDEOS


def sound_of_videos(example: str) -> str:
    """What to type to get the sound out of videos; `example` is the name of one of them."""
    suffix = Path(example).suffix or ".mp4"
    return (
        "get the sound with ffmpeg, in their folder: "
        f'for f in *{suffix}; do ffmpeg -i "$f" -vn -ac 1 -ar 16000 "${{f%{suffix}}}.wav"; done'
    )


def table_text(path: Path, given: str, remedy: str) -> str:
    """The text of a CSV in UTF-8, with or without byte-order mark.

    Raises:
        InputError: it cannot be read, or is no text; `given` is what the message calls it.
    """
    try:
        with opened(path) as stream:
            text = stream.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{given} is not a CSV in UTF-8 ({error}): save it as one") from None
    except AudioError as error:
        why = "is missing" if error.reason == "missing" else error.reason
        raise InputError(f"{given} {why}: {remedy}") from None
    if "\0" in text:
        raise InputError(f"{given} is not a CSV in UTF-8 (it holds NUL bytes): save it as one")
    return text


def table_rows(path: Path, given: str, remedy: str, content: str) -> tuple[list[str], list[list[str]]]:
    """The columns of a table in lower case, and the fields of every row, without spaces around them.

    Fields are separated by commas, tabs, semicolons or bars. `content`: what a table without rows lacks.

    Raises:
        InputError: as `table_text`, or it is no table with a header and rows of as many fields.
    """
    text = table_text(path, given, remedy)
    separator = max(",\t;|", key=text.partition("\n")[0].count)
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True) if line]
    except csv.Error as error:
        raise InputError(f"{given} is not a CSV in UTF-8 ({error}): save it as one") from None
    if len(lines) < 2:
        raise InputError(f"{given} has no row: give {content}")
    columns, *rows = [[field.strip() for field in line] for line in lines]
    if uneven := [str(i) for i, row in enumerate(rows, start=2) if len(row) != len(columns)]:
        raise InputError(f"{given}: row {first(uneven)} has not {len(columns)} fields, as the header has")
    columns = [column.lower() for column in columns]
    if len(set(columns)) < len(columns):
        raise InputError(f"{given}: two columns of the header have one name: {', '.join(columns)}")
    return columns, rows


def irregular(path: str | Path) -> str | None:
    """What a path leads to, where it is no regular file: `a folder`, `a pipe`, `a device`. None for a file.

    Raises:
        OSError: there is nothing, or the system does not say.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        return None
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def search(folder: Path, recursive: bool = True, suffixes: tuple[str, ...] = SUFFIXES) -> tuple[list[Path], Counter]:
    """The files of a folder with these suffixes (audio files), sorted, and how many others it holds by suffix.

    Files whose name begins with a dot count as neither: macOS leaves a `._a.wav` beside every `a.wav`.
    """
    found, others = [], Counter()
    for path in folder.rglob("*") if recursive else folder.glob("*"):
        if path.name.startswith("."):
            continue
        if path.suffix.lower() in suffixes:
            found.append(path)
        elif not path.is_dir():
            others[printable(path.suffix.lower()) or "without suffix"] += 1
    return sorted(found), others


def audio_files(folder: Path, recursive: bool = True) -> list[Path]:
    """The audio files of a folder, sorted."""
    return search(folder, recursive)[0]


def given(words: list[str]) -> list[Path]:
    """The audio files that files, folders and patterns (`*`, `?`, `[...]`, `**`) on a command line stand for, in order.

    Folders are searched; of what a pattern finds, files of other kinds are passed over, which is logged.

    Raises:
        InputError: there is nothing of such a name, or no audio file at all.
    """
    found: list[Path] = []
    others: Counter = Counter()
    for word in words:
        path = existing(word)
        named = os.path.lexists(path)
        if not named and not glob.has_magic(word):
            raise InputError(f"{printable(shown(path))} does not exist")
        matches = [path] if named else [Path(one) for one in sorted(glob.glob(str(path), recursive=True))]
        for match in matches:
            if match.is_dir():
                within, more = search(match)
                found, others = found + within, others + more
            elif named or match.suffix.lower() in SUFFIXES:
                found.append(match)
            else:
                others[printable(match.suffix.lower()) or "without suffix"] += 1
    if others:
        log.info("%s", passed_over(others))
    if not found:
        where = ", ".join(printable(shown(existing(word))) for word in words)
        raise InputError(f"no audio file that can be read in {where}: give files of {', '.join(SUFFIXES[:8])}, ...")
    return list(dict.fromkeys(found))


def passed_over(others: Counter) -> str:
    """`3 files of other kinds passed over: .m4a 2, .txt 1`."""
    n, ordered = (
        sum(others.values()),
        sorted(others.items(), key=lambda item: (-item[1], item[0] == "without suffix", item[0])),
    )
    kinds = ", ".join(f"{suffix} {count}" for suffix, count in ordered[:5])
    more = f" and {len(others) - 5} more kinds" if len(others) > 5 else ""
    return f"{n} {'file' if n == 1 else 'files'} of other kinds passed over: {kinds}{more}"


def printable(text: str) -> str:
    r"""A file name as UTF-8 can hold it: bytes that are not UTF-8 become `\xe9`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_lfs_pointer(path: str | Path) -> bool:
    """Whether a file is the 130-byte stand-in of a git clone without LFS; False if it cannot be read, or is remote."""
    if remote(path):
        return False
    try:
        with opened(path) as file:
            return file.read(len(LFS_HEAD)) == LFS_HEAD
    except (AudioError, OSError):
        return False


def cell_of_path(path: str | Path) -> str:
    """A path as CSVs show it: one that a spreadsheet would run as a formula begins with `./`."""
    text = printable(shown(path))
    return f"./{text}" if is_formula(text) else text


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would run a cell as a formula; plain numbers, negative ones too, are none."""
    return text.startswith(("=", "+", "-", "@", "\t", "\r")) and not re.fullmatch(r"[-+]?\d+([.,]\d+)?", text)
