"""RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech and Song.

Source    https://zenodo.org/records/1188976, Audio_Speech_Actors_01-24.zip (48 kHz WAV; CC BY-NC-SA 4.0)
Clips     1,440 of speech: 24 actors (odd numbers male), two sentences, two repetitions, two intensities
          (neutral has one). 192 of each emotion, 96 neutral.
Files     <modality>-<channel>-<emotion>-<intensity>-<statement>-<repetition>-<actor>.wav; modality 03 = audio
          only, 01 and 02 = video of the same take; channel 01 = speech, 02 = song. Usually in folders Actor_01
          .. Actor_24; WAV and FLAC are read.
Known     Five speech clips are stereo. Some copies on the web hold every file twice, in a folder inside the
          folder. Songs are excluded: they are sung to a given melody. So is the sound of the videos, 01-...:
          it is the same take as 03-..., and would put one utterance into training and test. One recording is
          there twice: 03-01-03-01-02-01-07 and 03-01-03-01-02-02-07.
Paper     Livingstone & Russo (2018), PLoS ONE 13(5): e0196391.
"""

import re
from pathlib import Path
from typing import Any

from speechemb.corpora.clip import Clip, named_clips

FOLDER = "RAVDESS"
PUBLISHED = 1440
SOURCE = "https://zenodo.org/records/1188976 (Audio_Speech_Actors_01-24.zip)"

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
_NAME = re.compile(r"(0[123])-(0[12])-(0[1-8])-(0[12])-(0[12])-0[12]-(\d\d)")


def clips(folder: Path) -> list[Clip]:
    """One clip per audio file under `folder`."""
    return named_clips(folder, "ravdess", describe)


def describe(stem: str) -> dict[str, Any]:
    """The fields of `Clip` that a name such as `03-01-05-01-02-01-12` tells."""
    if not (name := _NAME.fullmatch(stem)):
        return {"excluded": "name does not follow RAVDESS's naming"}
    modality, channel, emotion, intensity, statement, actor = name.groups()
    video = f"sound of the video of the same take (modality {modality})" if modality != "03" else ""
    return {
        "emotion": EMOTIONS[emotion],
        "speaker": actor,
        "sentence": statement,
        "gender": "male" if int(actor) % 2 else "female",
        "numbers": (("intensity", float(intensity)),),  # 1 normal, 2 strong
        "excluded": "song, not speech" if channel == "02" else video,
    }
