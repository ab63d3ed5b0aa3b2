"""Make the bundled SYNTHETIC corpus: twelve espeak-ng voices say CREMA-D's sentences in four emotions.

The corpus lets a machine without any emotional speech run every script from a clone. It does not replace human
speech: its emotions are rules, so a figure measured on it shows that the pipeline works, not how people sound.

The rules are those that Murray & Arnott (1993, JASA 93(2), table I) drew from the literature on human speech;
Banse & Scherer (1996, JPSP 70(3)) found level and high-frequency energy to go the same way in acted portrayals.

    emotion  rate    f0 mean      f0 range    intensity  voice
    anger    faster  much higher  much wider  higher     tense: more energy at high frequencies
    joy      faster  much higher  much wider  higher     smiling raises the formants
    sadness  slower  lower        narrower    lower      lax, breathy: less energy at high frequencies

(The formants of joy: Burkhardt & Sendlmeier 2000, ISCA Workshop on Speech and Emotion.) The sizes in `EMOTIONS` are
ours, of the order that synthesisers used with success in Schroeder's review (2001, Eurospeech, 561-564). On top,
voices, each voice's way to show an emotion and single clips vary at random (`VOICE_SD`, `STYLE_SD`, `CLIP_SD`), so
that neither f0 nor level alone gives the emotion away: data/demo/README.md has the measured figures.

Needs espeak-ng 1.52, which nothing else in the project needs:  pip install espeakng-loader==0.2.4
Reads:   nothing
Writes:  <out-dir>/AudioWAV/<actor>_<sentence>_<EMO>_XX.flac (16 kHz, mono, 16 bit)
         <out-dir>/VideoDemographics.csv
Example: python tools/make_demo_corpus.py --out-dir data/demo
Prints:  at the end the number of clips, their seconds and their size
"""

import argparse
import csv
import ctypes
import importlib.util
import multiprocessing
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_RATE = 16_000
SEED = 9000

SENTENCES = {  # CREMA-D's codes and texts
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
SENTENCES_PER_VOICE = 6  # voice k says sentences k..k+5: each is said by six voices, three of either sex

# Each prosody is seven numbers that add up, so an emotion, a voice and a clip's chance can be summed:
#            rate    f0  f0 range  level    tilt  breath  formants
#               %    st         %     dB  dB/oct      dB         %
EMOTIONS = {
    "NEU": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "HAP": (10.0, 4.0, 60.0, 3.0, 0.5, 0.0, 4.0),
    "SAD": (-15.0, -2.0, -40.0, -5.0, -2.0, 6.0, 0.0),
    "ANG": (12.0, 3.0, 50.0, 6.0, 3.0, -4.0, 0.0),
}
VOICE_SD = (5.0, 1.5, 10.0, 1.5, 0.4, 2.0, 2.0)  # how voices differ from each other
STYLE_SD = (4.0, 0.6, 10.0, 0.8, 0.3, 1.0, 1.0)  # how a voice's way to show an emotion differs from the table
CLIP_SD = (5.0, 1.0, 15.0, 2.0, 0.4, 2.0, 1.0)  # how one clip differs from the next
EXPRESSIVENESS = (0.9, 1.4)  # a voice's factor on the whole row of the table: some people show more

# Actor: sex and espeak-ng variant (formants, bandwidths, a pitch). Variants with a `breath` line are left out: their
# noise comes from a generator that espeak-ng seeds with the time of day.
VOICES = {
    9001: ("Male", "m1"),
    9002: ("Female", "f1"),
    9003: ("Male", "m2"),
    9004: ("Female", "Annie"),
    9005: ("Male", "m3"),
    9006: ("Female", "Andrea"),
    9007: ("Male", "m4"),
    9008: ("Female", "f4"),
    9009: ("Male", "m6"),
    9010: ("Female", "steph"),
    9011: ("Male", "m7"),
    9012: ("Female", "linda"),
}

NEUTRAL_F0_ST = {"Male": 3.0, "Female": 0.0}  # added to espeak-ng's voices, whose men are very low
LEVEL_DBFS = -38.0  # RMS of a neutral clip: the peaks of the loudest anger then stay below full scale
BREATH_DB = -42.0  # breath noise of a neutral clip, relative to its speech
ROOM_DBFS = -84.0  # a recording's noise floor: no clip holds digital silence


class Espeak:
    """The espeak-ng library of the espeakng-loader package, called through its C interface (speak_lib.h)."""

    RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER
    CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

    def __init__(self) -> None:
        import espeakng_loader

        self.lib = ctypes.CDLL(espeakng_loader.get_library_path())
        synchronous = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples go to the callback before espeak_Synth returns
        self.rate = self.lib.espeak_Initialize(synchronous, 0, espeakng_loader.get_data_path().encode(), 0)
        self.chunks: list[np.ndarray] = []
        self.callback = self.CALLBACK(self._receive)  # kept: ctypes would free a temporary
        self.lib.espeak_SetSynthCallback(self.callback)

    def _receive(self, samples, n_samples: int, _events) -> int:
        if n_samples > 0:
            self.chunks.append(np.ctypeslib.as_array(samples, (n_samples,)).copy())
        return 0  # go on

    def speak(self, text: str, variant: str, wpm: float, pitch: float, pitch_range: float) -> np.ndarray:
        """`text` as float64 samples in [-1, 1) at `self.rate` Hz; pitch and range on espeak's own scales."""
        self.chunks.clear()
        if self.lib.espeak_SetVoiceByName(f"en-us+{variant}".encode()) != 0:
            raise RuntimeError(f"espeak-ng has no voice en-us+{variant}")
        for parameter, value in ((self.RATE, wpm), (self.PITCH, pitch), (self.RANGE, pitch_range)):
            self.lib.espeak_SetParameter(parameter, round(value), 0)
        data = text.encode() + b"\0"
        characters, utf8 = 1, 1
        self.lib.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, characters, 0, utf8, None, None)
        return np.concatenate(self.chunks) / 32768


