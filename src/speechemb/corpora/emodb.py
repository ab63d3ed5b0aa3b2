"""EmoDB, the Berlin Database of Emotional Speech (German).

Source    http://emodb.bilderbar.info (wav.zip; free to use); 16 kHz mono WAV
Clips     535: 10 actors (five women), 10 sentences; angry 127, bored 81, neutral 79, happy 71, fearful 69,
          sad 62, disgust 46
Files     <speaker><text><emotion><version>.wav, as 03a01Fa: speaker 03, text a01, emotion F, version a. The
          letters are German: W(ut) anger, L(angeweile) boredom, E(kel) disgust, A(ngst) fear, F(reude) joy,
          T(rauer) sadness, N(eutral).
Known     Unbalanced: not every actor has every sentence in every emotion, because only well recognised
          recordings were kept.
Paper     Burkhardt et al. (2005), Interspeech, 1517-1520.
"""

import re
from pathlib import Path

from speechemb.corpora.clip import Clip, named_clips

FOLDER = "EmoDB"
PUBLISHED = 535
SOURCE = "http://emodb.bilderbar.info"

EMOTIONS = {
    "W": "angry",
    "L": "bored",
    "E": "disgust",
    "A": "fearful",
    "F": "happy",
    "T": "sad",
    "N": "neutral",
}
WOMEN, MEN = ("08", "09", "13", "14", "16"), ("03", "10", "11", "12", "15")
_NAME = re.compile(rf"({'|'.join(WOMEN + MEN)})([ab]\d\d)([WLEAFTN])[a-z]")


def clips(folder: Path) -> list[Clip]:
    """One clip per audio file under `folder` (the archive has them in `wav/`)."""
    return named_clips(folder, "emodb", describe)


def describe(stem: str) -> dict[str, str]:
    """The fields of `Clip` that a name such as `03a01Fa` tells."""
    if not (name := _NAME.fullmatch(stem)):
        return {"excluded": "name does not follow EmoDB's naming"}
    speaker, text, emotion = name.groups()
    return {
        "emotion": EMOTIONS[emotion],
        "speaker": speaker,
        "sentence": text,
        "gender": "female" if speaker in WOMEN else "male",
    }
