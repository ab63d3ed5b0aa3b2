"""Features of one's own in place of an encoder: arrays that somebody else computed, looked up by clip and pooled.

An array of a clip is (dim,), (frames, dim) or (layers, frames, dim), told apart by the number of axes alone. Frames are
pooled as those of an encoder. All arrays are checked before the first is pooled, and again when it is.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from speechemb.artifacts import npz
from speechemb.artifacts.clip_names import Named
from speechemb.encoders import FEATURES, feature_files
from speechemb.encoders.names import source_of
from speechemb.encoders.pooling import frame_statistics, pool
from speechemb.errors import InputError, first
from speechemb.paths import existing

log = logging.getLogger(__name__)

MAX_LAYERS = 1001  # numbered 0 to 1000, as the npz has them
_SHAPES = "an array has the shape (dim,), (frames, dim) or (layers, frames, dim), of one kind in all clips"


class Features:
    """An `encoders.Encoder` that looks up what it is to compute: `embed` is given clip ids.

    `identity["revision"]` is a hash over the content of every clip's array: other content is another encoder.
    """

    own_pooling = None
    precision = "fp32"
    workers, batch_seconds, settled = 2, 60, True
    reads_audio = False

    def __init__(self, name: str, store: feature_files.Store, place: dict[str, int]) -> None:
        self._store, self._place = store, place
        self._hashes, shapes = {}, {}
        for clip, i in place.items():
            array = _checked(store, i)
            self._hashes[clip] = npz.hash_of(array)
            shapes[clip] = array.shape
        self.axes, self.n_layers, self.dim = self._common(shapes)
        lines = "".join(f"{self._hashes[clip]}  {clip}\n" for clip in sorted(place))
        revision = hashlib.sha256(lines.encode()).hexdigest()
        self.identity: dict[str, Any] = {
            "name": name,
            "revision": revision,
            "dim": self.dim,
            "n_layers": self.n_layers,
            "axes": self.axes,
        }

    def _common(self, shapes: dict[str, tuple[int, ...]]) -> tuple[int, int, int]:
        """Number of axes, number of the last layer, dimensions: those of the first clip, which all others share."""
        kinds = {clip: (len(shape), shape[:-2], shape[-1]) for clip, shape in shapes.items()}
        given, (axes, layers, dim) = next(iter(kinds.items()))
        if other := [clip for clip, kind in kinds.items() if kind != kinds[given]]:
            label, usual = (self._store.label(self._place[clip]) for clip in (other[0], given))
            more = f" ({len(other)} such clips)" if len(other) > 1 else ""
            raise InputError(f"{label} is {shapes[other[0]]}, but {usual} {shapes[given]}{more}: {_SHAPES}")
        return axes, (layers[0] if layers else 1) - 1, dim

    def start_worker(self) -> None:
        """One thread of torch in this thread, so that sums come out the same on any number of cores."""
        torch.set_num_threads(1)

    def embed(self, waveforms: Sequence[Any], layers: list[int], methods: list[str]) -> np.ndarray:
        """Pooled features (B, len(layers), dim * len(methods)) float32 of clips, given by their ids (str).

        Raises:
            InputError: an array is not the one that was there at the start.
        """
        return np.stack([self._pooled(clip, layers, methods) for clip in waveforms])

    def _pooled(self, clip: str, layers: list[int], methods: list[str]) -> np.ndarray:
        array = _checked(self._store, self._place[clip])
        if npz.hash_of(array) != self._hashes[clip]:
            label = self._store.label(self._place[clip])
            raise InputError(f"{label} was changed while step 2 was running: start it again")
        frames = torch.from_numpy(array.reshape(self.n_layers + 1, -1, self.dim)[layers])
        return pool(frame_statistics(frames, None, methods), methods).numpy()


def load(model: str, clips: pd.DataFrame, pooling: list[str], copies: int, context: str | None = None) -> Features:
    """The features that `--model` names, for clips (columns `clip_id`, `path`): every one is there and was checked.

    Raises:
        InputError: a clip has no array or several, an array is not as it should be, there is nothing to pool, or
            augmented `copies` or a `context` are wanted.
    """
    if copies or context:
        flag = f"--augment {copies}" if copies else f"--context {context}"
        raise InputError(f"{flag}: is for encoders that compute features from audio; leave it out with --model {model}")
    store = feature_files.opened(existing(model.removeprefix(FEATURES)), f"--model {model}")
    place = _places(model, store, clips)
    features = Features(source_of(model), store, place)
    if features.n_layers >= MAX_LAYERS:
        raise InputError(f"--model {model}: arrays of {features.n_layers + 1} layers: {_SHAPES}")
    if features.axes == 1 and pooling != ["mean"]:
        asked = " ".join(pooling)
        raise InputError(f"--pooling {asked}: {model} has one vector per clip and no frames to pool: leave it out")
    return features


def _places(model: str, store: feature_files.Store, clips: pd.DataFrame) -> dict[str, int]:
    """The number of each clip's array; says which arrays and columns are not used."""
    named = Named(store.names)
    found = {clip: named.rows(clip, path) for clip, path in clips[["clip_id", "path"]].itertuples(index=False)}
    if lost := [clip for clip, rows in found.items() if not rows]:
        raise InputError(
            f"--model {model}: nothing is named after {first(lost)} ({len(lost)} of {len(found)} clips): name it by "
            "the clip id or the audio file, or list only the clips that have features with --metadata"
        )
    for clip, rows in found.items():
        if len(rows) > 1:
            labels = first([store.label(i) for i in rows])
            raise InputError(f"--model {model}: {clip} may be {labels}: name one of them by the clip id")
    place = {clip: rows[0] for clip, rows in found.items()}
    for labels in _shared(store, place):
        raise InputError(f"--model {model}: {labels}: name one by each clip id")
    notes = [f"{unused} of {len(store.names)} belong to no clip"] if (unused := len(store.names) - len(place)) else []
    notes += [f"not features: {', '.join(columns[:8])}"] if (columns := getattr(store, "not_features", [])) else []
    if notes:
        log.info("%s: %s", model, "; ".join(notes))
    return place


def _shared(store: feature_files.Store, place: dict[str, int]) -> Iterator[str]:
    """What is found for two clips at once, as two corpora may have files of one name."""
    before: dict[int, str] = {}
    for clip, i in place.items():
        if i in before:
            yield f"{store.label(i)} is named after {before[i]} and {clip}"
        before[i] = clip


def _checked(store: feature_files.Store, i: int) -> np.ndarray:
    """Array i as float32 in C order: of one to three axes, none of them empty, with finite numbers only."""
    array = store.read(i)
    if array.dtype.kind != "f" or not 1 <= array.ndim <= 3 or 0 in array.shape:
        raise InputError(f"{store.label(i)} is {array.dtype} {array.shape}: give floats; {_SHAPES}")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, np.float32)
    if not (finite := np.isfinite(array)).all():
        where = tuple(int(n) for n in np.argwhere(~finite)[0])
        n = int((~finite).sum())
        raise InputError(
            f"{store.label(i)}: {n} of {array.size} numbers are not finite in float32, the first at "
            f"{store.place(where)}: compute it anew"
        )
    return array
