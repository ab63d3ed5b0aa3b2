"""From a corpus's list of clips to the rows of `data/processed/<corpus>.csv`: which are kept, and why others are not.

The order: names that cannot be written, contradictory duplicates, the classes asked for, the subset, the check of every
clip's audio.
"""

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from speechemb import terminal
from speechemb.artifacts import provenance
from speechemb.artifacts.metadata import EXCLUDED_COLUMNS, METADATA_COLUMNS
from speechemb.audio import decoding
from speechemb.audio.files import AudioError, cell_of_path, opened, printable
from speechemb.audio.fingerprint import Fingerprint
from speechemb.audio.measures import MAX_PEAK, Measures
from speechemb.corpora import Clip, Corpus, card
from speechemb.errors import InputError, first
from speechemb.labels import merge_excited, ordered
from speechemb.paths import shown

Result = TypeVar("Result")
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


@dataclass(frozen=True)
class Examined:
    """What the audio of a clip is like; `fault` is why it is unusable, empty if it is usable."""

    seconds: float = 0.0
    rate: int = 0  # Hz
    level_db: float = 0.0
    clipped: float = 0.0  # share of samples at full scale
    fingerprint: np.ndarray | None = None
    fault: str = ""


def prepare(corpus: Corpus, wanted: list[str] | None, fraction: float = 1.0, seed: int = 0) -> Prepared:
    """Choose and check the clips of a corpus.

    `wanted`: classes in canonical spelling, None for all. `fraction`: part of the clips of these classes,
    drawn with `seed`.

    Raises:
        InputError: files are Git LFS pointers, two clips have the same id, or no clip is kept.
    """
    clips = sorted((_nameable(clip) for clip in corpus.clips), key=lambda clip: clip.clip_id)
    _check_ids(clips)
    _check_lfs(corpus, clips)
    clips = [replace(clip, emotion=merge_excited(clip.emotion, wanted)) for clip in clips]
    hashes = dict(zip([clip.clip_id for clip in clips], _threaded(_hash, clips, "hashing"), strict=True))
    clips = mark_contradictions(clips, hashes)
    clips = _mark(clips, lambda clip: wanted and clip.emotion not in wanted, "emotion not selected")
    drawn = {clip.clip_id for clip in subset(_kept(clips), fraction, seed)}
    clips = _mark(clips, lambda clip: clip.clip_id not in drawn, f"not in the {100 * fraction:g} % subset")
    examined = _threaded(examine, _kept(clips), "checking")
    found = dict(zip([clip.clip_id for clip in _kept(clips)], examined, strict=True))
    clips = [replace(clip, excluded=clip.excluded or found[clip.clip_id].fault) for clip in clips]
    if not (kept := _kept(clips)):
        raise InputError(_nothing_left(corpus, clips, wanted))
    content = {
        "corpus": corpus.name,
        "source": corpus.source,
        "emotions": wanted or "all",
        "fraction": fraction,
        "seed": seed,
        "clips_sha256": provenance.fingerprint(clips=[[c.clip_id, hashes[c.clip_id]] for c in kept]),
    }
    _warn_of_missing(corpus, clips)
    table, examined = _table(kept, found, hashes), [found[clip.clip_id] for clip in kept]
    levels, clipped = (np.array([getattr(one, name) for one in examined]) for name in ("level_db", "clipped"))
    described = card.card(table, levels, clipped, [one.fingerprint for one in examined])
    return Prepared(corpus.name, table, _excluded(clips), content, described)


def mark_contradictions(clips: list[Clip], hashes: dict[str, str]) -> list[Clip]:
    """Exclude clips whose files are byte-identical but whose emotions differ: at most one can be right.

    Identical clips of one emotion are kept; folds never separate them.
    """
    twins = defaultdict(list)
    for clip in clips:
        if not clip.excluded and hashes[clip.clip_id]:
            twins[hashes[clip.clip_id]].append(clip)
    reasons = {}
    for group in twins.values():
        for clip in group:
            others = [f"{c.clip_id} ({c.emotion})" for c in group if c.emotion != clip.emotion]
            if others:
                reasons[clip.clip_id] = f"same audio under another emotion: {', '.join(others)}"
    return [replace(clip, excluded=clip.excluded or reasons.get(clip.clip_id, "")) for clip in clips]


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


def examine(clip: Clip) -> Examined:
    """Decode a clip block by block, so that an hour takes no more memory than a second, and measure it."""
    try:
        with decoding.stream(clip.path) as (rate, blocks):
            measures, mark = Measures(rate), Fingerprint(rate)
            for block in blocks:
                measures.add(block)
                if measures.finite and measures.peak <= MAX_PEAK:
                    mark.add(block)
    except decoding.AudioError as error:
        return Examined(fault=error.reason)
    if fault := measures.fault():
        return Examined(fault=fault)
    seconds, share = round(measures.samples / rate, 4), measures.clipped / measures.samples
    return Examined(seconds, rate, round(measures.rms_db, 2), share, mark.vector())


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


def _check_lfs(corpus: Corpus, clips: list[Clip]) -> None:
    if pointers := [clip.path.name for clip in clips if decoding.is_lfs_pointer(clip.path)]:
        raise InputError(
            f"{shown(corpus.folder)}: {len(pointers)} of {len(clips)} files are Git LFS pointers, not audio "
            f"({first(pointers)}): run `git lfs pull` in the clone"
        )


def _hash(clip: Clip) -> str:
    """SHA-256 of the file; empty if it is empty or cannot be read, which `examine` reports."""
    try:
        if clip.excluded == NOT_UTF8:
            return ""
        with opened(clip.path) as file:
            return provenance.sha256(file) if os.fstat(file.fileno()).st_size else ""
    except (AudioError, OSError):
        return ""


def _nameable(clip: Clip) -> Clip:
    """The clip, excluded where the name of its file could not be written into a CSV."""
    if clip.clip_id == printable(clip.clip_id) and str(clip.path) == printable(str(clip.path)):
        return clip
    named = {name: printable(getattr(clip, name)) for name in ("clip_id", "speaker", "session", "sentence")}
    return replace(clip, **named, excluded=NOT_UTF8)


def _warn_of_missing(corpus: Corpus, clips: list[Clip]) -> None:
    if missing := _paths(clip for clip in clips if clip.excluded == "missing"):
        log.warning("%s: %d files are missing, first: %s", corpus.name, len(missing), first(missing))


def _paths(clips: Iterable[Clip]) -> list[str]:
    return [printable(shown(clip.path)) for clip in clips]


def _threaded(work: Callable[[Clip], Result], clips: list[Clip], title: str) -> list[Result]:
    # Threads are enough: soundfile and hashlib release the interpreter's lock while they work.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(terminal.bar(pool.map(work, clips), "clips", len(clips), title))


def _table(kept: list[Clip], examined: dict[str, Examined], hashes: dict[str, str]) -> pd.DataFrame:
    table = pd.DataFrame([vars(clip) for clip in kept])
    table["path"] = [cell_of_path(clip.path) for clip in kept]
    table["duration_s"] = [examined[clip.clip_id].seconds for clip in kept]
    table["sample_rate"] = [examined[clip.clip_id].rate for clip in kept]
    table["audio_sha256"] = [hashes[clip.clip_id] for clip in kept]
    return table.loc[:, list(METADATA_COLUMNS)]


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
