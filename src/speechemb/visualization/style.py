"""The colours, markers and fonts of all pictures."""

import textwrap
import warnings
from collections.abc import Iterable

import matplotlib

matplotlib.use("Agg")  # no display on a server or in a Codespace

import numpy as np
import seaborn as sns
from matplotlib import font_manager
from matplotlib.figure import Figure

from speechemb.labels import ordered

# Shades of blue for one quantity (ColorBrewer "Blues"), and colours for what stands out (Okabe & Ito 2008).
PALE, LIGHT, MIDDLE, DARK = "#c6dbef", "#9ecae1", "#3182bd", "#08306b"
BLUE, ORANGE, RED = "#0072B2", "#E69F00", "#D55E00"
LIGHT_GREY, GREY = "#cccccc", "#999999"

LAYER_AXIS = "layer (0: input of the first block)"

# One colour and marker per emotion in every picture, so that a reader learns them once. The colours were searched near
# Okabe and Ito's so that two of them also differ for readers with protanopia, deuteranopia or tritanopia, as Machado,
# Oliveira and Fernandes (2009) simulate them: by 16 or more in CIELAB.
COLOURS = {
    "neutral": "#858585",
    "calm": "#68BFF8",
    "happy": "#D79319",
    "excited": "#E7DA45",
    "sad": "#0C6498",
    "angry": "#C45501",
    "fearful": "#C083B5",
    "disgust": "#40A870",
    "surprised": "#9E67DD",
    "bored": "#8C564B",
}
MARKERS = dict(zip(COLOURS, "os^vDXP*<>", strict=True))
_FURTHER = "hpd8H1234"  # of emotions without one above

# Equal pictures are equal files, also as SVG; text in a PDF stays text.
matplotlib.rcParams.update({"svg.hashsalt": "speechemb", "pdf.fonttype": 42})


def set_title(figure: Figure, title: str) -> None:
    """The title of a picture, with lines that are not wider than the picture."""
    width = int(13 * figure.get_figwidth())  # characters of 9 pt
    lines = [line for text in title.splitlines() for line in textwrap.wrap(text, width)]
    figure.suptitle("\n".join(lines), fontsize=9)


def emotion_colours(emotions: np.ndarray) -> dict[str, str]:
    """A colour for each emotion that occurs, in the project's order; emotions without one above get further ones."""
    names = ordered(emotions)
    spare = sns.color_palette("husl", len(names)).as_hex()
    return {name: COLOURS.get(name, spare[i]) for i, name in enumerate(names)}


def emotion_markers(emotions: np.ndarray) -> dict[str, str]:
    """A marker for each emotion that occurs."""
    names = ordered(emotions)
    return {name: MARKERS.get(name, _FURTHER[i % len(_FURTHER)]) for i, name in enumerate(names)}


def speaker_colours(speakers: np.ndarray) -> dict[str, str]:
    """One hue for each speaker that occurs; unknown speakers (empty) are grey, in the background."""
    names = sorted(set(speakers.tolist()) - {""})
    colours = {"": GREY} if (speakers == "").any() else {}
    return colours | dict(zip(names, sns.color_palette("husl", len(names)).as_hex(), strict=True))


def use_fonts_for(texts: Iterable[str]) -> str:
    """Let the pictures to come use, beside matplotlib's own font, installed ones that have the characters it lacks.

    Returns:
        one line about the characters that no installed font has, or nothing: pictures show boxes in their place
    """
    own = matplotlib.rcParamsDefault["font.sans-serif"][0]
    lacking = {character for text in texts for character in text if not character.isspace()}
    lacking -= _characters(font_manager.findfont(own))
    families = [own]
    for font in sorted(font_manager.fontManager.ttflist, key=_preference) if lacking else ():
        if found := lacking & _characters(font.fname):
            families.append(font.name)
            lacking -= found
    matplotlib.rcParams["font.family"] = list(dict.fromkeys(families)) if len(families) > 1 else ["sans-serif"]
    warnings.filterwarnings("ignore", message="Glyph .* missing from")
    if not lacking:
        return ""
    some = "".join(sorted(lacking)[:10]) + (f" and {len(lacking) - 10} more characters" if len(lacking) > 10 else "")
    return f"no installed font has {some}: pictures show boxes instead; install a font that has them, such as Noto Sans"


def _preference(font: font_manager.FontEntry) -> tuple:
    """Plain fonts without serifs first."""
    return "Sans" not in font.name, font.style != "normal", font.weight not in (400, "normal"), font.name


def _characters(path: str) -> set[str]:
    """The characters that a font has; none for the font of last resort, which has a box for each."""
    try:
        font = font_manager.get_font(path)
    except (OSError, RuntimeError):  # a damaged font
        return set()
    return set() if "Last Resort" in font.family_name else {chr(code) for code in font.get_charmap()}
