"""The classifiers by name, each an estimator with `fit(x, y, group, keep)`, `predict_proba(x)`, `save` and `load`.

`x` is float32 (n, d), `y` int64 class numbers 0..K-1, `group` int64 (n,): clips of one group (speaker) stay together
in any split made while fitting; `keep` says that the classifier will be saved. Scaling is part of the estimator, so it
only ever sees the training part. Settings (`SPACES` in `tuning.py` says which) are keyword arguments whose defaults
are what is used untuned. Class weights are inversely proportional to class frequency in all three. Saving uses
skops, safetensors and XGBoost's own JSON: none of them is a pickle.
"""

import io
import logging
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from speechemb.splits import inner_split


class Classifier(Protocol):
    """What the training and the prediction need of a classifier."""

    def fit(self, x: np.ndarray, y: np.ndarray, group: np.ndarray, keep: bool = False) -> "Classifier": ...

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """(n, K) float64; the predicted class is the largest."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> "Classifier": ...


class Svm:
    """RBF SVM (C = 10, gamma = 1/d on standardised features), one against one, balanced class weights.

    `gamma` is in units of 1/d. `standardise=False` is for features that are standardised already, see `--leak`.

    Probabilities are the softmax of the decision values over a temperature (Guo et al. 2017), fitted on decision
    values of an inner group-disjoint split. Unlike Platt scaling this never changes which class is the largest.
    """

    def __init__(
        self, n_classes: int, seed: int, C: float = 10.0, gamma: float = 1.0, standardise: bool = True
    ) -> None:
        self.n_classes, self.seed, self.C, self.gamma, self.standardise = n_classes, seed, C, gamma, standardise
        self.temperature = 1.0

    def fit(self, x: np.ndarray, y: np.ndarray, group: np.ndarray, keep: bool = False) -> "Svm":
        train, valid = inner_split(y, group, self.seed)
        inner = self._pipeline(_fast_svc(), x.shape[1]).fit(x[train], y[train])
        self.temperature = _temperature(self._scores(inner, x[valid]), y[valid])
        self.pipeline = self._pipeline(_plain_svc() if keep else _fast_svc(), x.shape[1]).fit(x, y)
        return self

    def _pipeline(self, svc, dim: int):
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        machine = svc(C=self.C, gamma=self.gamma / dim, class_weight="balanced")
        return make_pipeline(StandardScaler() if self.standardise else "passthrough", machine)

    def _scores(self, pipeline, x: np.ndarray) -> np.ndarray:
        """Decision values (n, K)."""
        scores = pipeline.decision_function(x)
        return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        from scipy.special import softmax

        return softmax(self._scores(self.pipeline, x) / self.temperature, axis=1)

    def save(self, folder: Path) -> None:
        import skops.io

        (folder / "svm.skops").write_bytes(_reproducible(skops.io.dumps(self.pipeline)))
        np.save(folder / "temperature.npy", np.float64(self.temperature), allow_pickle=False)

    def load(self, folder: Path) -> "Svm":
        import skops.io

        # Without `trusted`, skops builds only the types of scikit-learn and numpy that it knows to be safe.
        self.pipeline = skops.io.load(folder / "svm.skops")
        self.temperature = float(np.load(folder / "temperature.npy", allow_pickle=False))
        return self


def _plain_svc():
    from sklearn.svm import SVC

    return SVC


def _fast_svc():
    """scikit-learn-intelex's SVC where it is installed: the same predictions sooner, but it cannot be saved safely."""
    try:
        logging.getLogger("sklearnex").setLevel(logging.WARNING)  # else a line for every call
        from sklearnex.svm import SVC
    except ImportError:
        return _plain_svc()
    return SVC


def _reproducible(archive: bytes) -> bytes:
    """The same skops archive without dates and memory addresses, so that equal models are equal files.

    skops numbers objects, and names their `.npy` members, by their address; here they are numbered as they occur.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        members = {name: old.read(name) for name in old.namelist()}
    schema = members.pop("schema.json").decode()
    numbers = {address: str(i) for i, address in enumerate(dict.fromkeys(re.findall(r'"__id__": (\d+)', schema)))}
    schema = re.sub(r'"__id__": (\d+)', lambda found: f'"__id__": {numbers[found[1]]}', schema)
    renamed = {name: f"{numbers.get(name.removesuffix('.npy'), name.removesuffix('.npy'))}.npy" for name in members}
    for name, new in renamed.items():
        schema = schema.replace(f'"{name}"', f'"{new}"')
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive_file:
        for name in sorted(members, key=renamed.__getitem__):
            archive_file.writestr(zipfile.ZipInfo(renamed[name]), members[name])
        archive_file.writestr(zipfile.ZipInfo("schema.json"), schema)
    return out.getvalue()


def _temperature(scores: np.ndarray, y: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def loss(log_temperature: float) -> float:
        return -log_softmax(scores / np.exp(log_temperature), axis=1)[np.arange(len(y)), y].mean()

    return float(np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))


class XGBoost:
    """Gradient-boosted trees (histogram method), balanced by sample weights; settings chosen by measurement.

    Shallow trees of few bins, a tenth of the columns each. With 2,688 features on RAVDESS (8 classes, speaker folds)
    these settings took 36 s for UAR 0.538; depth 4, 64 bins and 0.3 of the columns took 120 s for 0.545.
    """

    def __init__(
        self, n_classes: int, seed: int, depth: int = 3, rate: float = 0.1, rounds: int = 200, columns: float = 0.1
    ) -> None:
        self.n_classes, self.seed = n_classes, seed
        self.settings = {
            **{"max_depth": depth, "learning_rate": rate},
            **{"n_estimators": rounds, "colsample_bytree": columns},
        }

    def fit(self, x: np.ndarray, y: np.ndarray, group: np.ndarray, keep: bool = False) -> "XGBoost":
        from sklearn.utils.class_weight import compute_sample_weight
        from xgboost import XGBClassifier

        self.model = XGBClassifier(
            **self.settings, tree_method="hist", max_bin=16, subsample=0.8, random_state=self.seed,
            objective="multi:softprob" if self.n_classes > 2 else "binary:logistic",
        )  # fmt: skip
        self.model.fit(x, y, sample_weight=compute_sample_weight("balanced", y))
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(x).astype(np.float64)

    def save(self, folder: Path) -> None:
        self.model.save_model(folder / "xgboost.json")

    def load(self, folder: Path) -> "XGBoost":
        from xgboost import XGBClassifier

        self.model = XGBClassifier()
        self.model.load_model(folder / "xgboost.json")
        return self


def _mlp(n_classes: int, seed: int, **settings) -> Classifier:
    from speechemb.mlp import Mlp  # imports torch

    return Mlp(n_classes, seed, **settings)


def _superb(n_classes: int, seed: int, **settings) -> Classifier:
    from speechemb.superb import Superb  # imports torch

    return Superb(n_classes, seed, **settings)


CLASSIFIERS: dict[str, Callable[..., Classifier]] = {"svm": Svm, "mlp": _mlp, "xgboost": XGBoost, "superb": _superb}
"""Name -> `(n_classes, seed, **settings)`; `superb` is reached by `--protocol superb` only: it needs every layer."""
