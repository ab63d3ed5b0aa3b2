"""Audio files as the encoders need them (mono, 16 kHz, float32), and the check that a clip is usable.

soundfile goes by a file's content, so AIFF or FLAC under a `.wav` name is read like any other file.
"""

import hashlib
import io
import re
from pathlib import Path

import numpy as np
import soundfile
import soxr

from speechemb.errors import InputError
from speechemb.paths import shown

SAMPLE_RATE = 16_000  # Hz, the rate that all WavLM, HuBERT and wav2vec 2.0 models expect
SUFFIXES = (".wav", ".flac", ".aif", ".aiff", ".ogg", ".mp3")
MIN_SECONDS = 0.1
# RMS without DC, re full scale. The quietest RAVDESS clip has -64 dB; one 16-bit step of noise has -90 dB.
SILENCE_DB = -80.0
LFS_HEAD = b"version https://git-lfs"  # the first line of a Git LFS pointer file
LFS_REMEDY = "the clone holds Git LFS pointers, not audio: run `git lfs pull` in it"

_MIN_RATE = 1_000  # Hz; no speech is below it, and resampling could turn a small file into gigabytes
_BLOCK = 1 << 20  # frames; read in blocks, because a damaged header may announce any number of frames
# What libsndfile notes about a WAV or AIFF whose samples end early: the size announced, the size there is.
_SHORT_CHUNK = re.compile(r"^ *(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAMED = 0x7F000000  # larger sizes are placeholders, from programs that write WAV into a pipe


class AudioError(InputError):
    """A file cannot be used as audio; `reason` is the part without the file's name."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{shown(path)}: {reason}")
        self.reason = reason


def read(path: str | Path) -> tuple[np.ndarray, int]:
    """Waveform `(n,)` float32 mono at the file's own sample rate, and that rate in Hz; channels are averaged.

    Raises `AudioError` where the file is missing, a Git LFS pointer, truncated or not audio.
    """
    return _decode(_bytes(path), path)


def load(path: str | Path, expected_sha256: str | None = None) -> np.ndarray:
    """Waveform `(n,)` float32 mono at 16 kHz, resampled by soxr (HQ).

    Raises `AudioError` as `read` does, and where the SHA-256 of the file is not `expected_sha256`.
    """
    data = _bytes(path)
    if expected_sha256 and hashlib.sha256(data).hexdigest() != expected_sha256:
        raise AudioError(path, "changed since step 1; rerun python src/1_data_preprocessing.py")
    waveform, rate = _decode(data, path)
    return waveform if rate == SAMPLE_RATE else soxr.resample(waveform, rate, SAMPLE_RATE, quality="HQ")


def check(waveform: np.ndarray, rate: int) -> str | None:
    """Why a clip (mono `(n,)`, `rate` in Hz) is unusable, or None if it is usable."""
    if waveform.size == 0:
        return "empty"
    if not np.isfinite(waveform).all():
        return "not finite"
    if waveform.size < MIN_SECONDS * rate:
        return f"shorter than {MIN_SECONDS} s"
    # Energy, not file size: CREMA-D's silent clip is as long as the others.
    if waveform.std(dtype=np.float64) < 10 ** (SILENCE_DB / 20):
        return "silent"
    return None


def audio_files(folder: Path, recursive: bool = True) -> list[Path]:
    """The audio files of a folder, sorted; the `._*` files that macOS leaves beside them are not audio."""
    found = folder.rglob("*") if recursive else folder.glob("*")
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))


def is_lfs_pointer(path: str | Path) -> bool:
    """Whether a file is the 130-byte stand-in of a git clone without LFS; False if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(len(LFS_HEAD)) == LFS_HEAD
    except OSError:
        return False


def _bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise AudioError(path, "missing") from None
    except OSError as error:
        raise AudioError(path, f"cannot be read ({error.strerror})") from None


def _decode(data: bytes, path: str | Path) -> tuple[np.ndarray, int]:
    if not data:
        raise AudioError(path, "empty")
    if data.startswith(LFS_HEAD):
        raise AudioError(path, LFS_REMEDY)
    blocks = []
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block.mean(axis=1, dtype=np.float32))
            rate, promised, notes = sound.samplerate, sound.frames, sound.extra_info
    except soundfile.SoundFileError:
        raise AudioError(path, "cannot be decoded") from None
    waveform = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if waveform.size < promised or _ends_early(notes):
        raise AudioError(path, "truncated")
    if rate < _MIN_RATE:
        raise AudioError(path, f"sample rate below {_MIN_RATE} Hz")
    return waveform, rate


def _ends_early(notes: str) -> bool:
    sizes = [(int(announced), int(there)) for announced, there in _SHORT_CHUNK.findall(notes)]
    return any(there < announced < _STREAMED for announced, there in sizes)
