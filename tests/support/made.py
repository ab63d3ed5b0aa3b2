"""Made data with known answers: a corpus of tones, and embeddings with a planted effect."""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf

from speechemb.artifacts import embeddings, provenance, storage

EMOTIONS = ("neutral", "happy", "sad", "angry")


def corpus(folder: Path, speakers: int = 6, takes: int = 2, seconds: float = 0.6) -> Path:
    """A table of tones in noise, a pitch an emotion and a timbre a speaker; the path of its CSV."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for speaker in range(speakers):
        for number, emotion in enumerate(EMOTIONS):
            for take in range(takes):
                n = int(16000 * (seconds + 0.05 * (take + speaker + number)))
                time = np.arange(n) / 16000
                tone = sum(
                    np.sin(2 * np.pi * f * time) / h ** (1 + speaker / 6)
                    for h in range(1, 6)
                    for f in [(120 + 70 * number) * h]
                )
                wave = 0.1 * tone * (1 + 0.5 * np.sin(2 * np.pi * 4 * time)) + 0.01 * rng.normal(size=n)
                name = f"s{speaker}_{emotion}_{take}.wav"
                sf.write(folder / name, wave.astype(np.float32), 16000, subtype="PCM_16")
                gender = "female" if speaker % 2 else "male"
                rows.append((name, emotion, f"s{speaker}", f"session{speaker // 2}", f"text{take}", gender))
    table = folder.parent / f"{folder.name}.csv"
    frame = pd.DataFrame(rows, columns=["path", "emotion", "speaker", "session", "sentence", "gender"])
    frame["path"] = folder.name + "/" + frame["path"]
    frame.to_csv(table, index=False)
    return table


def npz(
    path: Path, vectors, labels, speakers, corpus: str = "made", tag: str = "made", encoder=(), numbers=(), **columns
) -> Path:
    """An npz as step 2 writes it, of given vectors (n, d) or (n, n_layers, d) and an encoder of this name.

    `encoder`: further keys of its identity. `numbers`: name -> values (n,).
    """
    if isinstance(vectors, (np.ndarray, list)):  # else something with a shape that makes rows when they are read
        vectors = np.asarray(vectors, np.float32)
        vectors = vectors[:, None, :] if vectors.ndim == 2 else vectors
    n = len(vectors)
    text = {
        "labels": np.asarray(labels, np.str_),
        "clip_ids": np.array([f"{corpus}/{i:04d}" for i in range(n)]),
        "speakers": np.asarray(speakers, np.str_),
        "corpora": np.full(n, corpus),
        "paths": np.array([f"{corpus}/{i:04d}.wav" for i in range(n)]),
        "audio_sha256": np.array([f"{corpus}-audio-{i}" for i in range(n)]),
    }
    for name in ("sessions", "sentences", "genders", "augmented_from"):
        text[name] = np.full(n, "", dtype="<U1")
    text.update({name: np.asarray(values, np.str_) for name, values in columns.items()})
    layers = np.arange(vectors.shape[1])
    sizes = {"dim": vectors.shape[2], "n_layers": vectors.shape[1] - 1}
    content = {
        "encoder": {"tag": tag, "name": tag, "revision": "1", **sizes, **dict(encoder)},
        "layers": layers.tolist(),
        "pooling": ["mean"],
        "vectors": float(vectors.astype(np.float64).sum()) if isinstance(vectors, np.ndarray) else vectors.shape[2],
    }
    stamp = provenance.stamp("embeddings", storage.SCHEMA, **content)
    meta = {**stamp, "precision": "fp32", "inputs": [], "encoder_source": "made"}
    excluded = np.empty((0, 2), "<U1")
    if numbers:
        text["numbers"] = np.stack([np.asarray(values, float) for values in dict(numbers).values()], axis=1)
        text["number_names"] = np.array(list(dict(numbers)))
    embeddings.write(path, vectors, {**text, "layers": layers.astype(np.int64), "excluded": excluded}, meta)
    return path


def planted(
    speakers: int = 10, clips: int = 12, dim: int = 16, effect: float = 2.0, speaker_effect: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, list[str], list[str]]:
    """Vectors (n, dim) = class mean x effect + speaker mean x speaker_effect + noise; labels; speakers."""
    rng = np.random.default_rng(seed)
    of_class, of_speaker = rng.normal(size=(len(EMOTIONS), dim)), rng.normal(size=(speakers, dim))
    rows, labels, names = [], [], []
    for speaker in range(speakers):
        for clip in range(clips):
            number = clip % len(EMOTIONS)
            rows.append(effect * of_class[number] + speaker_effect * of_speaker[speaker] + rng.normal(size=dim))
            labels.append(EMOTIONS[number])
            names.append(f"s{speaker:02d}")
    return np.array(rows), labels, names
