"""Matrices too large to be copied for every fold: a fold's part is the rows that it uses, taken block by block.

`Rows` is what `fit` and `predict_proba` get in place of an array where the features take `embeddings.LARGE` bytes or
more. The functions here take either. Smaller features are arrays, copied for each fold, which is faster.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from speechemb.artifacts import embeddings

BLOCK = 1 << 25  # bytes of a block


class Rows:
    """Rows `clips` (m,) of `matrix` (n, d) float32, in memory or mapped; indexing copies the rows asked for."""

    def __init__(self, matrix: np.ndarray, clips: np.ndarray) -> None:
        self.matrix, self.clips = np.asarray(matrix), clips
        self.shape = len(clips), matrix.shape[1]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        return self.matrix[self.clips[rows]]

    def part(self, rows: np.ndarray) -> Rows:
        """Some of the rows."""
        return Rows(self.matrix, self.clips[rows])

    def slices(self, size: int = 0) -> Iterator[slice]:
        """Consecutive slices of at most `size` bytes (default: BLOCK), of one row at least."""
        count = max(1, (size or BLOCK) // (4 * self.shape[1]))
        for start in range(0, len(self), count):
            yield slice(start, min(start + count, len(self)))


def taken(x: np.ndarray, clips: np.ndarray) -> np.ndarray | Rows:
    """The features of these clips: a copy, or `Rows` where `x` (n, d) is large."""
    return Rows(x, clips) if x.ndim == 2 and x.nbytes >= embeddings.LARGE else x[clips]


def part(x: np.ndarray | Rows, rows: np.ndarray) -> np.ndarray | Rows:
    """Some rows, copied where `x` is an array."""
    return x[rows] if isinstance(x, np.ndarray) else x.part(rows)


def blocks(x: np.ndarray | Rows) -> Iterator[np.ndarray]:
    """All rows, some at a time where `x` is large."""
    if isinstance(x, np.ndarray):
        yield x
        return
    for rows in x.slices():
        yield x[rows]


def moments(x: np.ndarray | Rows) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (d,) float32 of each feature: numpy's, to the last bit, for `Rows` too.

    numpy adds the rows one by one, so the sum may be interrupted after any of them.
    """
    if isinstance(x, np.ndarray):
        return x.mean(axis=0), x.std(axis=0)
    mean = _sum(blocks(x)) / np.float32(len(x))
    squares = _sum(np.square(block - mean) for block in blocks(x))
    return mean, np.sqrt(squares / np.float32(len(x)))


def _sum(parts: Iterator[np.ndarray]) -> np.ndarray:
    total = np.add.reduce(next(parts), axis=0)
    for one in parts:
        total = np.add.reduce(np.concatenate([total[None], one]), axis=0)
    return total
