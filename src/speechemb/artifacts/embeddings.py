"""The npz of embeddings: plain arrays, read without pickle, each checked against its hash.

| key | dtype, shape | |
|---|---|---|
| `embeddings` | float32 (n_clips, n_layers, dim) | pooled over the frames of each clip |
| `layers` | int64 (n_layers,) | 0 = the projected CNN features (`hidden_states[0]` in transformers), n = block n |
| `labels`, `clip_ids`, `corpora` | str (n_clips,) | never empty |
| `speakers`, `sessions`, `sentences`, `genders` | str (n_clips,) | empty = unknown |
| `audio_sha256` | str (n_clips,) | SHA-256 of each audio file |
| `augmented_from` | str (n_clips,) | of an augmented copy, the clip id of its original; empty = an original |
| `excluded` | str (n_excluded, 2) | clip id and reason, for clips of the metadata that are not in this file |
| `meta` | str () | JSON: encoder, pooling, precision, inputs, fingerprint, versions, sha256 of every array |
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from speechemb.artifacts import npz, storage
from speechemb.artifacts.storage import ArtifactError, check_kind, check_upstream
from speechemb.errors import InputError, first
from speechemb.layers import take_layer
from speechemb.paths import ROOT, STEP2, STEP3, shown

TEXT = (
    "labels",
    "clip_ids",
    "speakers",
    "sessions",
    "sentences",
    "corpora",
    "genders",
    "audio_sha256",
    "augmented_from",
)
KEYS = ("embeddings", "layers", *TEXT, "excluded")  # and `meta`
_COMMON = ("encoder", "layers", "pooling", "precision")  # what files must share to be concatenated


@dataclass
class Embeddings:
    """One npz in memory, or several concatenated; the fields are the keys of the table above."""

    embeddings: np.ndarray
    layers: np.ndarray
    labels: np.ndarray
    clip_ids: np.ndarray
    speakers: np.ndarray
    sessions: np.ndarray
    sentences: np.ndarray
    corpora: np.ndarray
    genders: np.ndarray
    audio_sha256: np.ndarray
    augmented_from: np.ndarray
    meta: dict[str, Any]
    layer: str = ""  # where only one was read: `embeddings` is then (n_clips, d)

    @property
    def tag(self) -> str:
        """Encoder, pooling and copies for file names: `wavlm_base`, `wavlm_nano-mean_std-augmented2`."""
        pooling = "_".join(self.meta["pooling"])
        tag = self.meta["encoder"]["tag"] + ("" if pooling in ("mean", "functionals") else f"-{pooling}")
        return tag + (f"-augmented{self.copies}" if self.copies else "")

    @property
    def copies(self) -> int:
        """The number of augmented copies per clip, 0 for none."""
        of = self.augmented_from[self.augmented_from != ""]
        return int(np.unique(of, return_counts=True)[1].max()) if len(of) else 0

    def take(self, clips: np.ndarray) -> "Embeddings":
        """The clips that a boolean or index array selects."""
        chosen = {name: getattr(self, name)[clips] for name in ("embeddings", *TEXT)}
        return replace(self, **chosen)

    def originals(self) -> "Embeddings":
        """Without augmented copies: the clips that are tested and drawn."""
        return self if (self.augmented_from == "").all() else self.take(self.augmented_from == "")

    def origin(self) -> np.ndarray:
        """Index (n_clips,) int64 of each clip's original: its own index unless it is an augmented copy.

        Raises:
            InputError: the original of a copy is missing.
        """
        place = {name: i for i, name in enumerate(self.clip_ids.tolist())}
        names = np.where(self.augmented_from == "", self.clip_ids, self.augmented_from).tolist()
        if lost := [copy for copy, name in zip(self.clip_ids.tolist(), names, strict=True) if name not in place]:
            raise InputError(f"--npz-path: augmented copies without their original: {first(lost)}: rerun {STEP2}")
        return np.array([place[name] for name in names], dtype=np.int64)

    def features(self, layer: str) -> np.ndarray:
        """Vectors (n_clips, d) float32, see `take_layer`.

        Raises:
            InputError: there is no such layer.
            ValueError: only another layer was read.
        """
        if self.layer:
            if layer != self.layer:
                raise ValueError(f"only layer {self.layer} was read, not {layer}")
            return self.embeddings
        return take_layer(self.embeddings, self.layers.tolist(), layer)


def write(path: Path, rows: np.ndarray, columns: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write the npz. `rows` may be `resume.Rows`, which are streamed. The same content gives the same bytes."""
    arrays = {"embeddings": rows, **columns}
    npz.write(path, {name: arrays[name] for name in KEYS}, meta)


def read_meta(path: Path) -> dict[str, Any]:
    """The provenance of an npz, read without its arrays."""
    return _load(path, [])[1]


