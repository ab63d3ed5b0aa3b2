"""The npz that holds a corpus's embeddings: plain arrays, read without pickle, each checked against its hash.

| key | dtype, shape | |
|---|---|---|
| `embeddings` | float32 (n_clips, n_layers, dim) | pooled over the frames of each clip |
| `layers` | int64 (n_layers,) | 0 = the transformer's input, n = its n-th block; of own features, the array's |
| `labels`, `clip_ids`, `corpora` | str (n_clips,) | never empty |
| `speakers`, `sessions`, `sentences`, `genders` | str (n_clips,) | empty = unknown |
| `paths` | str (n_clips,) | of each audio file, as in step 1's CSV |
| `audio_sha256` | str (n_clips,) | of each audio file's bytes |
| `augmented_from` | str (n_clips,) | clip id of the original of an augmented copy; empty = an original |
| `excluded` | str (n_excluded, 2) | clip id and reason of what the metadata listed and this file lacks |
| `numbers`, `number_names` | float64 (n_clips, m), str (m,) | arousal and others, see `numbers`; absent without any |
| `meta` | str () | JSON: encoder, pooling, precision, inputs, fingerprint, versions, sha256 of every array |
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from speechemb.artifacts import npz, numbers, schemas
from speechemb.artifacts.freshness import check_upstream, command_for
from speechemb.artifacts.storage import ArtifactError, check_stamp
from speechemb.errors import InputError, first
from speechemb.layers import take_layer
from speechemb.paths import STEP2, shown

TEXT = (
    "labels",
    "clip_ids",
    "speakers",
    "sessions",
    "sentences",
    "corpora",
    "genders",
    "paths",
    "audio_sha256",
    "augmented_from",
)
KEYS = ("embeddings", "layers", *TEXT, "excluded")  # and `meta`
SETTINGS = ("encoder", "layers", "pooling", "precision_asked", "limit", "augment")  # what a file to be replaced shares
LARGE = 1 << 30  # bytes; vectors of this size stay in the file, which is mapped, and are not copied for each fold
COMMON = ("encoder", "layers", "pooling", "precision")  # what files must share to be concatenated


class EmbeddingsStamp(schemas.Stamp):
    """`meta` of the npz."""

    encoder: schemas.EncoderInfo
    encoder_source: schemas.Text  # where the encoder was loaded from
    layers: schemas.Layers
    pooling: schemas.Pooling
    precision: schemas.Precision
    arrays: dict[schemas.Name, schemas.Sha256]


@dataclass
class Embeddings:
    """One npz in memory; the fields are the keys of the table above."""

    embeddings: np.ndarray
    layers: np.ndarray
    labels: np.ndarray
    clip_ids: np.ndarray
    speakers: np.ndarray
    sessions: np.ndarray
    sentences: np.ndarray
    corpora: np.ndarray
    genders: np.ndarray
    paths: np.ndarray
    audio_sha256: np.ndarray
    augmented_from: np.ndarray
    meta: dict[str, Any]
    layer: str = ""  # the one that was read, (n_clips, d); empty: all of them
    sources: list[dict[str, str]] = field(default_factory=list)  # path and content of each npz that was read
    parts: list[dict[str, Any]] = field(default_factory=list)  # of fused encoders: the `meta` of each
    dropped: list[dict[str, str]] = field(default_factory=list)  # clip_id, corpus and reason of clips step 3 cannot use
    raters: Any = None  # `training.raters.Raters`, where raters' votes give the labels
    numbers: dict[str, np.ndarray] = field(default_factory=dict)  # name -> (n_clips,) float64, NaN: unknown

    @property
    def tag(self) -> str:
        """Encoder and pooling as file names show them: `wavlm_base`, `wavlm_nano-mean_std`, `wavlm_nano+acoustic`."""
        tag = "+".join(tag_of(meta) for meta in self.parts or [self.meta])
        return tag + (f"-augmented{self.copies}" if self.copies else "")

    @property
    def copies(self) -> int:
        """How many augmented copies a clip has, 0 for none."""
        of = self.augmented_from[self.augmented_from != ""]
        return int(np.unique(of, return_counts=True)[1].max()) if len(of) else 0

    def take(self, clips: np.ndarray) -> "Embeddings":
        """The clips that a boolean or index array chooses."""
        if clips.dtype == bool and clips.all():
            return replace(self)
        chosen = {name: getattr(self, name)[clips] for name in ("embeddings", *TEXT)}
        return replace(self, **chosen, numbers={name: values[clips] for name, values in self.numbers.items()})

    def originals(self) -> "Embeddings":
        """Without the changed copies: what is tested and drawn."""
        return self if (self.augmented_from == "").all() else self.take(self.augmented_from == "")

    def origin(self) -> np.ndarray:
        """Index (n_clips,) int64 of each clip's original: its own, unless it is an augmented copy.

        Raises:
            InputError: a copy without its original.
        """
        place = {name: i for i, name in enumerate(self.clip_ids.tolist())}
        names = np.where(self.augmented_from == "", self.clip_ids, self.augmented_from).tolist()
        if lost := [copy for copy, name in zip(self.clip_ids.tolist(), names, strict=True) if name not in place]:
            raise InputError(f"--npz-path: augmented copies without their original: {first(lost)}: rerun {STEP2}")
        return np.array([place[name] for name in names], dtype=np.int64)

    def features(self, layer: str) -> np.ndarray:
        """Vectors (n_clips, d) float32, see `chosen`."""
        if self.layer:
            if layer != self.layer:
                raise ValueError(f"only layer {self.layer} was read, not {layer}")
            return self.embeddings
        return take_layer(self.embeddings, self.layers.tolist(), layer)


def tag_of(meta: dict[str, Any]) -> str:
    """Encoder and pooling of one npz as file names show them, from its `meta`."""
    pooling = "_".join(meta["pooling"])
    return meta["encoder"]["tag"] + ("" if pooling in ("mean", "functionals") else f"-{pooling}")


def write(path: Path, rows: np.ndarray, columns: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write the npz; `rows` may be `partial.Rows`: they are streamed, never held whole. Same content, same bytes."""
    arrays = {"embeddings": rows, **columns}
    kept = [*KEYS, *(name for name in numbers.ARRAYS if name in columns)]
    npz.write(path, {name: arrays[name] for name in kept}, meta)


