"""From audio files to emotions, with the encoder and the settings that a model was trained with."""

from pathlib import Path
from typing import Any

import numpy as np

from speechemb import encoders
from speechemb.audio import decoding, recording
from speechemb.audio.files import cell_of_path, is_formula, printable
from speechemb.audio.recording import Recording
from speechemb.classifiers import Classifier
from speechemb.encoders.failures import check_finite
from speechemb.layers import take_layer
from speechemb.paths import shown


def usable(files: list[Path]) -> tuple[list[tuple[Path, np.ndarray | Recording]], list[tuple[str, str]]]:
    """The files with their waveforms at 16 kHz; and the files that cannot be used, with the reasons."""
    good, bad = [], []
    for path in files:
        try:
            found = recording.load(path)
        except decoding.AudioError as error:
            bad.append((printable(shown(path)), error.reason))
            continue
        if fault := found.fault if isinstance(found, Recording) else decoding.check(found, decoding.SAMPLE_RATE):
            bad.append((printable(shown(path)), fault))
        else:
            good.append((path, found))
    return good, bad


def predict(
    classifier: Classifier,
    encoder: encoders.Encoder,
    meta: dict[str, Any],
    clips: list[tuple[Path, np.ndarray | Recording]],
) -> list[list]:
    """One row per file: [path, emotion, probability of each class ...].

    An emotion that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    if not clips:
        return []
    vectors = encoder.embed([waveform for _, waveform in clips], meta["layers"], meta["pooling"])
    check_finite(vectors, [shown(path) for path, _ in clips], encoder.precision)
    features = take_layer(vectors, meta["layers"], meta["layer"])
    probabilities = classifier.predict_proba(features)
    names = [f"'{label}" if is_formula(label) else label for label in meta["labels"]]
    labels = np.array(names)[probabilities.argmax(axis=1)]
    return [
        [cell_of_path(path), label, *row]
        for (path, _), label, row in zip(clips, labels.tolist(), probabilities, strict=True)
    ]
