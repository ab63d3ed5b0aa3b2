"""What happens to recordings outside the studio, as functions of a clip: noise, telephones, codecs, rooms, levels.

Unlike augmented copies, which are drawn anew for every copy, a change is the same for all clips, so that what it does
to a classifier can be measured. What is drawn (noise, phases, a room, the talkers of a babble) depends on the clip's id
and the change alone, not on the order of the clips or the number of cores.

A signal-to-noise ratio is that of the whole clip, its pauses included, with powers without DC, as in `augmentation`.
Codecs are libsndfile's (LAME, Opus, G.711); the delay of LAME, which files of low rates do not announce, is cut off.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import soundfile
import soxr

from speechemb.audio.augmentation import louder, noisy, pitched, seed_of, sped
from speechemb.audio.decoding import SAMPLE_RATE

TALKERS = 5  # of a babble
SILENCE_S = 0.5  # before and after
_LAME_DELAY = 1105  # samples: 576 of the encoder, 529 of the decoder
_BAND = (300.0, 3400.0)  # Hz, of a telephone (ITU-T G.712)
_MAINS, _HARMONICS = 50.0, 10  # Hz, and how many multiples of it


@dataclass(frozen=True)
class Change:
    """`make(waveform, seed)`; with `talkers`, also of as many other waveforms. The copy's length is that of the clip,
    divided by `speed`, plus `added_s`."""

    words: str
    make: Callable[..., np.ndarray]
    speed: float = 1.0
    added_s: float = 0.0
    talkers: int = 0


def changed(name: str, waveform: np.ndarray, clip_id: str, others: Sequence[np.ndarray] = ()) -> np.ndarray:
    """The clip (m,) float32 after the change `name`; `waveform` (n,) float32 at 16 kHz.

    `others`: the waveforms of the clips that `talkers_of` chooses.
    """
    change = CHANGES[name]
    made = change.make(waveform, seed_of(copy_id(clip_id, name)), *([others] if change.talkers else []))
    return made.astype(np.float32)


def copy_id(clip_id: str, name: str) -> str:
    """The id of a changed clip: `ravdess/03-01-...#babble_10db`."""
    return f"{clip_id}#{name}"


def settings(name: str) -> dict[str, Any]:
    """The part of the npz's fingerprint that covers a change."""
    return {"change": name, "words": CHANGES[name].words, "revision": "1"}  # raised when the definitions here change


def talkers_of(name: str, clip_id: str, candidates: Sequence[int]) -> list[int]:
    """Those of the `candidates` whose clips are the babble behind this clip; more than once where they are too few."""
    count = CHANGES[name].talkers
    rng = np.random.default_rng([seed_of(copy_id(clip_id, name)), 1])
    return rng.choice(candidates, count, replace=len(candidates) < count).tolist() if count else []


def mixed(waveform: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """The sum of both, the noise (n,) scaled to this signal-to-noise ratio."""
    wanted = waveform.std(dtype=np.float64) * 10 ** (-snr_db / 20)
    return waveform + noise * (wanted / max(noise.std(dtype=np.float64), 1e-12))


def white(waveform: np.ndarray, seed: int, snr_db: float) -> np.ndarray:
    """White noise."""
    return noisy(waveform, snr_db, seed)


def hum(waveform: np.ndarray, seed: int, snr_db: float) -> np.ndarray:
    """Mains hum: 50 Hz and its multiples up to 500 Hz, of amplitudes 1, 1/2, 1/3 ... and random phases."""
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, _HARMONICS)
    multiples = np.arange(1, _HARMONICS + 1)
    time = np.arange(len(waveform)) / SAMPLE_RATE
    waves = np.sin(2 * np.pi * _MAINS * np.outer(multiples, time) + phases[:, None])
    return mixed(waveform, (waves / multiples[:, None]).sum(axis=0), snr_db)


def babble(waveform: np.ndarray, seed: int, others: Sequence[np.ndarray], snr_db: float) -> np.ndarray:
    """Other clips, equally loud, each from a random place on and repeated where it is shorter."""
    rng, n = np.random.default_rng(seed), len(waveform)
    voices = [np.resize(np.roll(one, -int(rng.integers(len(one)))), n) for one in others]
    together = np.sum([voice / max(voice.std(dtype=np.float64), 1e-12) for voice in voices], axis=0)
    return mixed(waveform, together, snr_db)