def read(path: Path, layer: str = "") -> Embeddings:
    """Read and check one npz: kind, schema, hashes, shapes, finite values, and that its CSVs are still the same.

    With `layer` (see `take_layer`) only its vectors are kept; the others pass through, some rows at a time.

    Raises:
        ArtifactError: one line that names the file, what is wrong and the command that makes it anew.
        InputError: there is no such layer.
    """
    remedy = f"rerun {command_for(path, STEP2)}" + (" --overwrite" if path.exists() else "")
    arrays, meta = npz.load(path, KEYS[1:], remedy)
    check_stamp(path, meta, "embeddings", remedy, EmbeddingsStamp)
    n = _check_columns(path, arrays, meta, remedy)
    values = {}
    if set(numbers.ARRAYS) <= set(meta["arrays"]):
        found, _ = npz.load(path, numbers.ARRAYS, remedy)
        arrays |= found
        values = _numbers(path, found, n, remedy)
    vectors, digest, finite = _vectors(path, n, meta, layer, remedy)
    hashes = {"embeddings": digest} | {name: npz.hash_of(array) for name, array in arrays.items()}
    if changed := [name for name, digest in hashes.items() if meta["arrays"].get(name) != digest]:
        raise ArtifactError(f"{shown(path)}: {changed[0]} was changed after it was written: {remedy}")
    if not finite.all():
        raise ArtifactError(f"{shown(path)}: not finite for {first(arrays['clip_ids'][~finite].tolist())}: {remedy}")
    check_upstream(path, STEP2)
    for name in {"excluded", *numbers.ARRAYS} & set(arrays):
        del arrays[name]
    sources = [{"path": shown(path), "sha256": meta["content_sha256"]}]
    return Embeddings(vectors, meta=meta, layer=layer, sources=sources, parts=[], dropped=[], numbers=values, **arrays)


def _numbers(path: Path, arrays: dict[str, np.ndarray], n: int, remedy: str) -> dict[str, np.ndarray]:
    try:
        return numbers.by_name(arrays, n)
    except ValueError as error:
        raise ArtifactError(f"{shown(path)}: numbers: {error}: {remedy}") from None


