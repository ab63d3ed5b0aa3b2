"""XGBoost's JSON, checked before XGBoost reads it: its reader trusts the file, and a made one can crash the process.

Only what was checked is handed on: the document is built anew from the numbers of the trees.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

MAX_ROUNDS = 10_000
MAX_NODES = 2**16  # of one tree
MAX_DEPTH = 64
MAX_FEATURES = 10**7

INTEGERS = ("left_children", "right_children", "parents", "split_indices", "split_type", "default_left")
FLOATS = ("base_weights", "loss_changes", "split_conditions", "sum_hessian")
NO_CATEGORIES = {"categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": []}
ROOT = 2**31 - 1  # the parent of a tree's first node


def read(path: Path, n_classes: int) -> tuple[bytearray, int]:
    """A model of this project's XGBoost as bytes that `load_model` takes, and its number of features.

    Raises:
        ValueError: it is not such a model for `n_classes` classes (1: of numbers); the message says what is wrong.
    """
    try:
        document = _checked(json.loads(path.read_text(encoding="utf-8")), n_classes)
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"{path.name} is not an XGBoost model ({type(error).__name__}: {error})") from None
    return bytearray(json.dumps(document).encode()), int(document["learner"]["learner_model_param"]["num_feature"])


def _checked(found: dict[str, Any], n_classes: int) -> dict[str, Any]:
    learner, per_round = found["learner"], 1 if n_classes == 2 else n_classes
    objective = {1: "reg:squarederror", 2: "binary:logistic"}.get(n_classes, "multi:softprob")
    parameters, booster = learner["learner_model_param"], learner["gradient_booster"]
    of_classes = "0" if n_classes <= 2 else str(n_classes)
    _require(parameters["num_class"] == of_classes, f"it has num_class {parameters['num_class']}, not {of_classes}")
    _require(learner["objective"]["name"] == objective, f"its objective is not {objective}")
    _require(booster["name"] == "gbtree", "its booster is not gbtree")
    n_features, trees = _number(parameters["num_feature"], MAX_FEATURES), booster["model"]["trees"]
    _require(isinstance(trees, list) and 0 < len(trees) <= MAX_ROUNDS * per_round, "it has no trees, or too many")
    _require(len(trees) % per_round == 0, f"{len(trees)} trees are not rounds of {per_round}")
    classes = [number % per_round for number in range(len(trees))]
    _require(booster["model"]["tree_info"] == classes, "its trees are not in the order of the classes")
    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
        "iteration_indptr": list(range(0, len(trees) + 1, per_round)),
        "tree_info": classes,
        "trees": [_tree(number, tree, n_features) for number, tree in enumerate(trees)],
        "cats": {"enc": [], "feature_segments": [], "sorted_idx": []},
    }
    kind = "classifier" if n_classes > 1 else "regressor"
    softmax = {"softmax_multiclass_param": {"num_class": of_classes}}
    single = {"reg_loss_param": {"scale_pos_weight": "1"}}
    return {
        "version": _version(found["version"]),
        "learner": {
            "attributes": {"scikit_learn": json.dumps({"_estimator_type": kind})},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": {"model": model, "name": "gbtree"},
            "learner_model_param": {
                "base_score": _base_score(parameters["base_score"], per_round, n_classes == 2),
                "boost_from_average": "1",
                "num_class": of_classes,
                "num_feature": str(n_features),
                "num_target": "1",
            },
            "objective": {"name": objective, **(single if n_classes <= 2 else softmax)},
        },
    }


def _tree(number: int, tree: dict[str, Any], n_features: int) -> dict[str, Any]:
    """One tree from its arrays: every node but the first has one parent, which has a lower number."""
    where = f"tree {number}"
    nodes = len(tree["left_children"])
    _require(1 <= nodes <= MAX_NODES, f"{where} has {nodes} nodes")
    arrays = {name: _array(tree[name], nodes, "i", f"{where}, {name}") for name in INTEGERS}
    arrays |= {name: _array(tree[name], nodes, "if", f"{where}, {name}") for name in FLOATS}
    left, right, parents = (arrays[name] for name in ("left_children", "right_children", "parents"))
    inner = np.flatnonzero(left != -1)
    children = np.concatenate([left[inner], right[inner]])
    leaves, others = left == -1, np.arange(1, nodes)
    _require(
        (right[leaves] == -1).all() and np.array_equal(np.sort(children), np.arange(1, nodes)), f"{where}: children"
    )
    expected = np.full(nodes, ROOT)
    expected[children] = np.tile(inner, 2)
    _require(np.array_equal(parents, expected) and (parents[1:] < others).all(), f"{where}: parents")
    depth = np.zeros(nodes, int)
    for node in range(1, nodes):
        depth[node] = depth[parents[node]] + 1
    _require(depth.max() <= MAX_DEPTH, f"{where} is {depth.max()} levels deep")
    features = arrays["split_indices"]
    _require(((features >= 0) & (features < n_features)).all(), f"{where}: split_indices beyond {n_features} features")
    _require(not arrays["split_type"].any(), f"{where} splits by categories")
    _require(np.isin(arrays["default_left"], (0, 1)).all(), f"{where}: default_left")
    sizes = {"num_deleted": "0", "num_feature": str(n_features), "num_nodes": str(nodes), "size_leaf_vector": "1"}
    _require(tree["tree_param"] == sizes, f"{where}: tree_param is not {sizes}")
    return (
        {name: array.tolist() for name, array in arrays.items()} | NO_CATEGORIES | {"id": number, "tree_param": sizes}
    )


def _array(values: Any, n: int, kinds: str, where: str) -> np.ndarray:
    array = np.asarray(values)
    _require(
        isinstance(values, list) and array.shape == (n,) and array.dtype.kind in kinds, f"{where} is not {n} numbers"
    )
    _require((np.abs(array.astype(np.float64)) < 3e38).all(), f"{where} is not finite")
    return array


def _base_score(text: str, n: int, probability: bool) -> str:
    """`[5E-1]`, one number for each tree of a round; versions before 3 write one number without brackets."""
    values = [float(value) for value in text.strip("[]").split(",")]
    _require(len(values) in (1, n) and all(math.isfinite(value) for value in values), f"base_score {text[:40]}")
    _require(not probability or 0 < values[0] < 1, f"base_score {text[:40]} is not a probability")
    return text


def _version(version: Any) -> list[int]:
    numbers = _array(version, 3, "i", "version").tolist()
    _require(all(0 <= number < 1000 for number in numbers), "version")
    return numbers


def _number(text: Any, most: int) -> int:
    number = int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 12 else 0
    _require(0 < number <= most, f"{str(text)[:40]} is not a number from 1 to {most}")
    return number


def _require(right: bool | np.bool_, what: str) -> None:
    if not right:
        raise ValueError(f"xgboost.json does not hold a usable model: {what}")
