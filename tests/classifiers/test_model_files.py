"""A made model file is refused with a ValueError before the library that would crash on it reads it."""

import copy
import json
import os
import random
import sys

import forked
import numpy as np
import pytest
from conftest import ROOT
from safetensors.numpy import load_file, save_file

from speechemb import classifiers


def fitted(name, n_classes=3, **settings):
    rng = np.random.default_rng(0)
    y = np.arange(60) % n_classes
    x = rng.normal(size=(60, 3, 5) if name == "superb" else (60, 5)) + y.reshape(-1, *[1] * (1 + (name == "superb")))
    return classifiers.make(name, n_classes, 0, **settings).fit(x.astype(np.float32), y, np.arange(60) // 6), x


def tree(document, number=0):
    return document["learner"]["gradient_booster"]["model"]["trees"][number]


def set_at(key, index, value):
    def change(document):
        tree(document)[key][index] = value

    return change


def parameter(key, value):
    def change(document):
        document["learner"]["learner_model_param"][key] = value

    return change


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xgboost")
    fitted("xgboost", rounds=3)[0].save(folder)
    return json.loads((folder / "xgboost.json").read_text())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_at("left_children", 0, 10**6), "children"),
        (set_at("right_children", 0, -7), "children"),
        (set_at("left_children", 0, 0), "children"),  # a cycle
        (set_at("parents", 1, 2), "parents"),
        (set_at("split_indices", 0, 5), "beyond 5 features"),
        (set_at("split_indices", 0, -1), "beyond 5 features"),
        (set_at("split_type", 0, 1), "by categories"),
        (set_at("split_conditions", 0, float("nan")), "not finite"),
        (set_at("split_conditions", 0, "x"), "numbers"),
        (lambda d: tree(d)["split_conditions"].pop(), "numbers"),
        (lambda d: tree(d)["tree_param"].update(num_nodes="1000000"), "tree_param"),
        (lambda d: tree(d).pop("parents"), "parents"),
        (lambda d: d["learner"]["gradient_booster"]["model"]["trees"].pop(), "rounds of 3"),
        (lambda d: d["learner"]["gradient_booster"]["model"]["tree_info"].reverse(), "order of the classes"),
        (lambda d: d["learner"]["gradient_booster"].update(name="dart"), "not gbtree"),
        (parameter("num_class", "4"), "num_class"),
        (parameter("num_feature", "99999999999"), "not a number from 1"),
        (parameter("num_feature", "6"), "tree_param"),
        (parameter("base_score", "[1,2]"), "base_score"),
    ],
)
def test_a_made_tree_is_refused(document, change, message, tmp_path):
    made = copy.deepcopy(document)
    change(made)
    (tmp_path / "xgboost.json").write_text(json.dumps(made))
    with pytest.raises(ValueError, match=message):
        classifiers.make("xgboost", 3, 0).load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[" * 10**5, "[]", "null", '{"learner": 1}', "\x00"])
def test_what_is_no_model_is_refused(text, tmp_path):
    (tmp_path / "xgboost.json").write_text(text)
    with pytest.raises(ValueError):
        classifiers.make("xgboost", 3, 0).load(tmp_path)


ODD = (-1, 0, 1, 7, 10**6, 2**31, 2**63, 1e300, float("nan"), "", "x", "999999999", None, True, [], {}, [1])
LOAD = """
import sys, numpy as np
from pathlib import Path
from speechemb import classifiers
for folder in sys.argv[1:]:
    try:
        classifiers.make("xgboost", 3, 0).load(Path(folder)).predict_proba(np.zeros((4, 5), np.float32))
    except ValueError:
        pass
"""


def places(value, path=()):
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


@pytest.mark.slow
def test_no_change_of_a_model_file_ends_the_process(document, tmp_path):
    rng, everywhere = random.Random(0), places(document)
    for number in range(100):
        made = copy.deepcopy(document)
        *way, last = rng.choice(everywhere)
        holder = made
        for key in way:
            holder = holder[key]
        holder[last] = rng.choice(ODD)
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "xgboost.json").write_text(json.dumps(made))
    folders = [str(folder) for folder in tmp_path.iterdir()]
    command = [sys.executable, "-c", LOAD, *folders]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = forked.run(command, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "settings"), [("svm", {}), ("mlp", {"networks": 2, "width": 16}), ("superb", {"max_steps": 2})]
)
def test_arrays_that_do_not_fit_are_refused(name, settings, tmp_path):
    classifier, x = fitted(name, **settings)
    classifier.save(tmp_path)
    path = tmp_path / f"{name}.safetensors"
    arrays, whole = load_file(path), path.read_bytes()
    loaded = classifiers.make(name, 3, 0).load(tmp_path)
    assert loaded.features == classifier.features == 5
    x = x.astype(np.float32)
    np.testing.assert_array_equal(loaded.predict_proba(x), classifier.predict_proba(x))
    with pytest.raises(ValueError):
        classifiers.make(name, 4, 0).load(tmp_path)  # of another number of classes
    for key, array in arrays.items():
        wrong = [array[None], array.astype(np.uint8)]
        if key not in ("mix", "project.weight"):  # the probe takes any number of layers and features
            wrong.append(np.zeros((*array.shape[:-1], 9), array.dtype))
        if array.dtype != np.int64:
            wrong.append(np.full_like(array, np.nan))
        made = [{**arrays, key: one} for one in wrong]
        made += [{other: arrays[other] for other in arrays if other != key}, {**arrays, "foreign": array}]
        for one in made:
            save_file(one, path)
            with pytest.raises(ValueError):
                classifiers.make(name, 3, 0).load(tmp_path)
    for damaged in (b"", whole[:40], whole[:-1], b"\xff" * 8 + whole[8:], whole[:9] + b"}" + whole[10:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError):
            classifiers.make(name, 3, 0).load(tmp_path)


@pytest.mark.slow
def test_five_networks_are_one_classifier():
    from speechemb.classifiers.mlp import Mlp

    (classifier, x), single = fitted("mlp"), []
    x = x.astype(np.float32)
    for number in range(5):
        one = Mlp(3, number, networks=1).fit(x, np.arange(60) % 3, np.arange(60) // 6)
        single.append(one.predict_proba(x))
    np.testing.assert_allclose(classifier.predict_proba(x), np.mean(single, axis=0), atol=1e-6)
    assert not np.allclose(single[0], single[1], atol=1e-3)