def _check_columns(path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any], remedy: str) -> int:
    """Check shapes, types and values of the arrays beside the embeddings; the number of clips."""
    n = arrays["clip_ids"].size
    if wrong := [name for name in TEXT if arrays[name].shape != (n,) or arrays[name].dtype.kind != "U"]:
        raise ArtifactError(f"{shown(path)}: {', '.join(wrong)} does not hold one string per clip: {remedy}")
    if arrays["layers"].dtype != np.int64 or arrays["layers"].tolist() != meta["layers"]:
        raise ArtifactError(f"{shown(path)}: layers are not those of its meta: {remedy}")
    faults = {
        "clip_ids": "occur twice" if len(np.unique(arrays["clip_ids"])) < n else "",
        "labels": schemas.fault_of(list[schemas.Label], np.unique(arrays["labels"]).tolist()),
        "corpora": schemas.fault_of(schemas.Corpora, np.unique(arrays["corpora"]).tolist()),
    }
    for name, fault in faults.items():
        if fault:
            raise ArtifactError(f"{shown(path)}: {name}: {fault}: {remedy}")
    return n


def _vectors(path: Path, n: int, meta: dict[str, Any], layer: str, remedy: str) -> tuple[np.ndarray, str, np.ndarray]:
    """The vectors (of `layer`, or all), the hash of the whole array, and which clips (n,) are finite in all layers."""
    vectors, finite, start = np.empty(0, np.float32), np.empty(n, bool), 0
    mapped = _mapped(path, meta, layer, remedy)
    with npz.opened(path, "embeddings", remedy) as (shape, dtype, blocks):
        if dtype != np.float32 or len(shape) != 3 or shape[:2] != (n, len(meta["layers"])) or 0 in shape:
            raise ArtifactError(f"{shown(path)}: embeddings are {dtype} {shape} for {n} clips: {remedy}")
        hashed = npz.started_hash(dtype, shape)
        for block in blocks:
            hashed.update(block.tobytes())
            stop = start + len(block)
            if mapped is None:
                taken = take_layer(block, meta["layers"], layer) if layer else block
                if start == 0:
                    vectors = np.empty((n, *taken.shape[1:]), np.float32)
                vectors[start:stop] = taken
            finite[start:stop] = np.isfinite(block).all(axis=(1, 2))
            start = stop
    return vectors if mapped is None else mapped, hashed.hexdigest(), finite


def _mapped(path: Path, meta: dict[str, Any], layer: str, remedy: str) -> np.ndarray | None:
    """The vectors in the file itself, where they are large and no mean over layers has to be computed."""
    source = npz.mapped(path, "embeddings", LARGE, remedy)
    if source is None or source.ndim != 3 or (layer == "mean" and source.shape[1] > 1):
        return None
    return take_layer(source, meta["layers"], layer) if layer else source


def concatenated(paths: list[Path], layer: str = "") -> Embeddings:
    """Several files of one encoder, one after another; with a single path, that file. `layer` as in `read`.

    Raises:
        InputError: encoder, layers or pooling differ, or a clip is in two of the files.
    """
    files = [read(path, layer) for path in paths]
    for path, file in zip(paths, files, strict=True):
        for key in COMMON:
            if file.meta[key] != files[0].meta[key]:
                raise InputError(
                    f"{shown(paths[0])} and {shown(path)} differ in {key} and cannot be pooled: give files of one "
                    f"{STEP2} setting to --npz-path, or run the step once for each"
                )
    return pooled(files)


def pooled(files: list[Embeddings]) -> Embeddings:
    """Several files of one encoder, layers and pooling, one after another.

    Raises:
        InputError: a clip is in two of them.
    """
    if len(files) == 1:
        return files[0]
    ids, counts = np.unique(np.concatenate([file.clip_ids for file in files]), return_counts=True)
    if (counts > 1).any():
        raise InputError(f"--npz-path: clip {first(ids[counts > 1].tolist())} is in more than one file")
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(file, name) for file in files]) for name in ("embeddings", *TEXT)
    }
    arrays["numbers"] = numbers.joined([file.numbers for file in files], [len(file.clip_ids) for file in files])
    return replace(files[0], **arrays, sources=[source for file in files for source in file.sources])
