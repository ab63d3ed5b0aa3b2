"""Who is the same person: speaker 01 of two corpora is two people, and an unknown speaker is nobody.

Also the statistics of a person's clips, which `--normalise speaker` takes out of their features.
"""

import numpy as np

GUESSED = "guessed"  # begins the names of the speakers that `--guess-speakers` makes, `guessed01`, `guessed02`, ...
MIN_CLIPS = 10  # that a speaker's statistics need: with 10 the mean's standard error is a third of a deviation
_CONSTANT = 1e-6  # deviation, relative to the mean, that float32 values have by rounding alone


def moments(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean and standard deviation (population, float64) of each feature over clips (n, ...), and the constant features.

    The deviation of a constant feature is given as 1, so that the feature becomes 0 when it is standardised.
    """
    wide = vectors.astype(np.float64)
    mean, deviation = wide.mean(axis=0), wide.std(axis=0)
    constant = deviation <= _CONSTANT * np.abs(mean)
    return mean, np.where(constant, 1.0, deviation), int(constant.sum())


def genders_of(corpora: np.ndarray, speakers: np.ndarray, genders: np.ndarray) -> dict[str, str]:
    """`<corpus>/<speaker>` -> gender, where both are known; step 4 compares genders with it."""
    persons = known(speakers)
    both = (persons != "") & (genders != "")
    names = within_corpus(corpora, persons)[both].tolist()
    return dict(sorted(zip(names, genders[both].tolist(), strict=True)))


def known(speakers: np.ndarray) -> np.ndarray:
    """The speakers (n,), empty where they are unknown or guessed: who was guessed is nobody."""
    return np.where(guessed(speakers), "", speakers)


def guessed(names: np.ndarray) -> np.ndarray:
    """Whether names (n,) of speakers, with or without their corpus, are guesses."""
    return np.array([is_guessed(name) for name in names.tolist()], dtype=bool)


def is_guessed(name: str) -> bool:
    """Whether the name of a speaker, with or without the corpus, is a guess."""
    own = name.rpartition("/")[2]
    return own.startswith(GUESSED) and own[len(GUESSED) :].isdecimal()


def within_corpus(corpora: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`<corpus>/<value>` (n,), empty where the value is unknown."""
    return np.where(values == "", "", np.char.add(np.char.add(corpora, "/"), values))
