"""From a corpus's list of clips to the rows of `data/processed/<corpus>.csv`: which are kept, and why others are not.

The order: names that cannot be written, contradictory duplicates, the classes asked for, the subset, the check of every
clip's audio.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import numbers, provenance
from speechemb.artifacts.metadata import EXCLUDED_COLUMNS, METADATA_COLUMNS
from speechemb.audio import fingerprint
from speechemb.audio.files import cell_of_path, printable
from speechemb.audio.segments import file_of, part_of
from speechemb.corpora import Clip, Corpus, card
from speechemb.corpora.examination import Findings, examine_all, fingerprint_of
from speechemb.errors import InputError, first
from speechemb.labels import merge_excited, ordered
from speechemb.paths import shown

NOT_UTF8 = "the name of the file is not UTF-8: rename it"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A corpus ready to be written: `metadata.write_metadata(path, clips, excluded, **content)`."""

    corpus: str
    clips: pd.DataFrame
    excluded: pd.DataFrame
    content: dict[str, Any]
    card: dict[str, Any]


def prepare(corpus: Corpus, wanted: list[str] | None, fraction: float = 1.0, seed: int = 0) -> Prepared:
    """Choose and check the clips of a corpus.

    `wanted`: classes in canonical spelling, None for all. `fraction`: part of the clips of these classes,
    drawn with `seed`.

    Raises:
        InputError: files are Git LFS pointers, two clips have the same id, or no clip is kept.
    """
    clips = sorted((_nameable(clip) for clip in corpus.clips), key=lambda clip: clip.clip_id)
    _check_ids(clips)
    clips = [_in_class(clip, merge_excited(clip.emotion, wanted)) for clip in clips]
    found = Findings(len(clips))
    # A part is drawn from what contradicts nothing, so that hashes come first; the whole is read once.
    everything = fraction == 1
    listen = [everything and not clip.excluded and (not wanted or clip.emotion in wanted) for clip in clips]
    examine_all(found, range(len(clips)), (clip.path for clip in clips), listen)
    _check_lfs(corpus, clips, found)
    clips = mark_contradictions(clips, found)
    clips = _mark(clips, lambda clip: wanted and clip.emotion not in wanted, "emotion not selected")
    if not everything:
        drawn = {clip.clip_id for clip in subset(_kept(clips), fraction, seed)}
        clips = _mark(clips, lambda clip: clip.clip_id not in drawn, f"not in the {100 * fraction:g} % subset")
        places = [place for place, clip in enumerate(clips) if not clip.excluded]
        examine_all(found, places, (clips[place].path for place in places), [True] * len(places))
    for place, fault in found.faults.items():
        if not clips[place].excluded:
            clips[place] = replace(clips[place], excluded=fault)
    return _prepared(corpus, clips, found, {"emotions": wanted or "all", "fraction": fraction, "seed": seed})


def _prepared(corpus: Corpus, clips: list[Clip], found: Findings, settings: dict[str, Any]) -> Prepared:
    """The rows, the excluded clips and the card of clips that have been examined."""
    places = [place for place, clip in enumerate(clips) if not clip.excluded]
    if not places:
        wanted = settings["emotions"]
        raise InputError(_nothing_left(corpus, clips, None if wanted == "all" else wanted))
    _warn_of_missing(corpus, clips)
    table = _table([clips[place] for place in places], found, places)
    names = ([clips[place].clip_id, found.sha256(place)] for place in places)
    content = {"corpus": corpus.name, "source": corpus.source, **settings}
    content["clips_sha256"] = provenance.fingerprint_of_list("clips", names)

    @lru_cache(maxsize=4096)
    def vector(i: int) -> np.ndarray:
        return fingerprint_of(clips[i].path)

    kept = np.isin(np.arange(len(clips)), places)
    found.sketch[~kept] = np.nan
    row = np.cumsum(kept) - 1
    alike = [(int(row[i]), int(row[j])) for i, j in fingerprint.pairs(found.sketch, found.seconds, vector)]
    described = card.card(table, found.level_db[places], found.clipped[places], alike)
    return Prepared(corpus.name, table, _excluded(clips), content, described)


