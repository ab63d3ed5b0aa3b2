"""Whether a run works equally well for everyone: UAR by gender and by speaker.

Genders are compared over their speakers: the interval of each is over its speakers, and the p-value of the gap comes
from permuting the genders over the speakers. The interval of a single speaker is over that speaker's clips, the only
unit there is. The worst of many speakers is low by chance too, and its interval does not correct for having been picked
as the worst. The UAR of a speaker with one emotion only, or with few clips, says little: such speakers are marked.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechemb.evaluation.counts import Counts
from speechemb.metrics import classification, intervals

SHUFFLES = 10_000
FEW = 10  # clips


def fairness_of(counts: Counts, genders: dict[str, str], repeats: int = 1) -> dict[str, Any]:
    """The keys `by_gender`, `gender_gap` and `by_speaker` of an evaluation; clips of unknown speakers are excluded.

    Args:
        counts: of the run
        genders: `<corpus>/<speaker>` -> gender, of the speakers whose gender is known
        repeats: how often every clip was predicted; each clip counts once

    Returns:
        `by_gender`: gender -> clips, speakers, uar, accuracy, interval_95 (of UAR, or null), no_interval (why);
        `gender_gap`: better, worse, difference, p; null unless two or more genders have speakers;
        `by_speaker`: speaker, gender, clips, uar, interval_95, no_interval, doubt (`one emotion only`, `few clips` or
        empty), the worst first
    """
    confusions = counts.by_speaker / repeats
    gender_of = np.array([genders.get(speaker, "") for speaker in counts.speakers], dtype=np.str_)
    by_gender = {
        gender: gender_figures(confusions[gender_of == gender]) for gender in sorted(set(gender_of.tolist()) - {""})
    }
    by_speaker = []
    for speaker, gender, matrix in zip(counts.speakers, gender_of.tolist(), confusions, strict=True):
        clips = counts.by_clip[counts.clip_speakers == speaker] / repeats
        figures = {"clips": len(clips), "uar": float(classification.uar_of(matrix)), **uar_interval(clips, "clips")}
        by_speaker.append({"speaker": speaker, "gender": gender, **figures, "doubt": doubt_of(matrix)})
    by_speaker.sort(key=lambda row: (row["uar"], row["speaker"]))
    gap = gender_gap(by_gender, confusions, gender_of)
    return {"by_gender": by_gender, "gender_gap": gap, "by_speaker": by_speaker}


def gender_figures(confusions: NDArray) -> dict[str, Any]:
    """Clips, speakers, uar, accuracy and interval_95 of one gender's speakers, from their matrices (S, K, K)."""
    total = confusions.sum(0)
    return {
        "clips": round(total.sum()),
        "speakers": len(confusions),
        "uar": float(classification.uar_of(total)),
        "accuracy": float(classification.accuracy_of(total)),
        **uar_interval(confusions, "speakers"),
    }


def uar_interval(confusions: NDArray, unit: str) -> dict[str, Any]:
    """`interval_95` of UAR over the units (speakers, or the clips of one), null where there is none, and why."""
    low, high = intervals.speaker_interval(classification.uar_of, confusions)
    if np.isnan(low):
        return {"interval_95": None, "no_interval": intervals.why_no_interval(classification.uar_of, confusions, unit)}
    return {"interval_95": [low, high], "no_interval": ""}


def doubt_of(matrix: NDArray) -> str:
    """Why the UAR of a speaker with these confusions (K, K) says little; empty where it says something."""
    if np.count_nonzero(matrix.sum(1)) < 2:
        return "one emotion only"
    return "few clips" if matrix.sum() < FEW else ""


def gender_gap(by_gender: dict[str, dict], confusions: NDArray, gender_of: NDArray) -> dict[str, Any] | None:
    """The genders with the highest and the lowest UAR, their difference, and the p-value of "no difference".

    p: share of random permutations of the two genders over their speakers whose difference is at least as large, the
    observed one included (Phipson, Smyth 2010).

    Args:
        by_gender: gender -> `gender_figures`
        confusions: `(S, K, K)`, one per speaker
        gender_of: `(S,)`, empty: unknown
    """
    if len(by_gender) < 2:
        return None
    order = sorted(by_gender, key=lambda gender: by_gender[gender]["uar"])
    worse, better = order[0], order[-1]
    both = np.isin(gender_of, [worse, better])
    confusions, first = confusions[both].astype(float), (gender_of[both] == better).astype(float)
    rng = np.random.default_rng(0)
    drawn = rng.permuted(np.tile(first, (SHUFFLES, 1)), axis=1)
    flat = confusions.reshape(len(confusions), -1)
    uar = [classification.uar_of((part @ flat).reshape(-1, *confusions.shape[1:])) for part in (drawn, 1 - drawn)]
    difference = by_gender[better]["uar"] - by_gender[worse]["uar"]
    extreme = int((np.abs(uar[0] - uar[1]) >= difference - 1e-12).sum())
    p = (extreme + 1) / (SHUFFLES + 1)
    return {"better": better, "worse": worse, "difference": difference, "p": p}