def seed_of(actor: int, emotion: str, sentence: str) -> list[int]:
    # Counted from 1: numpy pads a seed with zeros, so that [SEED, actor] and [SEED, actor, 0] are the same.
    return [SEED, actor, 1 + list(EMOTIONS).index(emotion), 1 + list(SENTENCES).index(sentence)]


def prosody_of(actor: int, sentence: str, emotion: str) -> np.ndarray:
    """The seven numbers of one clip, in the units and order of `EMOTIONS`.

    Each source of chance has its own generator, seeded by what it depends on: a clip comes out the same whether
    it is made alone or among all.
    """
    seed = seed_of(actor, emotion, sentence)
    voice, style, clip = (np.random.default_rng(seed[:n]) for n in (2, 3, 4))
    return (
        voice.uniform(*EXPRESSIVENESS) * np.array(EMOTIONS[emotion])
        + voice.normal(0, VOICE_SD)
        + style.normal(0, STYLE_SD)
        + clip.normal(0, CLIP_SD)
    )


def synthesise(text: str, variant: str, rate: float, f0: float, f0_range: float, formants: float) -> np.ndarray:
    """Speech at 16 kHz, without the silence around it; the numbers are offsets in the units of `EMOTIONS`.

    Formants move by playing the voice at another speed, for which espeak's rate and pitch then make up.
    """
    import soxr

    espeak = Espeak()
    speed = 1 + formants / 100
    semitones = f0 - 12 * np.log2(speed)
    wpm = 175 * (1 + rate / 100) / speed
    pitch = 50 + 50 * semitones / 12  # espeak's 0-100 spans an octave below and above the voice's own
    # espeak's range is in Hz: it grows with f0, so that the same number of semitones stays.
    pitch_range = 50 * max(0.2, 1 + f0_range / 100) * 2 ** (semitones / 12)
    raw = espeak.speak(text, variant, wpm, np.clip(pitch, 0, 99), np.clip(pitch_range, 0, 200))
    speech = soxr.resample(raw, espeak.rate * speed, SAMPLE_RATE)
    loud = np.flatnonzero(np.abs(speech) > 0.02 * np.abs(speech).max())
    return speech[loud[0] : loud[-1] + 1]


