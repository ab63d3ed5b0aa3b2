"""Choosing a layer inside a training part.

Classifiers are fitted on an inner, group-disjoint part of the training part and compared by their UAR on the rest of
it. Test clips are not used.
"""

from collections.abc import Callable

import numpy as np

from speechemb.classifiers import Classifier
from speechemb.classifiers.rows import Rows, part
from speechemb.layers import take_layer
from speechemb.metrics.classification import uar_of_numbers
from speechemb.splits.folds import inner_split


def inner_uar(
    make: Callable[[], Classifier], x: np.ndarray | Rows, y: np.ndarray, group: np.ndarray, seed: int
) -> float:
    """UAR on the validation part of the inner split, of a classifier fitted on the rest."""
    train, valid = inner_split(y, group, seed)
    predicted = make().fit(part(x, train), y[train], group[train]).predict_proba(part(x, valid)).argmax(axis=1)
    return uar_of_numbers(y[valid], predicted)


def candidates(layers: list[int]) -> list[str]:
    """What `--layer auto` chooses from: the average of the layers, all of them concatenated, and each alone."""
    return [*(["mean", "all"] if len(layers) > 1 else []), *map(str, layers)]


def best_layer(
    make: Callable[[], Classifier], vectors: np.ndarray, layers: list[int], y: np.ndarray, group: np.ndarray, seed: int
) -> tuple[str, float]:
    """The candidate with the highest inner UAR, and that UAR; of equal candidates, the first.

    Args:
        make: returns an unfitted classifier
        vectors: (n, n_layers, dim) of the training part
        layers: their numbers
        y, group: (n,) of the training part
        seed: of the inner split
    """
    uar = {layer: inner_uar(make, take_layer(vectors, layers, layer), y, group, seed) for layer in candidates(layers)}
    best = max(uar, key=uar.__getitem__)
    return best, uar[best]
