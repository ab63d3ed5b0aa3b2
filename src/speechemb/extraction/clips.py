"""The clips of step 1 for step 2: their table, their waveforms, and the npz's columns."""

from pathlib import Path

import numpy as np
import pandas as pd

from speechemb import paths
from speechemb.artifacts import metadata, numbers
from speechemb.audio import augmentation, recording
from speechemb.audio.recording import Recording
from speechemb.errors import InputError, first
from speechemb.paths import PROCESSED, located, shown

# String array of the npz -> column of the table of clips.
COLUMNS = {
    "labels": "emotion",
    "clip_ids": "clip_id",
    "speakers": "speaker",
    "sessions": "session",
    "sentences": "sentence",
    "corpora": "corpus",
    "genders": "gender",
    "paths": "path",
    "audio_sha256": "audio_sha256",
    "augmented_from": "augmented_from",
}


def read_clips(csvs: list[Path], limit: int | None) -> tuple[pd.DataFrame, pd.DataFrame, list[dict[str, str]]]:
    """The clips of step 1's files (default: all in data/processed), those excluded by `limit`, and the files' hashes.

    Raises:
        InputError: there is no file, or a clip is in two of them.
    """
    if not csvs:
        csvs = [csv for csv in sorted(PROCESSED.glob("[!.]*.csv")) if not csv.stem.endswith("_excluded")]
    if not csvs:
        raise InputError(f"{shown(PROCESSED)} holds no CSV: run {paths.STEP1} first, or name one with --metadata")
    tables, stamps = zip(*[metadata.read_metadata(csv) for csv in csvs], strict=True)
    inputs = [{"path": shown(csv), "sha256": stamp["sha256"]} for csv, stamp in zip(csvs, stamps, strict=True)]
    clips = pd.concat(tables, ignore_index=True)
    if (double := clips["clip_id"].duplicated()).any():
        raise InputError(f"--metadata: clip {first(clips.clip_id[double])} is in more than one of the files")
    drawn = np.arange(len(clips))
    if limit is not None and limit < len(clips):
        # Drawn at random: the first clips would be of one speaker or one emotion.
        drawn = np.sort(np.random.default_rng(0).permutation(len(clips))[:limit])
    excluded = clips.drop(index=drawn).assign(reason=f"not drawn by --limit {limit}")
    return clips.iloc[drawn].reset_index(drop=True), excluded, inputs


def waveforms_of(clips: pd.DataFrame) -> list[np.ndarray | Recording]:
    """The waveforms of the clips, checked against step 1's hashes; those of augmented copies are made here.

    A long recording is given as a `Recording`, except its augmented copies: those are held in memory as a whole.
    """
    waveforms = [
        recording.load(located(path), expected_sha256=digest)
        for path, digest in zip(clips["path"], clips["audio_sha256"], strict=True)
    ]
    return [
        augmentation.augmented(np.asarray(waveform), augmentation.seed_of(name)) if original else waveform
        for waveform, name, original in zip(waveforms, clips["clip_id"], clips["augmented_from"], strict=True)
    ]


def columns_of(clips: pd.DataFrame, excluded: pd.DataFrame, layers: list[int]) -> dict[str, np.ndarray]:
    """The npz's arrays other than the embeddings."""
    columns = {key: clips[column].to_numpy(dtype=np.str_) for key, column in COLUMNS.items()}
    columns["layers"] = np.array(layers, dtype=np.int64)
    columns["excluded"] = excluded[["clip_id", "reason"]].to_numpy(dtype=np.str_).reshape(-1, 2)
    return columns | numbers.arrays_of(clips)