def tilt_spectrum(speech: np.ndarray, db_per_octave: float) -> np.ndarray:
    """Raise (tense voice) or lower (lax voice) what lies above 1 kHz against what lies below."""
    hz = np.fft.rfftfreq(len(speech), 1 / SAMPLE_RATE)
    gain_db = db_per_octave * np.log2(np.clip(hz, 125, SAMPLE_RATE / 2) / 1000)
    return np.fft.irfft(np.fft.rfft(speech) * 10 ** (gain_db / 20), len(speech))


def add_breath(speech: np.ndarray, db: float, noise: np.random.Generator) -> np.ndarray:
    """Add noise `db` relative to the speech's envelope (20 ms), rising with frequency like breath."""
    window = SAMPLE_RATE // 50
    envelope = np.sqrt(np.convolve(speech**2, np.ones(window) / window, mode="same"))
    hiss = np.diff(noise.normal(size=len(speech) + 1)) / np.sqrt(2)
    return speech + 10 ** (db / 20) * envelope * hiss


def make_clip(job: tuple[Path, int, str, str]) -> tuple[float, int]:
    """Write one clip; returns its seconds and its bytes."""
    import soundfile

    folder, actor, sentence, emotion = job
    rate, f0, f0_range, level, tilt, breath, formants = prosody_of(actor, sentence, emotion)
    sex, variant = VOICES[actor]
    noise = np.random.default_rng(seed_of(actor, emotion, sentence) + [1])
    speech = synthesise(SENTENCES[sentence], variant, rate, NEUTRAL_F0_ST[sex] + f0, f0_range, formants)
    speech = add_breath(tilt_spectrum(speech, tilt), BREATH_DB + breath, noise)
    speech *= 10 ** ((LEVEL_DBFS + level) / 20) / np.sqrt(np.mean(speech**2))
    clip = np.pad(speech, SAMPLE_RATE // 10)
    clip += 10 ** (ROOM_DBFS / 20) * noise.normal(size=len(clip))
    path = folder / f"{actor}_{sentence}_{emotion}_XX.flac"
    soundfile.write(path, np.clip(clip, -1, 1), SAMPLE_RATE, subtype="PCM_16", compression_level=1.0)
    return len(clip) / SAMPLE_RATE, path.stat().st_size


def write_demographics(path: Path) -> None:
    """CREMA-D's table of actors; a synthetic voice has a sex and no age."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["ActorID", "Age", "Sex", "Race", "Ethnicity"])
        writer.writerows([actor, "", sex, "Synthetic", "Synthetic"] for actor, (sex, _) in VOICES.items())


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out-dir", type=Path, default=ROOT / "data" / "demo", help="default: data/demo")
    parser.add_argument("--limit", type=int, help="make only the first N clips, for a try")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    if importlib.util.find_spec("espeakng_loader") is None:
        sys.exit("espeak-ng is missing; install it with: pip install espeakng-loader==0.2.4")

    audio_dir = args.out_dir / "AudioWAV"
    audio_dir.mkdir(parents=True, exist_ok=True)
    write_demographics(args.out_dir / "VideoDemographics.csv")

    codes = list(SENTENCES)
    jobs = [
        (audio_dir, actor, codes[(k + i) % len(codes)], emotion)
        for k, actor in enumerate(VOICES)
        for i in range(SENTENCES_PER_VOICE)
        for emotion in EMOTIONS
    ][: args.limit]
    # A new process for each clip: espeak-ng keeps state from one utterance to the next, so that a clip would
    # otherwise depend on those made before it.
    with multiprocessing.Pool(maxtasksperchild=1) as pool:
        made = pool.map(make_clip, jobs, chunksize=1)
    seconds, size = np.sum(made, axis=0)
    print(f"{len(jobs)} synthetic clips, {seconds:.0f} s, {size / 1e6:.2f} MB in {args.out_dir}")


if __name__ == "__main__":
    main()
