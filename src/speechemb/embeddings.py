"""The npz that holds a corpus's embeddings: plain arrays, read without pickle, each checked against its hash.

| key | dtype, shape | |
|---|---|---|
| `embeddings` | float32 (n_clips, n_layers, dim) | pooled over the frames of each clip |
| `layers` | int64 (n_layers,) | 0 = the transformer's input, n = its n-th block |
| `labels`, `clip_ids`, `corpora` | str (n_clips,) | never empty |
| `speakers`, `sessions`, `sentences`, `genders` | str (n_clips,) | empty = unknown |
| `audio_sha256` | str (n_clips,) | of each audio file's bytes |
| `augmented_from` | str (n_clips,) | clip id of the original of an augmented copy; empty = an original |
| `excluded` | str (n_excluded, 2) | clip id and reason of what the metadata listed and this file lacks |
| `meta` | str () | JSON: encoder, pooling, precision, inputs, fingerprint, versions, sha256 of every array |
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from speechemb import provenance
from speechemb.artifacts import STEP2, STEP3, ArtifactError, atomic, check_kind, check_upstream
from speechemb.errors import InputError, first
from speechemb.paths import ROOT, shown

TEXT = (
    *("labels", "clip_ids", "speakers", "sessions", "sentences", "corpora", "genders", "audio_sha256"),
    "augmented_from",
)
KEYS = ("embeddings", "layers", *TEXT, "excluded", "meta")
_COMMON = ("encoder", "layers", "pooling", "precision")  # what files must share to be pooled


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
    audio_sha256: np.ndarray
    augmented_from: np.ndarray
    meta: dict[str, Any]

    @property
    def tag(self) -> str:
        """Encoder and pooling as file names show them: `wavlm_base`, `wavlm_nano-mean_std`."""
        pooling = "_".join(self.meta["pooling"])
        tag = self.meta["encoder"]["tag"] + ("" if pooling in ("mean", "functionals") else f"-{pooling}")
        return tag + (f"-augmented{self.copies}" if self.copies else "")

    @property
    def copies(self) -> int:
        """How many augmented copies a clip has, 0 for none."""
        of = self.augmented_from[self.augmented_from != ""]
        return int(np.unique(of, return_counts=True)[1].max()) if len(of) else 0

    def take(self, clips: np.ndarray) -> "Embeddings":
        """The clips that a boolean or index array chooses."""
        chosen = {name: getattr(self, name)[clips] for name in ("embeddings", *TEXT)}
        return replace(self, **chosen)

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
        return chosen(self.embeddings, self.layers.tolist(), layer)


def chosen(vectors: np.ndarray, layers: list[int], layer: str) -> np.ndarray:
    """(n, d) of (n, n_layers, dim): `last`, `mean` (average of the layers), `all` (side by side) or a layer's number.

    `weighted` leaves the layers as they are, for a classifier that learns to mix them.

    Raises:
        InputError: a number that is not among `layers`.
    """
    if layer == "weighted":
        return vectors
    if layer == "last":
        return vectors[:, -1]
    if layer == "mean":
        return vectors.mean(axis=1)
    if layer == "all":
        return vectors.reshape(len(vectors), -1)
    if not layer.isdecimal() or int(layer) not in layers:
        raise InputError(f"--layer {layer}: these embeddings hold layers {layers}; choose one, or last, mean or all")
    return vectors[:, layers.index(int(layer))]


def write(path: Path, rows: np.ndarray, columns: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write the npz; `rows` may be a memory map: it is streamed, never held whole. Same content, same bytes."""
    arrays = {"embeddings": rows, **columns}
    arrays = {name: arrays[name] for name in KEYS if name != "meta"}
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        hashes = {name: _add(archive, name, array) for name, array in arrays.items()}
        _add(archive, "meta", np.array(provenance.canonical_json(provenance.seal({**meta, "arrays": hashes}))))


def _add(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> str:
    """Add one `.npy` member, as `numpy.savez` would but with a fixed date; its SHA-256 over dtype, shape and data."""
    digest = _digest(array)
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_2_0(member, header)
        for block in _blocks(array):
            member.write(block)
            digest.update(block)
    return digest.hexdigest()


def _digest(array: np.ndarray) -> "hashlib._Hash":
    return hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())


def _blocks(array: np.ndarray, rows: int = 256) -> Iterable[bytes]:
    """The bytes of an array, some rows at a time."""
    if array.ndim == 0:
        yield array.tobytes()
    for start in range(0, len(array) if array.ndim else 0, rows):
        yield np.ascontiguousarray(array[start : start + rows]).tobytes()


def read_meta(path: Path) -> dict[str, Any]:
    """Only the provenance of an npz, without its arrays."""
    return _load(path, ["meta"])[1]


