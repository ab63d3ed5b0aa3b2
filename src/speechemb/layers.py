"""Layers of an encoder: parsing `--layers`, and taking one of the layers that an npz holds."""

import numpy as np

from speechemb.errors import InputError


def parse_layers(text: str, n_blocks: int) -> list[int]:
    """`all`, `last` or `0,6,12` as ascending layer numbers (0 = the transformer's input, n = its n-th block).

    Raises:
        InputError: not a number, or above the number of blocks.
    """
    if text == "all":
        return list(range(n_blocks + 1))
    words = [str(n_blocks)] if text == "last" else [word.strip() for word in text.split(",")]
    if any(not word.isdecimal() or int(word) > n_blocks for word in words):
        raise InputError(f"--layers {text}: give all, last, or numbers from 0 to {n_blocks} such as 0,{n_blocks}")
    return sorted({int(word) for word in words})


def take_layer(vectors: np.ndarray, layers: list[int], layer: str) -> np.ndarray:
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
