"""The emotion labels of this project, the spellings that corpora use for them, and the choice of classes."""

import re

from speechemb.errors import InputError

# The order in every table, matrix and picture. Labels not listed here (a table's own classes) sort after these.
ORDER = (
    "neutral",
    "calm",
    "happy",
    "excited",
    "sad",
    "angry",
    "fearful",
    "disgust",
    "surprised",
    "bored",
    "frustrated",
    "contempt",
    "other",
)
DEFAULT_EMOTIONS = ("neutral", "happy", "sad", "angry")  # the four classes that IEMOCAP studies and SUPERB use

_SPELLINGS = {
    "neutral": "neu neutrality",
    "happy": "hap happiness joy happily",
    "excited": "exc excitement",
    "sad": "sadness",
    "angry": "ang anger",
    "fearful": "fea fear",
    "disgust": "dis disgusted",
    "surprised": "sur surprise ps pleasant_surprise pleasant_surprised pleasantly_surprised",
    "bored": "boredom",
    "frustrated": "fru frustration frustrate",
    "other": "oth",
}
_CANONICAL = {spelling: word for word, spellings in _SPELLINGS.items() for spelling in spellings.split()}


_VOTES = re.compile(r"(votes?|p|prob|probability|score)[_ ]")  # may begin the name of a column of votes


def canonical(label: str) -> str:
    """`Anger`, `ang` and `angry` -> `angry`; an unknown label is only lower-cased."""
    label = label.strip().lower()
    return _CANONICAL.get("_".join(re.split(r"[\s_-]+", label)), label)


def vote_columns(columns: list[str]) -> dict[str, str]:
    """Column, in lower case -> emotion, of the columns called as emotions: `angry`, `votes_angry`, `p_angry`."""
    return {column: label for column in columns if (label := canonical(_VOTES.sub("", column))) in ORDER}


def sort_key(label: str) -> tuple[int, str]:
    """Sort key that puts labels in the project's order."""
    return (ORDER.index(label) if label in ORDER else len(ORDER), label)


def ordered(labels) -> list[str]:
    """The distinct labels in the project's order."""
    return sorted(set(labels), key=sort_key)


def parse_emotions(words: list[str] | None) -> list[str] | None:
    """The classes given with `--emotions`, in canonical spelling; None means every class of the corpus."""
    if words is None or words == ["all"]:
        return None
    labels = [canonical(word) for word in words]
    if "all" in labels or len(set(labels)) < 2:
        raise InputError(f"--emotions {' '.join(words)}: give `all`, or at least two different classes")
    return ordered(labels)


def merge_excited(label: str, wanted: list[str] | None) -> str:
    """Excited becomes happy if happy is wanted and excited is not (as in the four-class set of IEMOCAP)."""
    if label == "excited" and wanted is not None and "happy" in wanted and "excited" not in wanted:
        return "happy"
    return label


def display_corpora(names: list[str]) -> str:
    """The corpora of a run, as titles and tables show them; the bundled one is marked as synthetic."""
    return "+".join("demo (SYNTHETIC speech)" if name == "demo" else name for name in names)
