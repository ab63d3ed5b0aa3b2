"""`--guess-speakers N`: speakers that nobody gave, guessed by clustering the recordings, for folds over the guesses.

The vectors of LAYER, or of the lowest layer above 0 that the npz holds, are standardised over the originals of a corpus
and averaged over the clips of one recording; Ward's method divides the recordings into N groups. Lower layers tell
speakers better than higher ones. The layer is fixed, so that nothing is chosen by a result. Labels are not used.

The guess is poor (see benchmarks/guessed_speakers.py): recordings of one person fall into several groups, so that real
speakers are in both training and test. Every output says so, and guessed speakers never count as known ones.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from speechemb.artifacts import embeddings
from speechemb.artifacts.embeddings import Embeddings
from speechemb.errors import InputError, first
from speechemb.speakers import GUESSED, moments

LAYER = 1  # the first transformer block; 0 is what goes into it
MOST = 20_000  # recordings: Ward's method holds the distances of all pairs, 1.6 GB of this many


def with_guesses(parts: list[Embeddings], npz: list[Path], n_speakers: int) -> list[Embeddings]:
    """The clips of each run with guessed speakers, `guessed01` to `guessed<N>` in each of its corpora.

    Args:
        npz: the files, of one encoder, that the clips come from
        n_speakers: of each corpus

    Raises:
        InputError: a speaker or session is known, or there are too few recordings, or too many.
    """
    for data in parts:
        _check_unknown(data)
    source = embeddings.concatenated(npz, layer=str(layer_of(parts[0].meta["layers"])))
    place = {name: i for i, name in enumerate(source.clip_ids.tolist())}
    return [_guessed(data, source.embeddings[[place[name] for name in data.clip_ids]], n_speakers) for data in parts]


def layer_of(layers: list[int]) -> int:
    """The layer whose vectors are clustered: the lowest above 0, or else the only one."""
    return min(layers, key=lambda layer: (layer < LAYER, layer))


def _check_unknown(data: Embeddings) -> None:
    known = (data.speakers != "") | (data.sessions != "")
    if known.any():
        what = "speaker" if (data.speakers != "").any() else "session"
        raise InputError(
            f"--guess-speakers: {int(known.sum())} of {len(known)} clips have a {what} "
            f"({first(data.clip_ids[known].tolist())}): drop the flag, and give the others one in step 1's table"
        )


def _guessed(data: Embeddings, vectors: np.ndarray, n_speakers: int) -> Embeddings:
    speakers = np.zeros(len(data.clip_ids), dtype=f"<U{len(GUESSED) + len(str(n_speakers)) + 2}")
    origin = data.origin()
    for corpus in np.unique(data.corpora):
        clips = np.flatnonzero((data.corpora == corpus) & (data.augmented_from == ""))
        number = clusters(vectors[clips], data.audio_sha256[clips], n_speakers, str(corpus))
        width = max(2, len(str(n_speakers)))
        speakers[clips] = [f"{GUESSED}{one:0{width}d}" for one in number]
    return replace(data, speakers=speakers[origin])


def clusters(vectors: np.ndarray, recordings: np.ndarray, n_speakers: int, corpus: str) -> np.ndarray:
    """The number (n,) from 1 on of each clip's group; clips (n, d) of one of the `recordings` (n,) are in one group.

    Raises:
        InputError: there are fewer recordings than groups, or more than MOST.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    names, recording, counts = np.unique(recordings, return_inverse=True, return_counts=True)
    if not 2 <= n_speakers <= len(names):
        raise InputError(
            f"--guess-speakers {n_speakers}: {corpus} has {len(names)} recordings: give a number from 2 to {len(names)}"
        )
    if len(names) > MOST:
        raise InputError(
            f"--guess-speakers: {corpus} has {len(names)} recordings, and at most {MOST} can be clustered: use --cv "
            "random (optimistic), or fewer clips in step 1's table"
        )
    mean, deviation, _ = moments(vectors)
    sums = np.zeros((len(names), vectors.shape[1]))
    np.add.at(sums, recording, (vectors - mean) / deviation)
    found = fcluster(linkage(sums / counts[:, None], "ward"), n_speakers, "maxclust")
    return found[recording]
