"""From audio files to emotions, with the encoder and the settings that a model was trained with."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np

from speechemb import encoders
from speechemb.artifacts.storage import ArtifactError
from speechemb.audio import decoding, recording
from speechemb.audio.files import cell_of_path, is_formula, printable
from speechemb.audio.recording import Recording
from speechemb.classifiers import Classifier
from speechemb.errors import InputError
from speechemb.layers import take_layer
from speechemb.paths import shown

log = logging.getLogger(__name__)


def encoder_of(meta: dict[str, Any], source: str | None) -> encoders.Encoder:
    """The encoder that `model.json` names, loaded from `source` if given; from the hub, at the commit of training.

    A precision that this machine cannot compute in, as fp16 without CUDA, is replaced by fp32, with a warning.

    Raises:
        ArtifactError: its revision is not the one in training.
    """
    wanted = meta["encoder"]
    encoder = _loaded(source or _source_of(meta), meta["precision"])
    if encoder.identity["revision"] != wanted["revision"]:
        raise ArtifactError(
            f"the model was trained on {wanted['name']} at {wanted['revision']}, but the encoder found is at "
            f"{encoder.identity['revision']}: give the right one with --encoder"
        )
    return encoder


def _source_of(meta: dict[str, Any]) -> str:
    """Where training found the encoder; a hub id with the commit that it had, whatever its branches hold today."""
    commit, name = meta["encoder"]["revision"], meta["encoder"]["name"]
    # The revision of a folder is a hash of 64 digits.
    return f"{name}@{commit}" if re.fullmatch("[0-9a-f]{40}", commit) else meta["encoder_source"]


def _loaded(source: str, precision: str) -> encoders.Encoder:
    try:
        return encoders.load(source, precision=precision)
    except InputError:
        if precision == "fp32":
            raise
    encoder = encoders.load(source, precision="fp32")  # where the precision is not the cause, this raises again
    log.warning("the model was trained in %s, which cannot be computed here: fp32 is used", precision)
    return encoder


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
    features = take_layer(vectors, meta["layers"], meta["layer"])
    probabilities = classifier.predict_proba(features)
    names = [f"'{label}" if is_formula(label) else label for label in meta["labels"]]
    labels = np.array(names)[probabilities.argmax(axis=1)]
    return [
        [cell_of_path(path), label, *row]
        for (path, _), label, row in zip(clips, labels.tolist(), probabilities, strict=True)
    ]
