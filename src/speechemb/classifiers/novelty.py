"""How unlike the training speech a recording is, measured against training clips of speakers who were held out.

The score is the Mahalanobis distance of the features under probabilistic principal components (Tipping and Bishop
1999): standardised features, the `AXES` strongest principal axes with their own variances, one common variance for all
other directions. Its distribution is measured on training clips whose speakers were not fitted (5 parts of the
speakers), because a new speaker is always more novel than those who were. Features of a probe that weighs layers are
averaged over the layers.
"""

from pathlib import Path

import numpy as np

from speechemb.classifiers import tensors
from speechemb.classifiers.rows import Rows

AXES = 32
MOST_CLIPS = 2000  # of the training clips, drawn with a fixed seed
PARTS = 5
FLAGGED = 0.99  # share of training clips of held-out speakers that are less novel; above it a recording is flagged
NAME = "novelty.safetensors"
NOTE = "unlike the training speech"


class Novelty:
    """`arrays`: mean and scale (d,), axes (k, d), variances (k,), rest (1,), and the sorted scores (n,) held out."""

    def fit(self, x: np.ndarray | Rows, speaker: np.ndarray) -> "Novelty":
        """Fit on features (n, d) or (n, n_layers, dim) of clips, of which `speaker` (n,) names the speakers."""
        drawn = np.sort(np.random.default_rng(0).permutation(len(x))[:MOST_CLIPS])
        x, numbers = _flat(x[drawn]), np.unique(speaker[drawn], return_inverse=True)[1]
        part = (numbers if numbers.max() else np.arange(len(x))) % PARTS  # of one speaker, clips are held out
        held_out = [_scores(_fitted(x[part != i]), x[part == i]) for i in range(PARTS) if (part == i).any()]
        self.arrays = {**_fitted(x), "scores": np.sort(np.concatenate(held_out))}
        self.features = x.shape[1]
        return self

    def share(self, x: np.ndarray) -> np.ndarray:
        """(n,) float64: the share of held-out training clips that are less novel than each recording, 0 to 1."""
        scores = self.arrays["scores"]
        return np.searchsorted(scores, _scores(self.arrays, _flat(x))) / len(scores)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file(self.arrays, folder / NAME)

    def load(self, folder: Path) -> "Novelty":
        """As it was saved.

        Raises:
            ValueError: the file holds something else.
            OSError: it cannot be read.
        """
        path = folder / NAME
        arrays = tensors.read(path)
        axes, self.features = (tensors.size(arrays, "axes", axis, path) for axis in (0, 1))
        of_features, one = (self.features,), (tensors.size(arrays, "scores", 0, path),)
        shapes = {"mean": of_features, "scale": of_features, "axes": (axes, self.features), "variances": (axes,)}
        tensors.expect(arrays, {**shapes, "rest": (1,), "scores": one}, path)
        tensors.expect_positive(arrays, ("scale", "variances", "rest"), path)
        if (np.diff(arrays["scores"]) < 0).any():
            raise ValueError(f"{NAME}: scores are not sorted")
        self.arrays = arrays
        return self


def _flat(x: np.ndarray) -> np.ndarray:
    return x.mean(axis=1) if x.ndim == 3 else x


def _fitted(x: np.ndarray) -> dict[str, np.ndarray]:
    """The principal axes and variances of features (n, d)."""
    from sklearn.utils.extmath import randomized_svd

    mean, scale = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    scale[scale <= 1e-6 * np.abs(mean)] = 1.0  # of a constant feature
    z = ((x - mean) / scale).astype(np.float32)
    n_axes = max(1, min(AXES, len(x) - 1, x.shape[1] - 1))
    _, singular, axes = randomized_svd(z, n_axes, random_state=0)
    variances = np.maximum(singular.astype(np.float64) ** 2 / len(x), 1e-12)
    rest = (z**2).sum(dtype=np.float64) / len(x) - variances.sum()
    rest = max(rest / max(1, x.shape[1] - n_axes), 1e-6)
    return {
        "mean": mean.astype(np.float32),
        "scale": scale.astype(np.float32),
        "axes": np.ascontiguousarray(axes, dtype=np.float32),
        "variances": variances,
        "rest": np.array([rest]),
    }


def _scores(fitted: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Squared distances (n,) float64 of features (n, d)."""
    z = ((x - fitted["mean"]) / fitted["scale"]).astype(np.float64)
    along = z @ fitted["axes"].T
    other = np.maximum((z**2).sum(axis=1) - (along**2).sum(axis=1), 0)
    return (along**2 / fitted["variances"]).sum(axis=1) + other / fitted["rest"].item()
