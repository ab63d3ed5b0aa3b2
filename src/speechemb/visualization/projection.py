"""Maps of the embedding space: UMAP coordinates, and how far neighbours share a speaker or an emotion."""

from contextlib import suppress
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from speechemb.compiled import share_cache

NEIGHBOURS = 15  # UMAP's default size of a neighbourhood


def neighbours(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices int32 and distances float32, both (n, k), of each clip's nearest clips, itself first.

    Exact Euclidean neighbours of standardised features. For the few thousand clips of a corpus, brute force is faster
    than the approximate search that UMAP would run, and the 2-D and the 3-D map share the result.
    """
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    scaled = StandardScaler().fit_transform(x)
    k = min(NEIGHBOURS, len(x))
    distances, indices = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(scaled).kneighbors(scaled)
    # A clip with the same features may come before the clip itself, which UMAP expects first.
    itself = np.arange(len(x))
    found, place = (indices == itself[:, None]).any(axis=1), (indices == itself[:, None]).argmax(axis=1)
    indices[itself[found], place[found]] = indices[found, 0]
    indices[:, 0] = itself
    return indices.astype(np.int32), distances.astype(np.float32)


def coordinates(x: np.ndarray, graph: tuple[np.ndarray, np.ndarray], n_dims: int, seed: int) -> np.ndarray:
    """UMAP (McInnes, Healy & Melville 2018) coordinates (n, n_dims) float32 from a precomputed neighbour graph."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a graph without a search index, a seed that means one thread: both intended
        umap = _umap()
        k = graph[0].shape[1]
        init = "spectral" if len(x) > 50 else "random"
        mapper = umap.UMAP(k, n_dims, random_state=seed, precomputed_knn=(*graph, None), init=init)
        return np.asarray(mapper.fit_transform(x), dtype=np.float32)


@cache
def _umap() -> ModuleType:
    """umap, which compiles as little as it can.

    pynndescent compiles its search for neighbours when umap imports it: half a minute after an installation, though
    they are given here. And umap compiles two functions in every process that could be kept on disk.
    """
    share_cache()
    from numba.core import config as numbas

    config: Any = numbas
    before, config.DISABLE_JIT = config.DISABLE_JIT, 1
    try:
        import pynndescent  # noqa: F401
    finally:
        config.DISABLE_JIT = before
    import umap

    if not before:
        for function in (umap.umap_.smooth_knn_dist, umap.umap_.compute_membership_strengths):
            with suppress(RuntimeError):  # no folder that can be written
                function.enable_caching()
    return umap


def purity(graph: tuple[np.ndarray, np.ndarray], values: np.ndarray) -> tuple[float, float]:
    """Share of a clip's neighbours with its own value, and the share expected by chance.

    Far above chance for speakers and near it for emotions: the map shows who speaks rather than how. Clips without a
    value (empty: an unknown speaker) are not counted, neither as clips nor as neighbours.

    Args:
        graph: of `neighbours`
        values: `(n,)` emotions or speakers

    Returns:
        (found, expected); nan where no two clips with a value are neighbours
    """
    others, known = graph[0][:, 1:], values != ""
    pairs = known[:, None] & known[others]
    if not pairs.any():
        return np.nan, np.nan
    found = float((values[others] == values[:, None])[pairs].mean())
    counts = np.unique(values[known], return_counts=True)[1].astype(float)
    n = counts.sum()
    return found, float((counts * (counts - 1)).sum() / (n * (n - 1)))
