"""For notebooks and other programs: load an encoder or a trained model, embed recordings, predict their emotions.

    from speechemb import api

    encoder = api.load_encoder("wavlm_nano")        # as --model of step 2: a tag, a hub id, a folder, "acoustic"
    vectors = api.embed(encoder, files)             # numpy (n, d), a row per file

    model = api.load_model("models/<run>")          # a model of step 3
    table = api.predict(model, files)               # pandas: path, emotion, and a probability per class

Each raises `speechemb.errors.InputError`, with one line, for wrong input. A recording that cannot be used is an error,
so that rows are never fewer than files; `inference.usable(files)` finds such recordings beforehand.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechemb import encoders, inference, paths
from speechemb.classifiers import Classifier, persistence
from speechemb.encoders.failures import check_finite
from speechemb.errors import InputError, first
from speechemb.layers import one_layer, parse_layers, take_layer

AT_ONCE = 16  # files decoded and embedded together

load_encoder = encoders.load


@dataclass(frozen=True)
class Model:
    """A classifier of step 3 with the encoders that it was trained on; `meta` is its `model.json`."""

    classifier: Classifier
    encoders: list[encoders.Encoder]
    meta: dict[str, Any]


def embed(
    encoder: encoders.Encoder,
    files: Iterable[str | Path],
    layer: str | int = "mean",
    pooling: Sequence[str] = ("mean",),
) -> np.ndarray:
    """(n, d) float32: each file's hidden states, pooled over its frames, of one layer or a mix, as in steps 2 and 3.

    `layer`: last, mean (average of the layers), all (concatenated) or a layer's number. `pooling`: some of
    `encoders.POOLINGS`, concatenated; of no effect for encoders that have one of their own, such as acoustic.

    Raises:
        InputError: a file cannot be used, or there is no such layer or pooling.
    """
    layer = one_layer(str(layer))
    if unknown := [word for word in pooling if word not in encoders.POOLINGS]:
        raise InputError(f"pooling {first(unknown)}: give a list of some of {', '.join(encoders.POOLINGS)}")
    layers = parse_layers("all" if layer in ("mean", "all") else layer, encoder.n_layers)
    rows = []
    for clips in _batches(files):
        vectors = encoder.embed([clip for _, clip in clips], layers, encoder.own_pooling or list(pooling))
        check_finite(vectors, [str(path) for path, _ in clips], encoder.precision)
        rows.append(take_layer(vectors, layers, layer))
    return np.concatenate(rows)


def load_model(folder: str | Path, encoder: Sequence[str] = ()) -> Model:
    """A model of step 3 with its encoders: those it was trained on, from where they were then.

    `encoder`: other places of the same weights, one for each encoder of the model.

    Raises:
        InputError: there is no model, it is damaged, an encoder is missing or has changed, or the model was trained
            with `--normalise speaker`: such a model needs enrolment recordings, which `predict.py --enrol` takes.
    """
    classifier, meta = persistence.load(paths.existing(Path(folder)))
    if meta["normalise"]:
        raise InputError(f"{folder} needs recordings of the speaker beforehand: use predict.py --enrol")
    return Model(classifier, inference.load_encoders(meta, list(encoder)), meta)


def predict(model: Model, files: Iterable[str | Path]) -> pd.DataFrame:
    """A row per file, in their order: path, emotion and p_<class> of each class, as predict.py writes them.

    Raises:
        InputError: a file cannot be used.
    """
    rows = [
        row
        for clips in _batches(files)
        for row in inference.predict(model.classifier, model.encoders, model.meta, clips)
    ]
    return pd.DataFrame(rows, columns=["path", "emotion", *(f"p_{label}" for label in model.meta["labels"])])


def _batches(files: Iterable[str | Path]) -> Iterator[list]:
    """The files with their waveforms, some at a time."""
    found = [Path(file) for file in ([files] if isinstance(files, (str, Path)) else files)]
    if not found:
        raise InputError("no files were given")
    for start in range(0, len(found), AT_ONCE):
        clips, bad = inference.usable(found[start : start + AT_ONCE])
        if bad:
            raise InputError(f"not usable: {first([f'{path} ({reason})' for path, reason in bad])}: leave them out")
        yield clips