def mark_contradictions(clips: list[Clip], found: Findings) -> list[Clip]:
    """Exclude clips whose files are byte-identical but whose emotions differ: at most one can be right.

    Of parts of recordings, those with the same times.

    Identical clips of one emotion are kept; folds never separate them.
    """
    twins = defaultdict(list)
    for place in _repeated(found.digest):
        if not clips[place].excluded:
            twins[found.sha256(place), part_of(clips[place].path)].append(clips[place])
    reasons = {}
    for group in twins.values():
        for clip in group:
            others = [f"{c.clip_id} ({c.emotion})" for c in group if c.emotion != clip.emotion]
            if others:
                reasons[clip.clip_id] = f"same audio under another emotion: {', '.join(others)}"
    return [replace(clip, excluded=reasons[clip.clip_id]) if clip.clip_id in reasons else clip for clip in clips]


def _repeated(digests: np.ndarray) -> list[int]:
    """The places, ascending, of digests (n, 32) that occur more than once; without those of zeros, of no file."""
    values = digests.view("V32").ravel()
    _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.flatnonzero((counts[number] > 1) & digests.any(axis=1)).tolist()


def subset(clips: list[Clip], fraction: float, seed: int) -> list[Clip]:
    """Exactly `max(1, round(fraction * n))` clips, stratified by emotion and session.

    Every stratum gets the whole part of its share, and those with the largest remainders get one more
    (Hamilton's method). The order of `clips` does not matter.
    """
    if fraction == 1 or not clips:
        return clips
    strata = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.clip_id):
        strata[(clip.emotion, clip.session)].append(clip)
    total = max(1, round(fraction * len(clips)))
    keys = sorted(strata)
    share = np.array([total * len(strata[key]) / len(clips) for key in keys])
    take = np.floor(share).astype(int)
    take[np.argsort(take - share, kind="stable")[: total - take.sum()]] += 1
    rng = np.random.default_rng(seed)
    return [strata[key][i] for key, n in zip(keys, take, strict=True) for i in rng.permutation(len(strata[key]))[:n]]


def check_together(prepared: list[Prepared], wanted: list[str] | None) -> None:
    """Raise if two corpora have the same name, or no corpus has a class asked for; warn if only some have it."""
    names = [one.corpus for one in prepared]
    if len(set(names)) < len(names):
        raise InputError(f"--corpora: two corpora are named {first(sorted(names))}: rename a table's file")
    for label in wanted or []:
        without = [one.corpus for one in prepared if label not in set(one.clips.emotion)]
        if len(without) == len(prepared):
            raise InputError(
                f"--emotions {label}: no clip of {', '.join(without)} has this emotion; found: "
                f"{', '.join(_found(prepared))}"
            )
        for name in without:
            log.warning("%s: no clip has the emotion %s", name, label)


def _found(prepared: list[Prepared]) -> list[str]:
    """All emotions of these corpora, those of excluded clips included."""
    return ordered(label for one in prepared for part in (one.clips, one.excluded) for label in part.emotion if label)


def counts(prepared: Iterable[Prepared]) -> pd.DataFrame:
    """Clips, speakers and minutes per corpus and emotion, and per corpus."""
    lines = []
    for one in prepared:
        for label in [*ordered(one.clips.emotion), "all"]:
            part = one.clips if label == "all" else one.clips[one.clips.emotion == label]
            # Unknown speakers are not counted.
            speakers = part.speaker[part.speaker != ""].nunique()
            lines.append((one.corpus, label, len(part), speakers or "-", part.duration_s.sum() / 60))
    return pd.DataFrame(lines, columns=["corpus", "emotion", "clips", "speakers", "minutes"]).round(1)


def reasons(one: Prepared) -> dict[str, int]:
    """Reason -> number of clips, most frequent first; the part of a reason that names another clip is dropped."""
    return one.excluded.reason.str.split(":").str[0].value_counts().to_dict()


