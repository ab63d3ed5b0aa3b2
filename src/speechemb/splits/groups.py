"""Groups of clips that have to stay on one side of a split."""

import numpy as np

from speechemb.errors import InputError, first
from speechemb.speakers import within_corpus


def connected(*keys: np.ndarray) -> np.ndarray:
    """Group numbers (n,) int64: clips that share a non-empty value in any of the string arrays `keys` are one group.

    Sharing is transitive: if speakers A and B share one identical clip, all clips of A and B are one group.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(keys[0])
    edges = []
    for key in keys:
        _, first_with, inverse = np.unique(key, return_index=True, return_inverse=True)
        known = np.flatnonzero(key != "")
        edges.append(np.stack([known, first_with[inverse[known]]]))
    rows, columns = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def clip_groups(protocol: str, corpora, speakers, sessions, sentences, audio_sha256) -> np.ndarray:
    """Group number (n,) int64 of each clip under a protocol; arguments are string arrays (n,), empty = unknown.

    For `speaker+sentence` the result is (n, 2): the clip's group of speakers and its group of sentences.

    Raises:
        InputError: the protocol needs something that a clip lacks.
    """
    speaker, session = within_corpus(corpora, speakers), within_corpus(corpora, sessions)
    if protocol == "random":
        return connected(audio_sha256)
    if protocol == "speaker+sentence":
        both = [clip_groups(one, corpora, speakers, sessions, sentences, audio_sha256) for one in protocol.split("+")]
        return np.stack(both, axis=1)
    if protocol == "speaker":
        # A clip without a speaker may be by anybody of its session, so such a session stays whole.
        anonymous = np.unique(session[speaker == ""])
        whole_session = np.where(np.isin(session, anonymous), session, "")
        _require(protocol, (speaker != "") | (session != ""), corpora, "neither speaker nor session")
        return connected(speaker, whole_session, audio_sha256)
    # A sentence is the same sentence in every corpus only if the corpora say so; they do not, so it is per corpus.
    values = {"session": session, "sentence": within_corpus(corpora, sentences)}[protocol]
    _require(protocol, values != "", corpora, f"no {protocol}")
    return connected(values, audio_sha256)


def _require(protocol: str, known: np.ndarray, corpora: np.ndarray, lacking: str) -> None:
    if not known.all():
        which = first(np.unique(corpora[~known]).tolist())
        raise InputError(
            f"--cv {protocol}: {int((~known).sum())} clips of {which} have {lacking}; give the column in step 1's "
            "table, or use --cv random (optimistic: speakers are on both sides)"
        )
