"""Audio files as the encoders need them (mono, 16 kHz, float32), block by block or whole.

soundfile goes by a file's content, so AIFF or FLAC under a `.wav` name is read like any other file. A file that ends
before its audio does is refused: what a header says is trusted only where a program wrote it, see `chunks`, `mpeg`
and `ogg`.
"""

import hashlib
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr

from speechemb.audio import chunks, mpeg, ogg, segments
from speechemb.audio.files import (
    LFS_HEAD,
    LFS_REMEDY,
    AudioError,
    audio_files,
    is_lfs_pointer,
    is_video,
    opened,
    sound_of_videos,
)
from speechemb.audio.measures import MIN_SECONDS, SILENCE_DB, check

__all__ = ["MIN_SECONDS", "SILENCE_DB", "AudioError", "audio_files", "check", "is_lfs_pointer", "load", "read"]

SAMPLE_RATE = 16_000  # Hz, the rate that all WavLM, HuBERT and wav2vec 2.0 models expect

_MIN_RATE = 1_000  # Hz; no speech is below it, and resampling could turn a small file into gigabytes
_BLOCK = 1 << 18  # samples, all channels together; in blocks, as a damaged header may announce any number of samples
# What libsndfile notes about other files whose audio ends early: the size announced, the size there is.
_SHORT = re.compile(r"(\d+) \(?should be (\d+)")
_EXACT = ("WAV", "WAVEX", "W64", "RF64", "AIFF", "AU", "FLAC")  # after a jump, the same samples as without
_HEADED = ("AIFF", "AU", "CAF", "RF64", "SVX", "W64", "WAV", "WAVEX", "FLAC", "OGG", "MP3")


def read(path: str | Path) -> tuple[np.ndarray, int]:
    """Waveform `(n,)` float32 mono at the file's own sample rate, and that rate in Hz; channels are averaged.

    Raises `AudioError` where the file is missing, not a regular file, a Git LFS pointer, truncated or not audio.
    """
    with stream(path) as (rate, blocks):
        return _joined(blocks), rate


def load(path: str | Path, expected_sha256: str | None = None) -> np.ndarray:
    """Waveform `(n,)` float32 mono at 16 kHz, resampled by soxr (HQ).

    Raises `AudioError` as `read` does, and where the SHA-256 of the file is not `expected_sha256`.
    """
    with stream(path, expected_sha256) as (rate, blocks):
        return _joined(resampled(blocks, rate))


@contextmanager
def stream(path: str | Path, expected_sha256: str | None = None) -> Iterator[tuple[int, Iterator[np.ndarray]]]:
    """The sample rate in Hz, and the waveform in blocks `(n,)` float32 mono; only one of them is in memory.

    Raises `AudioError` as `load` does; where the file turns out to be damaged, while the blocks are taken.
    """
    with opened(path) as file:
        if expected_sha256 and digest(file, path) != expected_sha256:
            raise AudioError(path, "changed since step 1; rerun python src/1_data_preprocessing.py")
        with decoded(file, path) as found:
            yield found


@contextmanager
def decoded(file: BinaryIO, path: str | Path) -> Iterator[tuple[int, Iterator[np.ndarray]]]:
    """As `stream`, of an open file; `path` says which part of it (see `segments`), and is for the errors."""
    try:
        source, least = _checked(file)
    except chunks.Damaged as damage:
        raise AudioError(path, str(damage)) from None
    except _Unusable as reason:
        raise AudioError(path, str(reason)) from None
    try:
        with soundfile.SoundFile(source, closefd=False) as sound:
            if sound.samplerate < _MIN_RATE:
                raise AudioError(path, f"sample rate below {_MIN_RATE} Hz")
            part = segments.part_of(path)
            yield sound.samplerate, _blocks(sound, path, least) if part is None else _part(sound, path, least, part)
    except (soundfile.SoundFileError, TypeError):  # TypeError: soundfile wants more for headerless formats
        video = f": a video: {sound_of_videos(segments.file_of(path).name)}" if is_video(path) else ""
        raise AudioError(path, f"cannot be decoded{video}") from None


