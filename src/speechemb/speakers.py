"""Who is the same person: speaker 01 of two corpora is two people, and an unknown speaker is nobody."""

import numpy as np


def genders_of(corpora: np.ndarray, speakers: np.ndarray, genders: np.ndarray) -> dict[str, str]:
    """`<corpus>/<speaker>` -> gender, where both are known; step 4 compares genders with it."""
    known = (speakers != "") & (genders != "")
    names = within_corpus(corpora, speakers)[known].tolist()
    return dict(sorted(zip(names, genders[known].tolist(), strict=True)))


def within_corpus(corpora: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`<corpus>/<value>` (n,), empty where the value is unknown."""
    return np.where(values == "", "", np.char.add(np.char.add(corpora, "/"), values))
