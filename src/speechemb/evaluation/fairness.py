"""For whom a run works: UAR by gender and by speaker.

Genders are compared by their speakers: the interval of each is over its speakers, and the p-value of the gap comes
from handing the genders out to the speakers at random. The interval of one speaker is over that speaker's clips: there
is no other unit. The worst of many speakers is low by chance too; its interval does not know that it was picked.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechemb.metrics import classification, intervals

SHUFFLES = 10_000


def fairness(
    true, predicted, clip_ids, speakers: NDArray, genders: dict[str, str], labels: list[str], repeats: int = 1
) -> dict[str, Any]:
    """The keys `by_gender`, `gender_gap` and `by_speaker` of an evaluation.

    Args:
        true: true labels, N of them
        predicted: predicted labels
        clip_ids: equal for repeats of one clip
        speakers: `<corpus>/<speaker>` `(N,)`, empty = unknown: such clips are left out here
        genders: speaker -> gender, of the speakers whose gender is known
        labels: the K classes
        repeats: how often every clip was predicted; each counts once

    Returns:
        `by_gender`: gender -> clips, speakers, uar, accuracy, interval_95 (of UAR; null for fewer than two speakers);
        `gender_gap`: better, worse, difference, p; null unless two or more genders have speakers;
        `by_speaker`: speaker, gender, clips, uar, interval_95, the worst first
    """
    known = speakers != ""
    if not known.any():
        return {"by_gender": {}, "gender_gap": None, "by_speaker": []}
    true, predicted, clip_ids = (np.asarray(values)[known].tolist() for values in (true, predicted, clip_ids))
    names, who = np.unique(speakers[known], return_inverse=True)
    confusions = intervals.speaker_confusions(true, predicted, speakers[known].tolist(), labels) / repeats
    of = np.array([genders.get(name, "") for name in names])
    by_gender = {gender: _group(confusions[of == gender]) for gender in sorted(set(of) - {""})}
    of_clips = [_clips(true, predicted, clip_ids, np.flatnonzero(who == i), labels) for i in range(len(names))]
    by_speaker = [
        {"speaker": str(name), "gender": str(gender), "clips": round(confusion.sum())}
        | {"uar": float(classification.uar_of(confusion)), "interval_95": interval(clips / repeats)}
        for name, gender, confusion, clips in zip(names, of, confusions, of_clips, strict=True)
    ]
    by_speaker.sort(key=lambda row: (row["uar"], row["speaker"]))
    return {"by_gender": by_gender, "gender_gap": gap(by_gender, confusions, of), "by_speaker": by_speaker}


def _clips(true: list, predicted: list, clip_ids: list, own: NDArray, labels: list[str]) -> NDArray:
    """(n, K, K): the confusion matrix of each of the clips with these indices; repeats of a clip share one."""
    columns = ([values[i] for i in own] for values in (true, predicted, clip_ids))
    return intervals.speaker_confusions(*columns, labels)


def _group(confusions: NDArray) -> dict[str, Any]:
    total = confusions.sum(0)
    return {
        "clips": round(total.sum()),
        "speakers": len(confusions),
        "uar": float(classification.uar_of(total)),
        "accuracy": float(classification.accuracy_of(total)),
        "interval_95": interval(confusions),
    }


def interval(confusions: NDArray) -> list[float] | None:
    """95 % interval of UAR over the units (speakers, or the clips of one); None where there is none."""
    low, high = intervals.speaker_interval(classification.uar_of, confusions)
    return None if np.isnan(low) else [low, high]


def gap(by_gender: dict[str, dict], confusions: NDArray, of: NDArray) -> dict[str, Any] | None:
    """The gender with the highest and with the lowest UAR, their difference, and the p-value of "no difference".

    p: share of shuffles of the two genders over their speakers with a difference as large, the observed one included
    (Phipson, Smyth 2010).
    """
    if len(by_gender) < 2:
        return None
    order = sorted(by_gender, key=lambda gender: by_gender[gender]["uar"])
    worse, better = order[0], order[-1]
    both = np.isin(of, [worse, better])
    confusions, first = confusions[both].astype(float), (of[both] == better).astype(float)
    rng = np.random.default_rng(0)
    drawn = rng.permuted(np.tile(first, (SHUFFLES, 1)), axis=1)
    flat = confusions.reshape(len(confusions), -1)
    uar = [classification.uar_of((part @ flat).reshape(-1, *confusions.shape[1:])) for part in (drawn, 1 - drawn)]
    difference = by_gender[better]["uar"] - by_gender[worse]["uar"]
    extreme = int((np.abs(uar[0] - uar[1]) >= difference - 1e-12).sum())
    p = (extreme + 1) / (SHUFFLES + 1)
    return {"better": better, "worse": worse, "difference": difference, "p": p}
