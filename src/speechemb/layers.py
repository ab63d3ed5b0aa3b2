"""Layers of an encoder: parsing `--layers`, and taking one layer or a mix of layers from embeddings."""

import numpy as np

from speechemb.errors import InputError


def parse_layers(text: str, n_blocks: int) -> list[int]:
    """`all`, `last` or `0,6,12` as ascending layer numbers: 0 = the projected CNN features, n = block n.

    Raises:
        InputError: not a number, or above the number of blocks.
    """
    if text == "all":
        return list(range(n_blocks + 1))
    words = [str(n_blocks)] if text == "last" else [word.strip() for word in text.split(",")]
    if any(not word.isdecimal() or int(word) > n_blocks for word in words):
        raise InputError(f"--layers {text}: give all, last, or numbers from 0 to {n_blocks} such as 0,{n_blocks}")
    return sorted({int(word) for word in words})


def one_layer(text: str) -> str:
    """The text, if it is a word or number that `take_layer` reduces all layers by, into vectors (n, d).

    Raises:
        InputError: it is another one.
    """
    if text not in ("last", "mean", "all") and not text.isdecimal():
        raise InputError(f"--layer {text}: give last, mean, all or a layer's number")
    return text


def take_layer(vectors: np.ndarray, layers: list[int], layer: str) -> np.ndarray:
    """Reduce vectors (n, n_layers, dim) to (n, d): `last`, `mean` (average), `all` (concatenated) or a layer's number.

    `weighted` returns them unchanged, for a classifier that learns the weights of the layers.

    Raises:
        InputError: the layer is not among `layers`.
    """
    if layer == "weighted":
        return vectors
    if layer == "last" or (layer == "mean" and len(layers) == 1):
        return vectors[:, -1]
    if layer == "mean":
        return vectors.mean(axis=1)
    if layer == "all":
        return vectors.reshape(len(vectors), -1)
    if not layer.isdecimal() or int(layer) not in layers:
        raise InputError(f"--layer {layer}: these embeddings hold layers {layers}; choose one, or last, mean or all")
    return vectors[:, layers.index(int(layer))]