def _kept(clips: list[Clip]) -> list[Clip]:
    return [clip for clip in clips if not clip.excluded]


def _mark(clips: list[Clip], when: Callable[[Clip], object], reason: str) -> list[Clip]:
    return [replace(clip, excluded=reason) if not clip.excluded and when(clip) else clip for clip in clips]


def _check_ids(clips: list[Clip]) -> None:
    ids = pd.Series([clip.clip_id for clip in clips])
    if (double := ids[ids.duplicated()]).any():
        raise InputError(f"two clips have the same name: {first(list(double))}: rename or remove one of each")


def _check_lfs(corpus: Corpus, clips: list[Clip], found: Findings) -> None:
    if pointers := [clips[place].path.name for place in found.pointers]:
        raise InputError(
            f"{shown(corpus.folder)}: {len(pointers)} of {len(clips)} files are Git LFS pointers, not audio "
            f"({first(pointers)}): run `git lfs pull` in the clone"
        )


def _nameable(clip: Clip) -> Clip:
    """The clip, excluded where the name of its file could not be written into a CSV."""
    if clip.clip_id == printable(clip.clip_id) and str(clip.path) == printable(str(clip.path)):
        return clip
    named = {name: printable(getattr(clip, name)) for name in ("clip_id", "speaker", "session", "sentence")}
    return replace(clip, **named, excluded=NOT_UTF8)


def _in_class(clip: Clip, emotion: str) -> Clip:
    return clip if clip.emotion == emotion else replace(clip, emotion=emotion)


def _warn_of_missing(corpus: Corpus, clips: list[Clip]) -> None:
    if missing := _paths(clip for clip in clips if clip.excluded == "missing"):
        log.warning("%s: %d files are missing, first: %s", corpus.name, len(missing), first(missing))


def _paths(clips: Iterable[Clip]) -> list[str]:
    return list(dict.fromkeys(printable(shown(file_of(clip.path))) for clip in clips))


def _table(kept: list[Clip], found: Findings, places: list[int]) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "path": [cell_of_path(clip.path) for clip in kept],
        "duration_s": found.seconds[places],
        "sample_rate": found.rate[places],
        "audio_sha256": [found.sha256(place) for place in places],
    }
    return pd.DataFrame(
        {
            name: columns[name] if name in columns else [getattr(clip, name) for clip in kept]
            for name in METADATA_COLUMNS
        }
        | _numbers(kept)
    )


def _numbers(kept: list[Clip]) -> dict[str, list[float]]:
    """The columns of numbers that the clips have, in the order of their first clip."""
    values = [dict(clip.numbers) for clip in kept]
    names = dict.fromkeys(name for of in values for name in of)
    return {numbers.PREFIX + name: [of.get(name, np.nan) for of in values] for name in names}


def _excluded(clips: list[Clip]) -> pd.DataFrame:
    rows = [(clip.clip_id, cell_of_path(clip.path), clip.emotion, clip.excluded) for clip in clips if clip.excluded]
    return pd.DataFrame(rows, columns=list(EXCLUDED_COLUMNS))


def _nothing_left(corpus: Corpus, clips: list[Clip], wanted: list[str] | None) -> str:
    reasons = pd.Series([clip.excluded.split(":")[0] for clip in clips]).value_counts()
    why = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
    if missing := _paths(clip for clip in clips if clip.excluded == "missing"):
        why += f"; looked for {first(missing)}"
    known = ordered(clip.emotion for clip in clips if clip.emotion)
    where = corpus.remedy or ("the folder (--data-dir)" if corpus.source == "local" else "the source")
    return (
        f"{corpus.name}: none of the {len(clips)} clips listed for {shown(corpus.folder)} is kept ({why}); "
        f"asked for: {', '.join(wanted or ['all'])}; found: {', '.join(known) or 'no emotion'}: check "
        f"--emotions and {where}"
    )
