"""CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset.

Source    https://github.com/CheyneyComputerScience/CREMA-D, folder AudioWAV (in Git LFS: a clone made without
          it holds 130-byte pointers); 16 kHz mono WAV; Open Database License
Clips     7,442: 91 actors (1001-1091), 12 sentences, 1.27-5.0 s; angry, disgust, fearful, happy, sad 1,271
          each, neutral 1,087; so 4,900 in the four-class set
Files     <actor>_<sentence>_<EMO>_<level>.wav, level XX, LO, MD or HI; the actors' sex and age are in
          VideoDemographics.csv, beside AudioWAV
Known     1076_MTI_SAD_XX is silent although 2.57 s long. Three pairs are the same bytes under two emotions
          (1006_TIE HAP = NEU, 1013_WSI DIS = SAD, 1017_IWW ANG = FEA). Step 1 excludes these seven: 4,895
          remain of the four-class set. Listeners who only hear a clip name the acted emotion in 40.9 % of
          cases.
Paper     Cao et al. (2014), IEEE Transactions on Affective Computing 5(4), 377-390.
"""

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechemb.audio import files
from speechemb.corpora.clip import Clip, named_clips
from speechemb.errors import InputError
from speechemb.paths import shown

FOLDER = "CREMA-D"
PUBLISHED = 7442
SOURCE = "https://github.com/CheyneyComputerScience/CREMA-D (with Git LFS)"

EMOTIONS = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
_NAME = re.compile(r"(\d{4})_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(XX?|LO|MD|HI)")
_LEVELS = {"LO": 1.0, "MD": 2.0, "HI": 3.0}  # XX: unspecified


def clips(folder: Path, corpus: str = "cremad") -> list[Clip]:
    """One clip per audio file of `folder/AudioWAV`, or of `folder` itself; also for the bundled demo corpus."""
    where = folder / "AudioWAV" if (folder / "AudioWAV").is_dir() else folder
    # The table is beside AudioWAV, whichever of the two folders was given.
    sexes = demographics(where.parent) or demographics(where)
    found = named_clips(where, corpus, describe, recursive=False)
    return [replace(clip, gender=sexes.get(clip.speaker, "")) for clip in found]


def is_in(folder: Path) -> bool:
    """Whether the corpus, or its clone without audio, is in this folder."""
    return any(bool(files.audio_files(where, recursive=False)) for where in (folder / "AudioWAV", folder))


def describe(stem: str) -> dict[str, Any]:
    """The fields of `Clip` that a name such as `1001_DFA_ANG_XX` tells."""
    if not (name := _NAME.fullmatch(stem)):
        return {"excluded": "name does not follow CREMA-D's naming"}
    actor, sentence, emotion, level = name.groups()
    intensity = (("intensity", _LEVELS[level]),) if level in _LEVELS else ()
    return {"emotion": EMOTIONS[emotion], "speaker": actor, "sentence": sentence, "numbers": intensity}


def demographics(folder: Path) -> dict[str, str]:
    """Actor -> female or male, from `VideoDemographics.csv`; empty if there is no such file."""
    path = folder / "VideoDemographics.csv"
    if not path.is_file():
        return {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            sexes = {row["ActorID"]: row["Sex"].strip().lower() for row in csv.DictReader(file)}
            return {actor: sex for actor, sex in sexes.items() if sex in ("female", "male")}
    except (KeyError, UnicodeDecodeError, csv.Error, AttributeError):
        raise InputError(
            f"{shown(path)} has no readable columns ActorID and Sex: restore it from {SOURCE}, or delete it"
        ) from None