def resampled(blocks: Iterator[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    """The same waveform at 16 kHz, in blocks of other sizes; the same samples however it is divided."""
    if rate == SAMPLE_RATE:
        yield from blocks
        return
    resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


class _Unusable(Exception):
    """The reason why a file is not opened as audio."""


def digest(file: BinaryIO, path: str | Path) -> str:
    """Hex SHA-256 of an open file at its beginning; of one that is opened for many parts, computed once."""
    return segments.sha256_of(file, sha256) if segments.part_of(path) else sha256(file)


def sha256(file: BinaryIO) -> str:
    """Hex SHA-256 of an open file from where it stands."""
    digest = hashlib.sha256()
    while data := file.read(1 << 20):
        digest.update(data)
    return digest.hexdigest()


def _joined(blocks: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *blocks])


def _checked(file: BinaryIO) -> tuple[Any, int]:
    """What soundfile opens, and the least number of samples that it has to give."""
    file.seek(0)
    head = file.read(64)
    if not head:
        raise _Unusable("empty")
    if head.startswith(LFS_HEAD):
        raise _Unusable(LFS_REMEDY)
    (view, start), least = chunks.header(file), 0
    if head.startswith(b"OggS"):
        ogg.check(file)
    file.seek(begin := mpeg.after_tags(file))
    if mpeg.is_mpeg(file.read(4)) or (begin and not _other_behind(file, begin)):
        found = mpeg.layout(file)
        view, start, least = found.head, found.start, found.samples
    if view:
        return _View(file, view, start), least
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # not file.seek, which may only move within Python's buffer
    return file.fileno(), least  # so libsndfile reads the file itself, not by calls into Python


def _other_behind(file: BinaryIO, begin: int) -> bool:
    """Whether a tag is followed by something that is known and no MP3."""
    file.seek(begin)
    return file.read(4) in (b"fLaC", b"RIFF", b"OggS", b"FORM")


def _blocks(sound: soundfile.SoundFile, path: str | Path, least: int) -> Iterator[np.ndarray]:
    """The blocks of an open file; `AudioError` where they end before they should."""
    frames, n = max(1, _BLOCK // sound.channels), 0
    try:
        while len(block := sound.read(frames, dtype="float32", always_2d=True)):
            n += len(block)
            yield _mono(block)
            if sound.seekable() and n >= sound.frames:  # another read would give nothing, slowly
                break
    except soundfile.SoundFileError:
        raise AudioError(path, "cannot be decoded to the end (truncated or damaged)") from None
    # The length of an MP3 may be a guess; `least` is counted.
    if n < (least if sound.format == "MP3" else sound.frames):
        raise AudioError(path, "truncated or damaged")
    if sound.format not in _HEADED and any(int(a) > int(b) for a, b in _SHORT.findall(sound.extra_info)):
        raise AudioError(path, "truncated")


def _part(sound: soundfile.SoundFile, path: str | Path, least: int, part: segments.Segment) -> Iterator[np.ndarray]:
    """The blocks of a part of an open file, sample by sample those of the whole."""
    rate = sound.samplerate
    start, stop = round(part.start * rate), None if part.end is None else round(part.end * rate)
    if sound.format in _EXACT and sound.seekable():
        yield from _sought(sound, path, start, stop)
        return
    at = 0  # others are decoded from the beginning: libsndfile's MP3 and Opus differ after a jump
    for block in _blocks(sound, path, least):
        if len(wanted := block[max(0, start - at) : None if stop is None else max(0, stop - at)]):
            yield wanted
        at += len(block)
        if stop is not None and at >= stop:
            return
    _check_inside(path, start, stop, at, rate)


def _sought(sound: soundfile.SoundFile, path: str | Path, start: int, stop: int | None) -> Iterator[np.ndarray]:
    """The blocks from sample `start` to `stop`, without those before."""
    end = _check_inside(path, start, stop, sound.frames, sound.samplerate)
    sound.seek(start)
    left = end - start
    while left:
        block = sound.read(min(left, max(1, _BLOCK // sound.channels)), dtype="float32", always_2d=True)
        if not len(block):
            raise AudioError(path, "truncated or damaged")
        left -= len(block)
        yield _mono(block)


def _check_inside(path: str | Path, start: int, stop: int | None, samples: int, rate: int) -> int:
    """The end of a part in samples, at most that of the recording; `AudioError` where the part is not inside."""
    length = f"the recording ends at {segments.plain(round(samples / rate, 3))} s"
    if start >= samples:
        raise AudioError(path, f"the segment begins after the recording: {length}")
    if stop is not None and stop > samples + segments.ROUNDING_S * rate:
        raise AudioError(path, f"the segment ends after the recording: {length}")
    return samples if stop is None else min(stop, samples)


def _mono(block: np.ndarray) -> np.ndarray:
    if block.shape[1] == 1:
        return block[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):  # huge or no numbers, which the checks find
        return block.mean(axis=1, dtype=np.float32)


class _View(io.RawIOBase):
    """A file whose beginning is replaced: `head`, then the file from `start` on."""

    def __init__(self, file: BinaryIO, head: bytes, start: int) -> None:
        self._file, self._head, self._shift = file, head, start - len(head)
        self._size = file.seek(0, io.SEEK_END) - self._shift
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = min(max(0, base + offset), self._size)  # an error here would be printed by soundfile, not raised
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer) -> int:
        if self._at < len(self._head):
            data = self._head[self._at : self._at + len(buffer)]
        else:
            self._file.seek(self._at + self._shift)
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
