"""For notebooks and other programs: load an encoder or a trained model, embed recordings, predict their emotions.

    from speechemb import api

    encoder = api.load_encoder("wavlm_nano")        # as --model of step 2: a tag, a hub id, a folder, "acoustic"
    vectors = api.embed(encoder, files)             # numpy (n, d), a row per file

    model = api.load_model("models/<run>")          # a model of step 3
    table = api.predict(model, files)               # pandas: path, emotion, a probability per class, ...

Each raises `speechemb.errors.InputError`, with one line, for wrong input. A recording that cannot be used is an error,
so that rows are never fewer than files.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from speechemb import encoders, paths
from speechemb.audio.files import printable
from speechemb.classifiers import persistence
from speechemb.encoders.failures import check_finite
from speechemb.errors import InputError, first
from speechemb.inference import model, work
from speechemb.inference.model import Model
from speechemb.layers import one_layer, parse_layers, take_layer

AT_ONCE = 16  # files decoded and embedded together

load_encoder = encoders.load


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


def load_model(folder: str | Path, encoder: Sequence[str] = (), device: str = "auto") -> Model:
    """A model of step 3 with its encoders: those it was trained on, from where they were then.

    `encoder`: other places of the same weights, one for each encoder of the model. Set `at_least` of the model to a
    confidence to get the emotion `unknown` below it.

    Raises:
        InputError: there is no model, it is damaged, an encoder is missing or has changed, or the model was trained
            with `--normalise speaker`: such a model needs enrolment recordings, which `predict.py --enrol` takes.
    """
    found = paths.existing(Path(folder))
    if persistence.load(found)[1]["normalise"]:
        raise InputError(f"{folder} needs recordings of the speaker beforehand: use predict.py --enrol")
    return model.load(found, list(encoder), device, "auto", enrolled=False)


def predict(model: Model, files: Iterable[str | Path]) -> pd.DataFrame:
    """A row per file, in their order: path, emotion, p_<class> of each class, novelty and note, as predict.py has them.

    Raises:
        InputError: a file cannot be used.
    """
    rows = [
        [printable(paths.shown(path)), *answer]
        for clips in _batches(files)
        for (path, _), answer in zip(clips, model.answers(model.features(clips)), strict=True)
    ]
    return pd.DataFrame(rows, columns=model.columns(segments=False))


def _batches(files: Iterable[str | Path]) -> Iterator[list]:
    """The files with their waveforms, some at a time."""
    found = [Path(file) for file in ([files] if isinstance(files, (str, Path)) else files)]
    if not found:
        raise InputError("no files were given")
    for start in range(0, len(found), AT_ONCE):
        part = [(path, *work.read(path)) for path in found[start : start + AT_ONCE]]
        if bad := [f"{path} ({fault})" for path, _, fault in part if fault]:
            raise InputError(f"not usable: {first(bad)}: leave them out")
        yield [(path, waveform) for path, waveform, _ in part]
