r"""IEMOCAP, the Interactive Emotional Dyadic Motion Capture Database.

Source    https://sail.usc.edu/iemocap (on request, for research); 16 kHz mono WAV. Copies are on the hub.
Clips     10,039 turns of five sessions, ten actors, two per session. Four-class set: neutral 1708, angry 1103,
          sad 1084, excited 1041 and happy 595 together as happy: 5,531, by session 1085 1023 1151 1031 1241.
Files     Session1/sentences/wav/<dialogue>/<turn>.wav, labels in Session1/dialog/EmoEvaluation/<dialogue>.txt
          with one line per turn: [6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
          Turn Ses01F_impro04_M007 belongs to session 1, dialogue Ses01F_impro04, speaker Ses01_M: the speaker's
          letter is that of the last field. The three numbers are valence, activation (arousal) and dominance.
Known     Ses01F names the actor who wore the markers, not the speaker; taken for the speaker it is wrong in
          2,750 of the 5,531 turns. The release holds macOS files (._*) beside the labels. xxx marks turns whose
          annotators did not agree. The label files do not say what is spoken, so `sentence` stays empty.
Dialogues With `--iemocap-source dialogues` a turn is a part of Session1/dialog/wav/<dialogue>.wav, by the times of its
          line. Both speakers of a dialogue are then in one recording, so that speaker-independent folds keep sessions
          together.
Paper     Busso et al. (2008), Language Resources and Evaluation 42, 335-359.
"""

import re
from pathlib import Path
from typing import Any

from speechemb.audio.segments import Segment, with_segment
from speechemb.corpora.clip import Clip
from speechemb.errors import InputError
from speechemb.labels import canonical
from speechemb.paths import shown

FOLDER = "IEMOCAP"
PUBLISHED = 10039
SOURCE = "https://sail.usc.edu/iemocap"

RATINGS = ("valence", "arousal", "dominance")  # means over the annotators, 1 to 5, in the order of the label files
_LABEL = re.compile(
    r"^\[(\d+\.\d+) - (\d+\.\d+)\]\t(\w+)\t(\w+)\t\[(\d+\.\d+), (\d+\.\d+), (\d+\.\d+)\]\r?$", re.MULTILINE
)
_TURN = re.compile(r"(Ses0[1-5])[FM]_\w+_([FM])(?:XX)?\d+")


def clips(folder: Path, dialogues: bool = False) -> list[Clip]:
    """One clip per turn in the label files of `folder/IEMOCAP_full_release`, or of `folder` itself.

    `dialogues`: as a part of its dialogue, not as the file that was cut from it.
    """
    release, files = _release(folder)
    if not files:
        raise InputError(
            f"{shown(release)} holds no Session*/dialog/EmoEvaluation/*.txt: give the folder of "
            f"IEMOCAP_full_release with --data-dir"
        )
    return [clip for file in files for clip in _dialogue(file, dialogues)]


def is_in(folder: Path) -> bool:
    """Whether the release is in this folder."""
    return bool(label_files(folder))


def label_files(folder: Path) -> list[Path]:
    """The label files of the release that is in this folder."""
    return _release(folder)[1]


def _release(folder: Path) -> tuple[Path, list[Path]]:
    """The folder of the release, and its label files."""
    release = folder / "IEMOCAP_full_release"
    release = release if release.is_dir() else folder
    files = sorted(release.glob("Session[1-5]/dialog/EmoEvaluation/*.txt"))
    return release, [file for file in files if file.is_file() and not file.name.startswith("._")]


def _dialogue(file: Path, whole: bool) -> list[Clip]:
    """The turns of one label file; their audio is in the session's `sentences/wav/<dialogue>/`, or in `dialog/wav/`."""
    wav, dialogue = file.parents[2] / "sentences" / "wav" / file.stem, file.parents[1] / "wav" / f"{file.stem}.wav"
    text = file.read_text(encoding="utf-8", errors="replace")  # annotators' comments are not always UTF-8
    found = []
    for start, end, turn, label, *ratings in _LABEL.findall(text):
        known: dict[str, Any] = {"emotion": canonical(label), **describe(turn)}
        known["numbers"] = tuple(zip(RATINGS, map(float, ratings), strict=True))
        if label == "xxx":
            known["excluded"] = "no majority label (xxx)"
        path = with_segment(dialogue, Segment(float(start), float(end))) if whole else wav / f"{turn}.wav"
        found.append(Clip(clip_id=f"iemocap/{turn}", path=path, corpus="iemocap", **known))
    return found


def describe(turn: str) -> dict[str, str]:
    """The fields of `Clip` that a name such as `Ses01F_impro04_M007` tells: here speaker `Ses01_M`."""
    if not (name := _TURN.fullmatch(turn)):
        return {"excluded": "name does not follow IEMOCAP's naming"}
    session, letter = name.groups()
    return {
        "speaker": f"{session}_{letter}",
        "session": session,
        "gender": {"F": "female", "M": "male"}[letter],
    }