def read(path: Path, layer: str = "") -> Embeddings:
    """Read and check one npz: kind, schema, hashes, shapes, finite values, and that its CSVs have not changed.

    With `layer` (see `take_layer`) only that layer is kept in memory; all are read and checked, some rows at a time.

    Raises:
        ArtifactError: the file is missing, damaged, changed, foreign or older than its CSVs.
        InputError: there is no such layer.
    """
    arrays, meta = _load(path, KEYS[1:])
    remedy, n = f"rerun {STEP2}", len(arrays["clip_ids"])
    vectors, digest, finite = _vectors(path, n, arrays["layers"].tolist(), layer)
    hashes = {"embeddings": digest} | {name: npz.hash_of(array) for name, array in arrays.items()}
    if changed := [name for name, digest in hashes.items() if meta.get("arrays", {}).get(name) != digest]:
        raise ArtifactError(f"{shown(path)}: {changed[0]} was changed after it was written: {remedy}")
    if wrong := [name for name in TEXT if arrays[name].shape != (n,) or arrays[name].dtype.kind != "U"]:
        raise ArtifactError(f"{shown(path)}: {', '.join(wrong)} does not hold one string per clip: {remedy}")
    if not finite.all():
        raise ArtifactError(f"{shown(path)}: not finite for {first(arrays['clip_ids'][~finite])}: {remedy}")
    check_upstream(path, meta["inputs"], STEP2)
    del arrays["excluded"]
    return Embeddings(vectors, **arrays, meta=meta, layer=layer)


def _vectors(path: Path, n: int, layers: list[int], layer: str) -> tuple[np.ndarray, str, np.ndarray]:
    """The vectors (of `layer`, or all), the hash of the whole array, and which clips (n,) are finite in all layers."""
    remedy, vectors, finite, start = f"rerun {STEP2}", None, np.empty(n, bool), 0
    with npz.opened(path, "embeddings", remedy) as (shape, dtype, blocks):
        if dtype != np.float32 or len(shape) != 3 or shape[:2] != (n, len(layers)) or 0 in shape:
            raise ArtifactError(f"{shown(path)}: embeddings are {dtype} {shape} for {n} clips: {remedy}")
        hashed = npz.started_hash(dtype, shape)
        for block in blocks:
            hashed.update(block)
            stop = start + len(block)
            taken = take_layer(block, layers, layer) if layer else block
            if vectors is None:
                vectors = np.empty((n, *taken.shape[1:]), np.float32)
            vectors[start:stop] = taken
            finite[start:stop] = np.isfinite(block).all(axis=(1, 2))
            start = stop
    return vectors, hashed.hexdigest(), finite


def _load(path: Path, keys: Iterable[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The named arrays without `meta`, and `meta` parsed and checked."""
    remedy = f"make it with {STEP2}"
    arrays, meta = npz.load(path, keys, remedy)
    check_kind(path, meta, "embeddings", remedy)
    return arrays, meta


def concatenated(paths: list[Path], layer: str = "") -> Embeddings:
    """Several files of one encoder, one after another. `layer` as in `read`.

    Raises:
        InputError: encoder, layers or pooling differ, or a clip is in two of the files.
    """
    files = [read(path, layer) for path in paths]
    for path, file in zip(paths, files, strict=True):
        for key in _COMMON:
            if file.meta[key] != files[0].meta[key]:
                raise InputError(
                    f"{shown(paths[0])} and {shown(path)} differ in {key} and cannot be concatenated: give "
                    f"--npz-path files that {STEP2} made with the same settings, or run step 3 once for each"
                )
    if len(files) == 1:
        return files[0]
    ids, counts = np.unique(np.concatenate([file.clip_ids for file in files]), return_counts=True)
    if (counts > 1).any():
        raise InputError(f"--npz-path: clip {first(ids[counts > 1])} is in more than one file")
    arrays = {name: np.concatenate([getattr(file, name) for file in files]) for name in ("embeddings", *TEXT)}
    return replace(files[0], **arrays)


def sources(paths: list[Path]) -> list[dict[str, str]]:
    """What a file made from these npz files records about them: path and fingerprint."""
    return [{"path": shown(path), "fingerprint": read_meta(path)["fingerprint"]} for path in paths]


def is_up_to_date(path: Path, fingerprint: str, overwrite: bool) -> bool:
    """Whether `path` already has this content.

    Raises:
        ArtifactError: it has other content, and `overwrite` is not given.
    """
    if storage.is_up_to_date(path, {"fingerprint": fingerprint}):
        return True
    if path.exists() and not overwrite:
        raise ArtifactError(
            f"{shown(path)} exists, made from other clips or settings (or damaged): write elsewhere with --out, or "
            "replace it with --overwrite"
        )
    return False


def check_unchanged(path: Path, inputs: list[dict[str, str]]) -> None:
    """Raise an ArtifactError if `path` (predictions, a model) was made from an npz that has changed since.

    An npz that no longer exists cannot be checked and is accepted.
    """
    for item in inputs:
        source = ROOT / item["path"]
        if source.is_file() and read_meta(source)["fingerprint"] != item["fingerprint"]:
            raise ArtifactError(f"{shown(path)} was made from an earlier {item['path']}: rerun {STEP3}, or delete it")