def read(path: Path) -> Embeddings:
    """Read and check one npz: kind, schema, hashes, shapes, finite values, and that its CSVs are still the same.

    Raises:
        ArtifactError: one line that names the file, what is wrong and the command that makes it anew.
    """
    arrays, meta = _load(path, list(KEYS))
    remedy = f"rerun {STEP2}"
    for name, digest in meta.get("arrays", {}).items():
        found = _digest(arrays[name])
        for block in _blocks(arrays[name]):
            found.update(block)
        if found.hexdigest() != digest:
            raise ArtifactError(f"{shown(path)}: {name} was changed after it was written: {remedy}")
    vectors, n = arrays["embeddings"], len(arrays["clip_ids"])
    if vectors.dtype != np.float32 or vectors.ndim != 3 or vectors.shape[:2] != (n, len(arrays["layers"])) or n == 0:
        raise ArtifactError(f"{shown(path)}: embeddings are {vectors.dtype} {vectors.shape} for {n} clips: {remedy}")
    if wrong := [name for name in TEXT if arrays[name].shape != (n,) or arrays[name].dtype.kind != "U"]:
        raise ArtifactError(f"{shown(path)}: {', '.join(wrong)} does not hold one string a clip: {remedy}")
    if not (finite := np.isfinite(vectors).all(axis=(1, 2))).all():
        raise ArtifactError(f"{shown(path)}: not finite for {first(arrays['clip_ids'][~finite])}: {remedy}")
    check_upstream(path, meta["inputs"], STEP2)
    del arrays["excluded"]
    return Embeddings(**arrays, meta=meta)


def _load(path: Path, keys: list[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The named arrays without `meta`, and `meta` parsed."""
    remedy = f"make it with {STEP2}"
    if not path.is_file():
        raise ArtifactError(f"{shown(path)} is missing: {remedy}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            if missing := [key for key in keys if key not in archive.files]:
                raise ArtifactError(
                    f"{shown(path)} lacks {', '.join(missing)}, so it is no file of this step: {remedy}"
                )
            arrays = {key: archive[key] for key in keys}
        meta = json.loads(str(arrays.pop("meta")[()]))
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise ArtifactError(
            f"{shown(path)} cannot be read as npz ({type(error).__name__}: {error}): {remedy}"
        ) from None
    check_kind(path, meta, "embeddings", remedy)
    return arrays, meta


def pooled(paths: list[Path]) -> Embeddings:
    """Several files of one encoder, one after another; with a single path, that file.

    Raises:
        InputError: encoder, layers or pooling differ, or a clip is in two of the files.
    """
    files = [read(path) for path in paths]
    for path, file in zip(paths, files, strict=True):
        for key in _COMMON:
            if file.meta[key] != files[0].meta[key]:
                raise InputError(
                    f"{shown(paths[0])} and {shown(path)} differ in {key} and cannot be pooled: give files of one "
                    f"{STEP2} setting to --npz-path, or run the step once for each"
                )
    if len(files) == 1:
        return files[0]
    ids, counts = np.unique(np.concatenate([file.clip_ids for file in files]), return_counts=True)
    if (counts > 1).any():
        raise InputError(f"--npz-path: clip {first(ids[counts > 1])} is in more than one file")
    arrays = {name: np.concatenate([getattr(file, name) for file in files]) for name in ("embeddings", *TEXT)}
    return Embeddings(**arrays, layers=files[0].layers, meta=files[0].meta)


def sources(paths: list[Path]) -> list[dict[str, str]]:
    """What a file made from these npz records about them: path and fingerprint."""
    return [{"path": shown(path), "fingerprint": read_meta(path)["fingerprint"]} for path in paths]


def stands(path: Path, fingerprint: str, overwrite: bool) -> bool:
    """Whether `path` holds this very content already.

    Raises:
        ArtifactError: it holds something else, and `overwrite` is not given.
    """
    if not path.exists():
        return False
    try:
        found = read_meta(path)["fingerprint"]
    except ArtifactError:
        found = "unreadable"
    if found != fingerprint and not overwrite:
        raise ArtifactError(
            f"{shown(path)} exists, made from other clips or settings (or damaged): write elsewhere with --out, or "
            "replace it with --overwrite"
        )
    return found == fingerprint


def check_unchanged(path: Path, inputs: list[dict[str, str]]) -> None:
    """Raise where `path` (predictions, a model) was made from an npz that has since been replaced by another.

    An npz that is gone cannot be checked and is accepted.
    """
    for item in inputs:
        source = ROOT / item["path"]
        if source.is_file() and read_meta(source)["fingerprint"] != item["fingerprint"]:
            raise ArtifactError(f"{shown(path)} was made from an earlier {item['path']}: rerun {STEP3}, or delete it")
