"""The data card of a corpus: what its clips are like, and what about them could mislead a classifier's figures."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from speechemb.audio.segments import part_of
from speechemb.errors import first
from speechemb.labels import ordered

LISTED = 100  # pairs of clips in the card; all of them are counted


def card(clips: pd.DataFrame, levels: np.ndarray, clipped: np.ndarray, alike: list[tuple[int, int]]) -> dict[str, Any]:
    """The card of these clips.

    `clips`: the columns of `metadata.METADATA_COLUMNS`. `levels` (n,): dB re full scale. `clipped` (n,): the share of
    samples at full scale. `alike`: rows of clips that are one recording, as `fingerprint.pairs` gives them.
    """
    known = clips[clips.speaker != ""]
    table = pd.crosstab(known.speaker, known.emotion)
    table = table[ordered(table.columns)] if len(table) else table
    n_emotions = (table.to_numpy() > 0).sum(axis=1)
    single = [str(name) for name, n in zip(table.index, n_emotions, strict=True) if n == 1]
    single = single if clips.emotion.nunique() > 1 else []
    exact = _identical(clips)
    ids, digests = clips.clip_id, clips.audio_sha256
    near_ids = [[ids.iloc[i], ids.iloc[j]] for i, j in alike if digests.iloc[i] != digests.iloc[j]]
    return {
        "clips": len(clips),
        "emotions": {label: int((clips.emotion == label).sum()) for label in ordered(clips.emotion)},
        "speakers": len(table),
        "clips_of_unknown_speakers": int((clips.speaker == "").sum()),
        "clips_by_speaker_and_emotion": {name: _counts(row) for name, row in table.iterrows()},
        "speakers_with_one_emotion": single,
        "genders": _counts(clips.gender[clips.gender != ""].value_counts()),
        "minutes": round(float(clips.duration_s.sum()) / 60, 1),
        "duration_s": _quartiles(clips.duration_s.to_numpy(dtype=float)),
        "sample_rates": {str(rate): int(n) for rate, n in sorted(Counter(clips.sample_rate.tolist()).items())},
        "level_db": _quartiles(levels),
        "clips_that_clip": int((clipped > 0.001).sum()),
        "share_of_samples_clipped": round(float(np.average(clipped, weights=clips.duration_s)), 6),
        "identical_clips": {"pairs": len(exact), "first": exact[:LISTED]},
        "clips_of_one_recording": {"pairs": len(near_ids), "first": near_ids[:LISTED]},
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The card in a few lines, for the terminal."""
    seconds, level = found["duration_s"], found["level_db"]
    rates = ", ".join(f"{rate} Hz ({n})" for rate, n in found["sample_rates"].items())
    return [
        f"seconds: {seconds['min']:g} to {seconds['max']:g}, quartiles {_middle(seconds)}; {rates}",
        f"level in dB of full scale: {level['min']:g} to {level['max']:g}, quartiles {_middle(level)}; "
        f"{found['clips_that_clip']} clips with over one sample in 1,000 at full scale",
    ]


def warnings(found: dict[str, Any]) -> list[str]:
    """What a user should know before training on these clips; one line each."""
    single, said = found["speakers_with_one_emotion"], []
    if single:
        said.append(
            f"{len(single)} of {found['speakers']} speakers have clips of one emotion only ({first(single)}): the "
            "speaker gives the emotion away, so use speaker-independent folds"
        )
    for key, what in (("identical_clips", "are the same file"), ("clips_of_one_recording", "are one recording")):
        if n := found[key]["pairs"]:
            one, other = found[key]["first"][0]
            more = f" and {n - 1} more {'pair' if n == 2 else 'pairs'}" if n > 1 else ""
            different = "" if key == "identical_clips" else ", at another level or in another format"
            said.append(f"{one} and {other}{more} {what}{different}")
    return said


def _identical(clips: pd.DataFrame) -> list[list[str]]:
    """Pairs of clips whose files, or parts of them, are the same: the first of them with each of the others."""
    audio = clips.audio_sha256 + clips.path.map(part_of).map(str)
    twins = audio[audio.duplicated(keep=False)]
    groups = [clips.clip_id[part.index].tolist() for _, part in twins.groupby(twins, sort=False)]
    return [[names[0], other] for names in groups for other in names[1:]]


def _counts(row: pd.Series) -> dict[str, int]:
    return {str(name): int(n) for name, n in row.items() if n}


def _quartiles(values: np.ndarray) -> dict[str, float]:
    at = {"min": 0, "q25": 25, "median": 50, "q75": 75, "max": 100}
    return {name: round(float(np.percentile(values, percent)), 2) for name, percent in at.items()}


def _middle(values: dict[str, float]) -> str:
    return f"{values['q25']:g}, {values['median']:g}, {values['q75']:g}"
