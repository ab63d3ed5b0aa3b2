"""Small corpora of every shape: they are divided, or the error says what would work; nothing else happens."""

import logging

import numpy as np
import pytest

from speechemb.artifacts.embeddings import Embeddings
from speechemb.errors import InputError
from speechemb.splits import PROTOCOLS, folds, protocols
from speechemb.splits.folds import inner_split, make_folds


def random_corpus(rng):
    """Up to 40 clips with unknown values, copies, and audio that several of them share."""
    n = int(rng.integers(1, 40))

    def column(most, unknown=0.0):
        values = rng.integers(0, rng.integers(1, most + 1), n).astype("<U20")
        values[rng.random(n) < unknown] = ""
        return values

    labels, ids = column(8), np.arange(n).astype("<U20")
    if rng.random() < 0.3:  # one large class
        labels[rng.random(n) < 0.8] = "0"
    speakers = ids.copy() if rng.random() < 0.2 else column(11, rng.choice([0, 0, 0.1, 1]))
    corpora = column(3) if rng.random() < 0.4 else np.full(n, "c")
    copy_of = np.full(n, "", "<U20")
    if rng.random() < 0.2 and n > 3:
        originals = rng.integers(0, n // 2, n - n // 2)
        copy_of[n // 2 :] = ids[originals]
        for values in (labels, speakers, corpora):
            values[n // 2 :] = values[originals]
    return Embeddings(
        embeddings=np.zeros((n, 1, 1), np.float32),
        layers=np.array([0]),
        labels=labels,
        clip_ids=ids,
        speakers=speakers,
        sessions=column(5, rng.choice([0, 0.2, 1])),
        sentences=column(4, rng.choice([0, 0, 0.2])),
        corpora=corpora,
        genders=np.full(n, ""),
        paths=ids,
        audio_sha256=ids.copy() if rng.random() < 0.6 else column(n),
        augmented_from=copy_of,
        meta={},
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("cv", [*PROTOCOLS, "cross-corpus"])
def test_a_small_corpus_is_divided_or_refused(cv):
    divided = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        data, settings = random_corpus(rng), {}
        if cv != "cross-corpus":
            settings = {"n_folds": int(rng.choice([1, 2, 3, 5, 10])), "repeats": int(rng.choice([1, 1, 3]))}
        if cv == "random":
            settings["leak"] = str(rng.choice(["", "copies"]))
        try:
            plan = protocols.plan(data, protocols.Protocol(cv, seed=seed, **settings))
        except InputError as error:
            assert "\n" not in str(error)
            continue
        divided += 1
        assert (protocols.voices_of(plan.data) != "").all()
        for fold in plan.folds:
            labels = plan.data.labels[fold.train]
            train, valid = inner_split(labels, plan.group[fold.train], seed)
            assert len(fold.test) and len(valid) and set(labels[train]) == set(labels)
    assert divided >= 3


def test_eight_speakers_with_one_clip_each_are_divided():
    labels, group = np.array([0, 1] * 4), np.arange(8)
    made = make_folds(labels, group, 5, "speaker", 0)
    assert sorted(np.concatenate([fold.test for fold in made])) == list(range(8))
    assert sorted(len(fold.test) for fold in made) == [1, 1, 2, 2, 2]
    for fold in made:
        train, valid = inner_split(labels[fold.train], group[fold.train], 0)
        assert not set(train) & set(valid) and set(labels[fold.train][train]) == {0, 1}


@pytest.mark.parametrize(
    ("labels", "group", "message", "overlap"),
    [
        ([0, 0, 0, 0, 1], [0, 1, 2, 3, 4], "", False),
        ([0, 0, 0, 0, 1], [0, 0, 0, 0, 0], "clips of the same speakers", False),
        ([0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], "clips of the same speakers", False),
        ([0, 1, 2], [0, 1, 2], "validated on the clips they learn from", True),
    ],
)
def test_an_inner_split_that_is_not_speaker_independent_is_said(labels, group, message, overlap, caplog):
    folds._log_once.cache_clear()
    labels = np.array(labels)
    with caplog.at_level(logging.WARNING):
        for seed in range(3):
            train, valid = inner_split(labels, np.array(group), seed)
            assert set(labels[train]) == set(labels) and bool(set(train) & set(valid)) == overlap
    assert [message in record.message for record in caplog.records] == [True] * bool(message)  # once


def test_one_corpus_inside_the_other_leaves_nothing_to_test():
    data = random_corpus(np.random.default_rng(0))
    n = len(data.labels)
    data.corpora, data.labels = np.array(["a", "b"] * n)[:n], np.array(["0", "0", "1", "1"] * n)[:n]
    data.audio_sha256, data.augmented_from = np.full(n, "same"), np.full(n, "")
    with pytest.raises(InputError, match="nothing to test on"):
        protocols.plan(data, protocols.Protocol("cross-corpus"))
