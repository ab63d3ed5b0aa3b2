"""Tuning inside a training part: Optuna chooses a classifier's settings by UAR on the inner group-disjoint split.

The sampler is Optuna's TPE (Bergstra et al. 2011), seeded. The first trial is the untuned classifier, so the choice is
never worse than that on the inner split.
"""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechemb.classifiers import CLASSIFIERS, class_of
from speechemb.classifiers.rows import Rows
from speechemb.errors import InputError
from speechemb.splits import REGRESSORS
from speechemb.training.layer_selection import inner_uar


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included, on a logarithmic scale with `log`. Integers if `low` is one."""

    low: float
    high: float
    log: bool = False


# What can be tuned, by classifier: keyword arguments of its class.
SPACES: dict[str, dict[str, Range]] = {
    "svm": {
        "C": Range(0.1, 1000.0, log=True),
        "gamma": Range(0.03, 30.0, log=True),  # in units of 1/d
    },
    "mlp": {
        "width": Range(64, 512, log=True),
        "dropout": Range(0.0, 0.7),
        "rate": Range(1e-4, 1e-2, log=True),
    },
    "xgboost": {
        "depth": Range(2, 8),
        "rate": Range(0.02, 0.4, log=True),
        "rounds": Range(50, 500, log=True),
        "columns": Range(0.05, 1.0, log=True),
    },
}


# The same of the regressors.
OF_REGRESSORS = {
    "svr": {"C": Range(0.01, 100.0, log=True), "gamma": Range(0.03, 30.0, log=True)},
    **{name: SPACES[name] for name in ("mlp", "xgboost")},
}


def tunable(asked: list[str], trials: int, numeric: bool) -> list[str]:
    """The classifiers, or regressors of `numeric` targets, asked for; with `all` and trials, those that have settings.

    Raises:
        InputError: one is not for these targets, or has nothing to tune.
    """
    known, spaces = (REGRESSORS, OF_REGRESSORS) if numeric else (CLASSIFIERS, SPACES)
    names: list[str] = [*known] if "all" in asked else asked
    if other := [name for name in names if name not in known]:
        kind = "numbers are predicted by" if numeric else "classes are told by"
        raise InputError(f"--classifier {other[0]}: {kind} {', '.join(known)}")
    if trials and (fixed := [name for name in names if name not in spaces]):
        chooses = f"chooses its {'alpha' if numeric else 'C'} in every fold"
        if "all" not in asked:
            raise InputError(f"--tune: {fixed[0]} has no settings to tune, it {chooses}: drop one")
        print(f"--tune: {fixed[0]} {chooses} anyway, skipped")
        names = [name for name in names if name in spaces]
    return names


def defaults(name: str, of: type | None = None) -> dict[str, Any]:
    """The settings of the untuned classifier: the defaults of its class, or of `of`."""
    parameters = inspect.signature(of or class_of(name)).parameters
    return {key: parameters[key].default for key in (OF_REGRESSORS if of else SPACES)[name]}


def best_settings(
    name: str,
    make: Callable[..., Any],
    x: np.ndarray | Rows,
    y: np.ndarray,
    group: np.ndarray,
    seed: int,
    trials: int,
    measure: Callable[..., float] = inner_uar,
    of: type | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The best settings of `trials` trials, and one row `{trial, inner_uar, settings}` per trial.

    Args:
        name: the classifier's
        make: returns an unfitted classifier with the given settings
        x, y, group: the training part, (n, d), (n,), (n,)
        measure: what is made large, as `inner_uar`, which names the column
        of: the class of a regressor

    Raises:
        InputError: the classifier has no settings to tune, or Optuna is not installed.
    """
    spaces = OF_REGRESSORS if of else SPACES
    if name not in spaces:
        raise InputError(f"--tune: {name} has no settings to tune: drop the flag")
    try:
        import optuna
    except ImportError:
        raise InputError("--tune needs Optuna: pip install optuna") from None

    def score(trial) -> float:
        settings = _suggested(trial, spaces[name])
        return measure(lambda: make(**settings), x, y, group, seed)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(defaults(name, of))
    study.optimize(score, n_trials=trials)
    rows = [
        {"trial": trial.number, measure.__name__: trial.value, "settings": json.dumps(trial.params, sort_keys=True)}
        for trial in study.trials
    ]
    return dict(study.best_params), rows


def _suggested(trial, space: dict[str, Range]) -> dict[str, float | int]:
    found = {}
    for key, one in space.items():
        suggest = trial.suggest_int if isinstance(one.low, int) else trial.suggest_float
        found[key] = suggest(key, one.low, one.high, log=one.log)
    return found
