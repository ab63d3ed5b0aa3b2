"""The colours of all pictures."""

import numpy as np
import seaborn as sns

from speechemb.labels import ordered

# Shades of blue for one quantity (ColorBrewer "Blues"), and colours for what stands out (Okabe & Ito 2008).
PALE, LIGHT, MIDDLE, DARK = "#c6dbef", "#9ecae1", "#3182bd", "#08306b"
BLUE, ORANGE, RED = "#0072B2", "#E69F00", "#D55E00"
LIGHT_GREY, GREY = "#cccccc", "#999999"

# One colour per emotion in every picture, so that a reader learns them once; most are Okabe and Ito's.
COLOURS = {
    "neutral": "#888888",
    "calm": "#56B4E9",
    "happy": "#E69F00",
    "excited": "#F0E442",
    "sad": "#0072B2",
    "angry": "#D55E00",
    "fearful": "#CC79A7",
    "disgust": "#009E73",
    "surprised": "#9467BD",
    "bored": "#8C564B",
}


def emotion_colours(emotions: np.ndarray) -> dict[str, str]:
    """A colour for each emotion that occurs, in the project's order; emotions without one above get further ones."""
    names = ordered(emotions)
    spare = sns.color_palette("husl", len(names)).as_hex()
    return {name: COLOURS.get(name, spare[i]) for i, name in enumerate(names)}


def speaker_colours(speakers: np.ndarray) -> dict[str, str]:
    """One hue for each speaker that occurs; unknown speakers (empty) are grey, in the background."""
    names = sorted(set(speakers.tolist()) - {""})
    colours = {"": GREY} if (speakers == "").any() else {}
    return colours | dict(zip(names, sns.color_palette("husl", len(names)).as_hex(), strict=True))
