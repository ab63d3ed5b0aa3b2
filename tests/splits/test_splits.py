"""Folds share no group between training and test, and errors say what would work where folds cannot be made."""

import csv

import numpy as np
import pytest

from speechemb.errors import InputError
from speechemb.splits.folds import Fold, check, inner_split, make_folds
from speechemb.splits.groups import clip_groups, voices


def columns(n, **given):
    """String arrays for `clip_groups`; audio is unique unless given."""
    empty = np.full(n, "", dtype="<U20")
    names = ("corpora", "speakers", "sessions", "sentences", "audio_sha256")
    found = {name: empty for name in names} | {"corpora": np.full(n, "c"), "audio_sha256": np.arange(n).astype(str)}
    found.update({name: np.asarray(values, dtype=np.str_) for name, values in given.items()})
    return [found[name] for name in names]


def iemocap(shared):
    with open(shared / "data" / "iemocap_metadata" / "turns_4class.csv") as file:
        turns = [row["turn"] for row in csv.DictReader(file)]
    labels = np.arange(len(turns)) % 4
    speakers = [f"{turn[:5]}_{turn.split('_')[-1][0]}" for turn in turns]
    return labels, columns(len(turns), speakers=speakers, sessions=[turn[:5] for turn in turns])


def test_sessions_of_iemocap_are_left_out_one_by_one(shared):
    labels, identity = iemocap(shared)
    folds = make_folds(labels, clip_groups("session", *identity), 5, "session", seed=0)
    assert [len(fold.test) for fold in folds] == [1085, 1023, 1151, 1031, 1241]


@pytest.mark.parametrize("protocol", ["speaker", "session", "random"])
def test_no_group_is_on_both_sides_and_every_clip_is_tested_once(shared, protocol):
    labels, identity = iemocap(shared)
    group = clip_groups(protocol, *identity)
    folds = make_folds(labels, group, 5, protocol, seed=3)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(labels)))
    for fold in folds:
        assert not set(group[fold.train]) & set(group[fold.test])
    speakers_shared = [set(identity[1][fold.train]) & set(identity[1][fold.test]) for fold in folds]
    assert all(speakers_shared) if protocol == "random" else not any(speakers_shared)


def test_a_session_with_an_unknown_speaker_stays_whole():
    group = clip_groups("speaker", *columns(4, speakers=["a", "", "b", "c"], sessions=["1", "1", "1", "2"]))
    assert group[0] == group[1] == group[2] != group[3]


def test_identical_audio_joins_its_speakers_and_is_never_divided():
    identity = columns(4, speakers=["a", "a", "b", "c"], audio_sha256=["x", "y", "x", "z"])
    group = clip_groups("speaker", *identity)
    assert group[0] == group[1] == group[2] != group[3]
    group = clip_groups("random", *identity)
    assert group[0] == group[2] and len(set(group)) == 3


def test_speaker_01_of_two_corpora_is_two_people():
    group = clip_groups("speaker", *columns(2, corpora=["a", "b"], speakers=["01", "01"]))
    assert group[0] != group[1]


def test_the_groups_that_are_resampled_have_names():
    corpora = ["a", "a", "b", "a", "a", "c", "c", "c", "d", "d"]
    speakers = ["01", "01", "01", "", "", "x", "", "y", "m", "n"]
    sessions = ["", "", "", "", "", "1", "1", "2", "", ""]
    audio = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "8"]
    originals = ["a/0", "a/1", "b/2", "a/3", "a/3", "c/5", "c/6", "c/7", "d/8", "d/9"]
    identity = [np.array(values) for values in (corpora, speakers, sessions, audio, originals)]
    expected = ["a/01", "a/01", "b/01", "clip:a/3", "clip:a/3", "c/session:1", "c/session:1", "c/y", "d/m", "d/m"]
    assert voices(*identity).tolist() == expected
    order = np.random.default_rng(0).permutation(10)  # the names do not depend on the order
    assert voices(*(values[order] for values in identity)).tolist() == [expected[i] for i in order]


@pytest.mark.parametrize(
    ("protocol", "known", "message"),
    [
        ("speaker", {}, "--cv random"),
        ("sentence", {"speakers": ["a"] * 8}, "no sentence"),
        ("session", {"speakers": ["a"] * 8}, "no session"),
    ],
)
def test_what_a_protocol_needs_is_named(protocol, known, message):
    with pytest.raises(InputError, match=message):
        clip_groups(protocol, *columns(8, **known))


@pytest.mark.parametrize(
    ("labels", "group", "n_folds", "protocol", "message"),
    [
        ([0, 1] * 4, [0, 0, 1, 1, 2, 2, 3, 3], 5, "speaker", "--n-folds 4"),
        ([0, 1] * 4, [0] * 8, 2, "speaker", "nothing can be held out"),
        ([0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2, 3, 3], 2, "speaker", "class 1 occurs in 1"),
        ([0] * 6 + [1] * 2, list(range(8)), 4, "random", "--n-folds 2"),
        ([0, 1], [0, 1], 1, "speaker", "at least 2"),
    ],
)
def test_what_cannot_be_divided_is_said_with_what_would_work(labels, group, n_folds, protocol, message):
    with pytest.raises(InputError, match=message):
        make_folds(np.array(labels), np.array(group), n_folds, protocol, seed=0)


def test_the_check_notices_a_group_on_both_sides():
    fold = Fold("1", np.array([0, 1]), np.array([2, 3]))
    with pytest.raises(AssertionError, match="in both training and test"):
        check([fold], np.array([0, 1, 0, 1]), np.array([0, 1, 1, 2]), "speaker")


def test_the_inner_split_keeps_groups_together():
    labels, group = np.tile([0, 1, 2, 3], 30), np.repeat(np.arange(12), 10)
    train, valid = inner_split(labels, group, seed=0)
    assert not set(group[train]) & set(group[valid])
    assert len(train) + len(valid) == 120 and 10 <= len(valid) <= 40
    train, valid = inner_split(labels, np.zeros(120), seed=0)  # a single speaker: by class only
    assert set(labels[valid]) == {0, 1, 2, 3} and not set(train) & set(valid)
