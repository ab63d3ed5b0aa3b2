"""Feature fusion (`--fuse`): the vectors of several encoders side by side, for the clips that all their files hold."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from speechemb.artifacts.embeddings import COMMON, TEXT, Embeddings, pooled, read
from speechemb.artifacts.provenance import canonical_json
from speechemb.errors import InputError, first
from speechemb.paths import STEP2, shown

LAYERS = ("last", "mean", "all")  # of --layer; a number is another depth in every encoder
_COARSEST_FIRST = ("int8", "fp16", "bf16", "fp32")


def fused(paths: list[Path], layer: str) -> Embeddings:
    """The features of several encoders, concatenated in the order of the files, of the clips that are in all of them.

    Each encoder's features are taken with `layer` first. Files of one encoder (other corpora, say) are pooled before.
    Clips that an encoder lacks are in `dropped`.

    Args:
        paths: npz of at least two encoders or poolings
        layer: one of LAYERS

    Raises:
        InputError: another layer, one encoder only, no clip in common, or columns that differ for a shared clip.
        ArtifactError: as `embeddings.read`.
    """
    if layer not in LAYERS:
        raise InputError(f"--fuse with --layer {layer}: give --layer {' or '.join(LAYERS)}, which every encoder has")
    sides: dict[str, list[tuple[Path, Embeddings]]] = {}
    for path in paths:
        file = read(path, layer)
        sides.setdefault(canonical_json([file.meta[key] for key in COMMON]), []).append((path, file))
    names = [", ".join(shown(path) for path, _ in side) for side in sides.values()]
    parts = [pooled([file for _, file in side]) for side in sides.values()]
    if len(parts) < 2:
        raise InputError(f"--fuse: {names[0]} is of one encoder and pooling: give --npz-path files of two or more")
    shared, dropped = _shared_clips(parts, names)
    parts = [part.take(_places(part, shared)) for part in parts]
    for name, part in zip(names[1:], parts[1:], strict=True):
        _check_same(names[0], name, parts[0], part)
    return replace(
        parts[0],
        embeddings=np.concatenate([part.embeddings for part in parts], axis=1),
        layers=np.unique(np.concatenate([part.layers for part in parts])),
        meta=_meta(parts),
        parts=[part.meta for part in parts],
        sources=[source for part in parts for source in part.sources],
        dropped=dropped,
    )


def _shared_clips(parts: list[Embeddings], names: list[str]) -> tuple[np.ndarray, list[dict[str, str]]]:
    """The ids of the clips in all parts, in the first part's order; and clip id, corpus and reason of the others.

    An augmented copy needs its original: where that is not shared, the copy is not used either.
    """
    held = [set(part.clip_ids.tolist()) for part in parts]
    everywhere = set.intersection(*held)
    if not everywhere:
        raise InputError(f"--fuse: {' and '.join(names)} have no clip in common: make them from the same metadata")
    dropped: dict[str, dict[str, str]] = {}
    for part in parts:
        columns = (part.clip_ids, part.corpora, part.augmented_from)
        for clip, corpus, original in zip(*(column.tolist() for column in columns), strict=True):
            needed = {clip, original or clip}
            lacking = [name for name, of in zip(names, held, strict=True) if not needed <= of]
            if lacking:
                dropped[clip] = {"clip_id": clip, "corpus": corpus, "reason": f"not in {', '.join(lacking)}"}
    kept = [clip for clip in parts[0].clip_ids.tolist() if clip in everywhere and clip not in dropped]
    return np.array(kept), list(dropped.values())


def _places(part: Embeddings, clips: np.ndarray) -> np.ndarray:
    place = {clip: i for i, clip in enumerate(part.clip_ids.tolist())}
    return np.array([place[clip] for clip in clips.tolist()], dtype=np.int64)


def _check_same(name: str, other_name: str, one: Embeddings, other: Embeddings) -> None:
    """Raise where two parts, of the same clips in the same order, disagree about a clip."""
    for column in (name for name in TEXT if name != "paths"):  # a folder may have moved: `audio_sha256` tells
        if (differ := getattr(one, column) != getattr(other, column)).any():
            raise InputError(
                f"--fuse: {name} and {other_name} differ in {column} for {first(one.clip_ids[differ].tolist())}: make "
                f"both from the same metadata with {STEP2}"
            )


def _meta(parts: list[Embeddings]) -> dict[str, Any]:
    """What step 3 records about the encoders together."""
    encoders = [part.meta["encoder"] for part in parts]
    together = {key: "+".join(str(encoder[key]) for encoder in encoders) for key in ("tag", "name", "revision")}
    poolings = ["_".join(part.meta["pooling"]) for part in parts]
    return {
        "encoder": {
            **together,
            "dim": sum(encoder["dim"] for encoder in encoders),
            "n_layers": max(encoder["n_layers"] for encoder in encoders),
        },
        "encoder_source": ", ".join(part.meta["encoder_source"] for part in parts),
        "layers": sorted({layer for part in parts for layer in part.meta["layers"]}),
        "pooling": parts[0].meta["pooling"] if len(set(poolings)) == 1 else ["+".join(poolings)],
        "precision": min((part.meta["precision"] for part in parts), key=_COARSEST_FIRST.index),
    }
