"""Data sets of made signals for the hub stub, with the columns, features and splits that the cards of the hub copies of
IEMOCAP and CREMA-D give; and models whose weights are kept in another form (`models.make_model` makes the models).

Every clip is a tone of its own pitch, so no two clips of a data set have the same bytes.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE = 16_000
IEMOCAP_LABELS = ("ang", "hap", "neu", "sad")
# EMO in a CREMA-D file name -> the soft-score column, and the word in the columns `major_emotion` and `emotion`
CREMAD_EMOTIONS = {
    "ANG": ("angry", "anger"),
    "DIS": ("disgust", "disgust"),
    "FEA": ("fear", "fear"),
    "HAP": ("happy", "happy"),
    "NEU": ("neutral", "neutral"),
    "SAD": ("sad", "sad"),
}
CREMAD_ACTORS = {"1001": "male", "1002": "female", "1003": "female"}
IEMOCAP_SCORES = ("frustrated", "angry", "sad", "disgust", "excited", "fear", "neutral", "surprise", "happy")


def wav_bytes(index: int, seconds: float = 0.4) -> bytes:
    """A 16 kHz mono 16-bit WAV of a decaying tone, 7 Hz higher for every index."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    buffer = io.BytesIO()
    tone = 0.3 * np.sin(2 * np.pi * (120 + 7 * index) * time) * np.exp(-2 * time)
    soundfile.write(buffer, tone.astype(np.float32), SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def with_bin_weights(folder: Path) -> Path:
    """Keep a model's weights as pytorch_model.bin, the only form that microsoft/wavlm-base has."""
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def save_zahra_iemocap(folder: Path, *, turn_names: bool) -> Path:
    """`Zahra99/IEMOCAP_Audio`: splits session1 .. session5, columns audio and label; 8 clips a session.

    Clip n of a session has label n % 4. With `turn_names` the audio record's path is the turn's file name, clips 0-3
    by the session's F, 4-7 by its M (the marker wearer is F throughout); without, there is no path, or a number.
    """
    from datasets import Audio, ClassLabel, Features

    features = Features({"audio": Audio(sampling_rate=SAMPLE_RATE), "label": ClassLabel(names=list(IEMOCAP_LABELS))})
    for session in range(1, 6):
        rows = []
        for number in range(8):
            nameless = f"{number}.wav" if number % 2 else None
            turn = f"Ses{session:02d}F_impro{number % 4 + 1:02d}_{'FM'[number // 4]}{number:03d}.wav"
            audio = {"bytes": wav_bytes(8 * session + number), "path": turn if turn_names else nameless}
            rows.append({"audio": audio, "label": number % 4})
        _write_parquet(rows, features, folder / "data" / f"session{session}-00000-of-00001.parquet")
    return folder


def save_abstracttts_iemocap(folder: Path) -> Path:
    """`AbstractTTS/IEMOCAP`: one split, soft scores, no label column but `major_emotion`; two clips of each emotion."""
    from datasets import Audio, Features, Value

    numbers = (*IEMOCAP_SCORES, "EmoAct", "EmoVal", "EmoDom")
    texts = ("gender", "transcription", "major_emotion")
    measures = ("speaking_rate", "pitch_mean", "pitch_std", "rms", "relative_db")
    features = Features(
        {"file": Value("string"), "audio": Audio()}
        | {name: Value("float32") for name in numbers}
        | {name: Value("string") for name in texts}
        | {name: Value("float32") for name in measures}
    )
    rows = []
    for index, emotion in enumerate(IEMOCAP_SCORES * 2):
        letter = "FM"[index // len(IEMOCAP_SCORES)]
        file = f"Ses{index % 5 + 1:02d}M_script01_1_{letter}{index:03d}.wav"
        rows.append(
            {"file": file, "audio": {"bytes": wav_bytes(index), "path": file}}
            | _scores(IEMOCAP_SCORES, emotion)
            | {"EmoAct": 2.5, "EmoVal": 3.0, "EmoDom": 2.0, "gender": {"F": "Female", "M": "Male"}[letter]}
            | {"transcription": f"made clip {index}", "major_emotion": emotion}
            | dict.fromkeys(measures, 1.0)
        )
    _write_parquet(rows, features, folder / "data" / "train-00000-of-00001.parquet")
    return folder


def save_abstracttts_cremad(folder: Path) -> Path:
    """`AbstractTTS/CREMA-D`: one split, soft scores; `major_emotion` says anger where the score column is angry."""
    from datasets import Audio, Features, Value

    scores = tuple(score for score, _ in CREMAD_EMOTIONS.values())
    measures = ("speaking_rate", "pitch_mean", "pitch_std", "rms", "relative_db")
    features = Features(
        {"file": Value("string"), "audio": Audio()}
        | {name: Value("float32") for name in scores}
        | {name: Value("string") for name in ("gender", "transcription", "major_emotion")}
        | {name: Value("float32") for name in measures}
    )
    rows = [
        {"file": file, "audio": {"bytes": wav_bytes(index), "path": file}}
        | _scores(scores, CREMAD_EMOTIONS[emotion][0])
        | {
            "gender": CREMAD_ACTORS[actor],
            "transcription": "made clip",
            "major_emotion": CREMAD_EMOTIONS[emotion][1],
        }
        | dict.fromkeys(measures, 1.0)
        for index, file, actor, emotion in cremad_clips()
    ]
    _write_parquet(rows, features, folder / "data" / "train-00000-of-00001.parquet")
    return folder


def save_confit_cremad(folder: Path) -> Path:
    """`confit/cremad-parquet`: splits train, validation and test by actor; file, audio, emotion, label."""
    from datasets import Audio, ClassLabel, Features, Value

    names = [word for _, word in CREMAD_EMOTIONS.values()]
    features = Features(
        {
            "file": Value("string"),
            "audio": Audio(sampling_rate=SAMPLE_RATE),
            "emotion": Value("string"),
            "label": ClassLabel(names=names),
        }
    )
    for split, split_actor in zip(("train", "validation", "test"), CREMAD_ACTORS, strict=True):
        rows = [
            {
                "file": file,
                "audio": {"bytes": wav_bytes(index), "path": file},
                "emotion": CREMAD_EMOTIONS[emotion][1],
                "label": names.index(CREMAD_EMOTIONS[emotion][1]),
            }
            for index, file, actor, emotion in cremad_clips()
            if actor == split_actor
        ]
        _write_parquet(rows, features, folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def cremad_clips() -> Iterator[tuple[int, str, str, str]]:
    """Index, file name, actor and EMO of every made CREMA-D clip: one of each emotion by each actor."""
    for index in range(len(CREMAD_ACTORS) * len(CREMAD_EMOTIONS)):
        actor = list(CREMAD_ACTORS)[index // len(CREMAD_EMOTIONS)]
        emotion = list(CREMAD_EMOTIONS)[index % len(CREMAD_EMOTIONS)]
        level = "XX" if emotion == "NEU" else "HI"
        yield index, f"{actor}_IEO_{emotion}_{level}.wav", actor, emotion


def _scores(columns: tuple[str, ...], emotion: str) -> dict[str, float]:
    return {name: 0.75 if name == emotion else 0.25 / (len(columns) - 1) for name in columns}


def _write_parquet(rows: list[dict], features, path: Path) -> None:
    """Rows as `datasets` uploads them: features in the file's schema, an audio's bytes in its record.

    Written by pyarrow, because `datasets` encodes audio only where torchcodec is installed.
    """
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=features.arrow_schema), path)
