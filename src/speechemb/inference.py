"""From audio files to emotions, with the encoder and the settings that a model was trained with."""

from pathlib import Path
from typing import Any

import numpy as np

from speechemb import encoders
from speechemb.artifacts.storage import ArtifactError
from speechemb.audio import decoding
from speechemb.classifiers import Classifier
from speechemb.errors import InputError
from speechemb.layers import take_layer
from speechemb.paths import shown


def encoder_of(meta: dict[str, Any], source: str | None) -> encoders.Encoder:
    """The encoder that `model.json` names, loaded from `source` if given.

    Raises:
        ArtifactError: its revision is not the one in training.
    """
    wanted = meta["encoder"]
    encoder = encoders.load(source or meta["encoder_source"], precision=meta["precision"])
    if encoder.identity["revision"] != wanted["revision"]:
        raise ArtifactError(
            f"the model was trained on {wanted['name']} at {wanted['revision']}, but the encoder found is at "
            f"{encoder.identity['revision']}: give the right one with --encoder"
        )
    return encoder


def usable(files: list[Path]) -> tuple[list[tuple[Path, np.ndarray]], list[tuple[str, str]]]:
    """The files with their waveforms at 16 kHz; and the files that cannot be used, with the reasons."""
    good, bad = [], []
    for path in files:
        try:
            waveform = decoding.load(path)
            reason = decoding.check(waveform, decoding.SAMPLE_RATE)
        except InputError as error:
            reason = str(error)
        if reason:
            bad.append((shown(path), reason))
        else:
            good.append((path, waveform))
    return good, bad


def predict(
    classifier: Classifier, encoder: encoders.Encoder, meta: dict[str, Any], clips: list[tuple[Path, np.ndarray]]
) -> list[list]:
    """One row per file: [path, emotion, probability of each class ...]."""
    if not clips:
        return []
    vectors = encoder.embed([waveform for _, waveform in clips], meta["layers"], meta["pooling"])
    features = take_layer(vectors, meta["layers"], meta["layer"])
    probabilities = classifier.predict_proba(features)
    labels = np.array(meta["labels"])[probabilities.argmax(axis=1)]
    return [
        [shown(path), label, *row] for (path, _), label, row in zip(clips, labels.tolist(), probabilities, strict=True)
    ]
