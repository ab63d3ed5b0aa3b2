"""Groups of clips that a split must not divide between training and test."""

import numpy as np

from speechemb.errors import InputError, first
from speechemb.speakers import within_corpus
from speechemb.splits import is_guessed


def connected(*keys: np.ndarray) -> np.ndarray:
    """Group numbers (n,) int64: clips that share a non-empty value in any of the string arrays `keys` form one group.

    Sharing is transitive: if speakers A and B share one identical clip, all their clips form one group.
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
    """Group number (n,) int64 of each clip under a protocol. The columns are string arrays (n,), empty = unknown.

    For `speaker+sentence` the result is (n, 2): the clip's group of speakers and its group of sentences.

    Raises:
        InputError: a clip lacks what the protocol needs.
    """
    speaker, session = within_corpus(corpora, speakers), within_corpus(corpora, sessions)
    if protocol == "random":
        return connected(audio_sha256)
    if protocol == "speaker+sentence":
        both = [clip_groups(one, corpora, speakers, sessions, sentences, audio_sha256) for one in protocol.split("+")]
        return np.stack(both, axis=1)
    if is_guessed(protocol):  # the guesses stand in the column of speakers
        return connected(speaker, audio_sha256)
    if protocol == "speaker":
        _require(protocol, (speaker != "") | (session != ""), corpora, "neither speaker nor session")
        return connected(speaker, _whole_sessions(speaker, session), audio_sha256)
    # Sentence codes are defined per corpus: the same code in two corpora is not the same sentence.
    values = {"session": session, "sentence": within_corpus(corpora, sentences)}[protocol]
    _require(protocol, values != "", corpora, f"no {protocol}")
    return connected(values, audio_sha256)


def voices(corpora, speakers, sessions, audio_sha256, originals) -> np.ndarray:
    """The name of each clip's group (n,): clips that are not independent, as far as is known, whatever the protocol.

    A group is a speaker, `<corpus>/<speaker>`; where speakers are unknown, a session, `<corpus>/session:<session>`; and
    where that is unknown too, a clip by itself, `clip:<clip id>`. Groups that share identical audio are one, with the
    name that sorts first. Unlike `clip_groups` this never fails: an unknown speaker concerns that clip only.

    Args:
        corpora, speakers, sessions, audio_sha256: string arrays (n,), empty = unknown
        originals: (n,) the clip id of each clip, or of its original where it is an augmented copy
    """
    speaker, session = within_corpus(corpora, speakers), within_corpus(corpora, sessions)
    whole = _whole_sessions(speaker, session)
    group = connected(speaker, whole, audio_sha256, originals)
    session_name = within_corpus(corpora, np.where(whole == "", "", np.char.add("session:", sessions)))
    own = np.where(speaker == "", np.char.add("clip:", originals), speaker)
    name = np.where(session_name == "", own, session_name)
    order = np.lexsort((name, group))
    _, first_of, inverse = np.unique(group[order], return_index=True, return_inverse=True)
    found = np.empty_like(name)
    found[order] = name[order][first_of][inverse]
    return found


def _whole_sessions(speaker: np.ndarray, session: np.ndarray) -> np.ndarray:
    """The sessions with a clip of unknown speaker, empty elsewhere: that clip may be by anyone in its session."""
    return np.where(np.isin(session, np.unique(session[speaker == ""])), session, "")


def _require(protocol: str, known: np.ndarray, corpora: np.ndarray, lacking: str) -> None:
    if not known.all():
        which = first(np.unique(corpora[~known]).tolist())
        guess = ", or --guess-speakers N (optimistic as well)" if protocol == "speaker" and not known.any() else ""
        raise InputError(
            f"--cv {protocol}: {int((~known).sum())} clips of {which} have {lacking}; give the column in step 1's "
            f"table, or use --cv random (optimistic: speakers in both training and test){guess}"
        )
