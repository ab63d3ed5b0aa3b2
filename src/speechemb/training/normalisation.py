"""`--normalise speaker`: features relative to their speaker's mean and deviation, before the classifier sees them.

Every speaker's statistics come from all of that speaker's clips in the npz, without their labels; test speakers are
treated as training speakers are. Such a run is transductive: it needs other clips of the speaker who is to be
recognised. It is another task than recognising a speaker's first clip, and every output says so. Statistics of clips
with uneven classes take part of the emotion away, see benchmarks/normalise.py.
"""

import logging

import numpy as np

from speechemb.artifacts.embeddings import Embeddings
from speechemb.errors import InputError, first
from speechemb.speakers import MIN_CLIPS, moments, within_corpus

UNKNOWN, FEW = "speaker unknown", f"speaker with fewer than {MIN_CLIPS} clips"  # why a clip cannot be standardised


def within_speakers(data: Embeddings) -> Embeddings:
    """The clips with their vectors standardised within each speaker, and in `dropped` those for which it is impossible.

    Augmented copies get the statistics of their speaker's originals. A feature that is constant within a speaker
    becomes 0 there, which is logged. Clips of unknown speakers, and of speakers with fewer than `MIN_CLIPS` clips, are
    excluded.

    Raises:
        InputError: no clip is left.
    """
    names, original = within_corpus(data.corpora, data.speakers), data.augmented_from == ""
    counts = {name: int((original & (names == name)).sum()) for name in np.unique(names[names != ""]).tolist()}
    kept = np.array([counts.get(name, 0) >= MIN_CLIPS for name in names.tolist()], dtype=bool)
    dropped = [
        {"clip_id": clip, "corpus": corpus, "reason": FEW if name else UNKNOWN}
        for clip, corpus, name in zip(*(of[~kept].tolist() for of in (data.clip_ids, data.corpora, names)), strict=True)
    ]
    if not kept.any():
        raise InputError(
            f"--normalise speaker: no speaker is known by {MIN_CLIPS} clips ({first([dropped[0]['clip_id']])}: "
            f"{dropped[0]['reason']}): give speakers in step 1, or drop the flag"
        )
    vectors, constant = np.empty_like(data.embeddings), 0
    for name, count in counts.items():
        if count >= MIN_CLIPS:
            clips = names == name
            mean, deviation, flat = moments(data.embeddings[clips & original])
            vectors[clips] = (data.embeddings[clips] - mean) / deviation
            constant += flat > 0
    if constant:
        logging.getLogger("speechemb").info(
            "--normalise speaker: %d speakers have features that are constant over their clips, set to 0", constant
        )
    data.embeddings = vectors
    taken = data if kept.all() else data.take(kept)
    taken.dropped = [*data.dropped, *dropped]
    return taken
