"""A clip as the files of its corpus describe it, before its audio is opened."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from speechemb.audio import files
from speechemb.errors import InputError
from speechemb.paths import shown

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Clip:
    """Fields as in `metadata.METADATA_COLUMNS`; a field that is unknown is the empty string."""

    clip_id: str
    path: Path
    corpus: str
    emotion: str = ""  # spelled as by `labels.canonical`
    speaker: str = ""
    session: str = ""
    sentence: str = ""
    gender: str = ""
    numbers: tuple[tuple[str, float], ...] = ()  # name and value, see `artifacts.numbers`; unknown ones are left out
    excluded: str = ""  # why the clip cannot be used; empty if it can


def named_clips(
    folder: Path, corpus: str, describe: Callable[[str], dict[str, Any]], recursive: bool = True
) -> list[Clip]:
    """One clip per audio file; `describe(stem)` gives the fields of `Clip` that the file's name tells.

    Of two files with the same name (some copies of RAVDESS hold each recording twice) the second is excluded.

    Raises:
        InputError: there is no audio file.
    """
    paths, others = files.search(folder, recursive)
    if others:
        log.info("%s: %s", corpus, files.passed_over(others))
    if not paths:
        videos = [suffix for suffix in others if suffix in files.VIDEOS]
        remedy = files.sound_of_videos(f"x{videos[0]}") if videos else f"give the folder of {corpus} with --data-dir"
        raise InputError(f"{shown(folder)} holds no audio file that can be read: {remedy}")
    clips: dict[str, Clip] = {}
    for path in paths:
        clip = Clip(clip_id=f"{corpus}/{path.stem}", path=path, corpus=corpus, **describe(path.stem))
        if clip.clip_id in clips:
            within = path.relative_to(folder).as_posix()
            reason = f"second file of one name: {shown(clips[clip.clip_id].path)}"
            clip = replace(clip, clip_id=f"{corpus}/{within}", excluded=reason)
        clips[clip.clip_id] = clip
    return list(clips.values())