def telephone(waveform: np.ndarray, _seed: int, coded: bool) -> np.ndarray:
    """300 to 3400 Hz at a sample rate of 8 kHz; with `coded`, also the 8 bits per sample of G.711's mu-law."""
    from scipy.signal import butter, sosfiltfilt

    narrow = soxr.resample(waveform, SAMPLE_RATE, SAMPLE_RATE // 2, quality="HQ")
    band = butter(4, _BAND, "bandpass", fs=SAMPLE_RATE // 2, output="sos")
    narrow = sosfiltfilt(band, narrow, padlen=min(27, len(narrow) - 1)).astype(np.float32)
    if coded:
        narrow = through_codec(narrow, SAMPLE_RATE // 2, format="WAV", subtype="ULAW")
    return as_long_as(waveform, soxr.resample(narrow, SAMPLE_RATE // 2, SAMPLE_RATE, quality="HQ"))


def compressed(waveform: np.ndarray, _seed: int, **codec) -> np.ndarray:
    """Encoded and decoded again; `codec`: what `soundfile.write` is told."""
    return as_long_as(waveform, through_codec(waveform, SAMPLE_RATE, **codec))


def through_codec(waveform: np.ndarray, rate: int, **codec) -> np.ndarray:
    """What a file of this codec gives back, without LAME's delay."""
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, **codec)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    delayed = codec["format"] == "MP3" and len(decoded) >= len(waveform) + _LAME_DELAY
    return decoded[_LAME_DELAY:] if delayed else decoded


def echoing(waveform: np.ndarray, seed: int, rt60_s: float) -> np.ndarray:
    """In a room: the direct sound and, as strong, noise that decays by 60 dB in `rt60_s`; as loud as before.

    This is Polack's model of a room, which has no single reflections. The tail after the clip's end is cut off.
    """
    from scipy.signal import fftconvolve

    time = np.arange(1, int(rt60_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = np.random.default_rng(seed).standard_normal(len(time)) * 10 ** (-3 * time / rt60_s)
    response = np.concatenate([[1.0], tail / np.sqrt((tail**2).sum())])
    heard = fftconvolve(waveform.astype(np.float64), response)[: len(waveform)]
    return heard * (waveform.std(dtype=np.float64) / max(heard.std(), 1e-12))


def amplified(waveform: np.ndarray, _seed: int, gain_db: float) -> np.ndarray:
    """Louder or quieter, up to full scale."""
    return louder(waveform, gain_db)


def clipped(waveform: np.ndarray, _seed: int, below_peak_db: float) -> np.ndarray:
    """Cut off so many dB below the clip's peak."""
    limit = np.abs(waveform).max() * 10 ** (-below_peak_db / 20)
    return np.clip(waveform, -limit, limit)


def repitched(waveform: np.ndarray, _seed: int, semitones: float) -> np.ndarray:
    """Lower or higher at the same speed; the phase vocoder also takes about 4 dB."""
    return pitched(waveform, semitones)


def resped(waveform: np.ndarray, _seed: int, factor: float) -> np.ndarray:
    """Slower or faster, and the pitch with it."""
    return sped(waveform, factor)


def padded(waveform: np.ndarray, _seed: int) -> np.ndarray:
    """Digital silence before and after."""
    return np.pad(waveform, round(SILENCE_S * SAMPLE_RATE))


def as_long_as(waveform: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`other`, cut or filled up with zeros to the length of `waveform`."""
    n = len(waveform)
    return np.pad(other[:n], (0, max(0, n - len(other))))


_MP3 = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
_OPUS = {"format": "OGG", "subtype": "OPUS"}
# In the order of tables and pictures. libsndfile takes no bit rates but levels, here those that give these rates.
CHANGES = {
    **{
        f"{kind}_{snr}db": Change(f"{words} at {snr} dB SNR", partial(make, snr_db=float(snr)), talkers=talkers)
        for kind, make, words, talkers in (
            ("babble", babble, f"{TALKERS} other speakers", TALKERS),
            ("white", white, "white noise", 0),
            ("hum", hum, "mains hum of 50 Hz", 0),
        )
        for snr in (20, 10)
    },
    "telephone": Change("300 to 3400 Hz", partial(telephone, coded=False)),
    "telephone_mulaw": Change("300 to 3400 Hz and mu-law", partial(telephone, coded=True)),
    "mp3_16": Change("MP3, 16 kbit/s", partial(compressed, **_MP3, compression_level=0.95)),
    "opus_13": Change("Opus, about 13 kbit/s", partial(compressed, **_OPUS, compression_level=0.95)),
    "opus_6": Change("Opus, about 6 kbit/s", partial(compressed, **_OPUS, compression_level=1.0)),
    "echo_0.3s": Change("room with RT60 0.3 s, direct sound 0 dB", partial(echoing, rt60_s=0.3)),
    "echo_0.8s": Change("room with RT60 0.8 s, direct sound 0 dB", partial(echoing, rt60_s=0.8)),
    "quieter_12db": Change("12 dB quieter", partial(amplified, gain_db=-12.0)),
    "louder_12db": Change("12 dB louder, up to full scale", partial(amplified, gain_db=12.0)),
    "clipped_12db": Change("clipped 12 dB below the peak", partial(clipped, below_peak_db=12.0)),
    "pitch_-1": Change("1 semitone lower", partial(repitched, semitones=-1.0)),
    "pitch_+1": Change("1 semitone higher", partial(repitched, semitones=1.0)),
    "speed_0.95": Change("5 % slower, pitch with it", partial(resped, factor=0.95), speed=0.95),
    "speed_1.05": Change("5 % faster, pitch with it", partial(resped, factor=1.05), speed=1.05),
    "silence_0.5s": Change("0.5 s of digital silence before and after", padded, added_s=2 * SILENCE_S),
}
