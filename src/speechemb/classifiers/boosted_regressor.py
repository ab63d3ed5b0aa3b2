"""XGBoost for numbers: gradient-boosted trees, a model per target."""

from pathlib import Path

import numpy as np

from speechemb.classifiers import trees
from speechemb.classifiers.boosted_trees import XGBoost
from speechemb.classifiers.rows import Rows


class XGBoostRegressor:
    """Gradient-boosted trees (histogram method) with the settings of the classifier, squared error."""

    def __init__(
        self, n_targets: int, seed: int, depth: int = 3, rate: float = 0.1, rounds: int = 200, columns: float = 0.1
    ) -> None:
        self.n_targets, self.seed = n_targets, seed
        self.settings = XGBoost(2, seed, depth, rate, rounds, columns).settings

    def fit(self, x: np.ndarray | Rows, y: np.ndarray, group: np.ndarray) -> "XGBoostRegressor":
        from xgboost import XGBRegressor

        features = x if isinstance(x, np.ndarray) else x[slice(0, len(x))]
        self.features, self.models = x.shape[1], []
        for target in y.T:
            model = XGBRegressor(
                **self.settings,
                tree_method="hist",
                max_bin=16,
                subsample=0.8,
                random_state=self.seed,
                n_jobs=1,  # folds run in parallel, and trees built by two threads differ from those of one
                objective="reg:squarederror",
            )
            self.models.append(model.fit(features, target))
        return self

    def predict(self, x: np.ndarray | Rows) -> np.ndarray:
        features = x if isinstance(x, np.ndarray) else x[slice(0, len(x))]
        return np.stack([model.predict(features) for model in self.models], axis=1).astype(np.float64)

    def save(self, folder: Path) -> None:
        for number, model in enumerate(self.models):
            (folder / f"xgboost_{number}.json").write_bytes(model.get_booster().save_raw("json"))

    def load(self, folder: Path) -> "XGBoostRegressor":
        from xgboost import XGBRegressor

        self.models = []
        for number in range(self.n_targets):
            content, self.features = trees.read(folder / f"xgboost_{number}.json", n_classes=1)
            self.models.append(XGBRegressor())
            self.models[-1].load_model(content)
        return self
