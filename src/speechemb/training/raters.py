"""Step 3 on raters' votes: labels by their majority, and what classifiers that can learn from it are given, the shares.

The votes are looked up by clip, so that one npz serves the labels of the corpus and those of any raters.
"""

from dataclasses import dataclass, replace

import numpy as np

from speechemb.artifacts.embeddings import Embeddings
from speechemb.classifiers import FROM_SHARES
from speechemb.corpora.votes import Votes, majority
from speechemb.errors import InputError, first
from speechemb.labels import merge_excited
from speechemb.paths import shown

TIE, NONE = "raters' votes tie", "no raters' votes"
EMOSUPERB = ("neutral", "happy", "sad", "angry", "fearful", "disgust")  # the classes of its CREMA-D task
EMOSUPERB_CLIPS = 7442


@dataclass(frozen=True)
class Raters:
    """The votes, and what to do with them.

    `ties`: clips whose votes tie are kept. `hard`: all classifiers learn from the majority alone. `emosuperb`: the
    run follows EMO-SUPERB, see `note`. `wanted`: the classes asked for, None for all.
    """

    votes: Votes
    ties: bool = False
    hard: bool = False
    emosuperb: bool = False
    wanted: list[str] | None = None

    @property
    def name(self) -> str:
        """For file names and fingerprints."""
        parts = ["emosuperb" * self.emosuperb, self.votes.name, "ties" * self.ties, "hard" * self.hard]
        return "_".join(filter(None, parts))

    @property
    def note(self) -> str:
        """For people, beside the protocol."""
        ties = "ties kept" if self.ties else "ties excluded"
        words = f"labels by the majority of the raters in {self.votes.path.name} ({ties})"
        return words + ("; EMO-SUPERB's target: every class above 1/6 of the distribution" * self.emosuperb)

    def relabelled(self, data: Embeddings) -> Embeddings:
        """The clips under the label that most raters chose, and in `dropped` those without votes, or whose votes tie.

        A tie that is kept has the clip's own label where that is among the tied ones, else the first of them in the
        project's order.

        Raises:
            InputError: no clip is left, or the classes are not those of EMO-SUPERB.
        """
        votes = self.votes.merged(self.wanted)
        found = _looked_up(votes, data)
        known = np.nan_to_num(found).sum(axis=1) > 0
        most = majority(np.nan_to_num(found))
        own = np.array([merge_excited(label, self.wanted) for label in data.labels.tolist()])
        chosen = np.array(votes.classes)[most.argmax(axis=1)]
        tied = most.sum(axis=1) > 1
        place = {label: i for i, label in enumerate(votes.classes)}
        for i in np.flatnonzero(tied):
            if (k := place.get(own[i])) is not None and most[i, k]:
                chosen[i] = own[i]
        kept = known & (self.ties | ~tied)
        if not kept.any():
            raise InputError(
                f"--raters {shown(self.votes.path)} has no votes that decide for any clip of --npz-path "
                f"({first(data.clip_ids[~kept].tolist())}): give the votes of these clips"
            )
        reasons = np.where(known, TIE, NONE)
        rows = zip(*(of[~kept].tolist() for of in (data.clip_ids, data.corpora, reasons)), strict=True)
        dropped = [{"clip_id": clip, "corpus": corpus, "reason": reason} for clip, corpus, reason in rows]
        taken = replace(data, labels=chosen.astype(np.str_)).take(kept)
        taken.dropped = [*data.dropped, *dropped]
        if self.emosuperb and sorted(set(taken.labels)) != sorted(EMOSUPERB):
            raise InputError(
                f"--protocol emosuperb has the classes {', '.join(EMOSUPERB)}, and --raters gives "
                f"{', '.join(sorted(set(taken.labels)))}: give EMO-SUPERB's voice distribution of CREMA-D"
            )
        return taken

    def votes_of(self, data: Embeddings, classes: list[str]) -> np.ndarray:
        """(n, K) float64, the votes for these classes of each clip; those for others are left out."""
        votes = self.votes.merged(self.wanted)
        place = {label: i for i, label in enumerate(votes.classes)}
        found = _looked_up(votes, data)
        return np.stack([found[:, place[label]] for label in classes], axis=1)


def _looked_up(votes: Votes, data: Embeddings) -> np.ndarray:
    """(n, K) of the clips; augmented copies have the votes of their originals."""
    names = np.where(data.augmented_from == "", data.clip_ids, data.augmented_from)
    return votes.of(names.tolist(), data.paths.tolist())


def classifiers(names: list[str]) -> list[str]:
    """Those of `--protocol emosuperb`, which learn the distribution: of the names given, or all there are.

    Raises:
        InputError: another one is named.
    """
    names = list(FROM_SHARES) if "all" in names else names
    if other := [name for name in names if name not in FROM_SHARES]:
        raise InputError(
            f"--protocol emosuperb learns the raters' distribution, which {other[0]} cannot: give --classifier "
            + " ".join(FROM_SHARES)
        )
    return names
