"""Folds by speaker and sentence, repeats, augmented copies and deliberate leakage."""

import json

import made
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score

from speechemb import splits
from speechemb.artifacts import embeddings
from speechemb.artifacts.predictions import read_predictions
from speechemb.errors import InputError
from speechemb.splits import protocols
from speechemb.splits.folds import Fold, check, inner_split, make_folds
from speechemb.splits.groups import clip_groups


def run(script, tmp_path, npz, *flags):
    where = ["--models-dir", str(tmp_path / "models"), "--results-dir", str(tmp_path / "results")]
    script("3_train_classifiers").main(["--npz-path", str(npz), *where, "--classifier", "svm", *flags])
    return [read_predictions(path) for path in sorted((tmp_path / "results").glob("predictions_*.csv"))]


def evaluate(script, tmp_path):
    script("4_evaluation_metrics").main(["--results-dir", str(tmp_path / "results")])
    files = sorted((tmp_path / "results").glob("evaluation_results_*.json"))
    return [json.loads(path.read_text()) for path in files]


def with_copies(tmp_path, speakers=8, clips=12, copies=2, noise=0.01, **effects):
    """Planted originals, each followed by copies that differ from it by little, in shuffled order."""
    vectors, labels, names = made.planted(speakers=speakers, clips=clips, **effects)
    rng, n = np.random.default_rng(1), len(labels)
    order = rng.permutation(n * (1 + copies))
    origin, number = order % n, order // n
    ids = np.array([f"made/{i:04d}" + (f"#aug{k}" if k else "") for i, k in zip(origin, number, strict=True)])
    return made.npz(
        tmp_path / "e.npz",
        vectors[origin] + noise * rng.normal(size=(len(order), vectors.shape[1])) * (number > 0)[:, None],
        np.array(labels)[origin],
        np.array(names)[origin],
        clip_ids=ids,
        augmented_from=np.where(number > 0, [f"made/{i:04d}" for i in origin], ""),
    )


def crossed_corpus(n_speakers=10, n_sentences=6):
    """Labels, groups (n, 2) of a corpus in which every speaker says every sentence in every emotion."""
    speaker, sentence, label = (a.ravel() for a in np.meshgrid(*map(np.arange, (n_speakers, n_sentences, 4))))
    corpora, names = np.full(len(label), "c"), np.full(len(label), "", "<U1")
    audio = np.arange(len(label)).astype(str)
    columns = (corpora, speaker.astype(str), names, sentence.astype(str), audio)
    return label, columns


def test_speaker_and_sentence_folds_share_neither():
    label, columns = crossed_corpus()
    speaker, sentence = columns[1], columns[3]
    folds = make_folds(label, clip_groups("speaker+sentence", *columns), 5, "speaker+sentence", seed=0)
    assert len(folds) == 25
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(label)))
    for fold in folds:
        assert not set(speaker[fold.train]) & set(speaker[fold.test])
        assert not set(sentence[fold.train]) & set(sentence[fold.test])
        # 8 of 10 speakers say the sentences of the other folds; every clip that may be trained on is used.
        assert len(fold.train) == 8 * (6 - len(set(sentence[fold.test]))) * 4


def test_two_sentences_give_two_sentence_folds():
    label, columns = crossed_corpus(n_sentences=2)
    group = clip_groups("speaker+sentence", *columns)
    assert len(make_folds(label, group, 5, "speaker+sentence", seed=0)) == 10
    label, columns = crossed_corpus(n_sentences=1)
    with pytest.raises(InputError, match="--cv sentence: all clips belong to one"):
        make_folds(label, clip_groups("speaker+sentence", *columns), 5, "speaker+sentence", seed=0)


@pytest.mark.parametrize("kind", ["speaker", "sentence"])
def test_the_check_proves_both(kind):
    group = np.array([[0, 0], [1, 1], [0, 2], [2, 0]] if kind == "speaker" else [[0, 0], [1, 1], [2, 0], [0, 2]])
    fold = Fold("1", np.array([0, 1]), np.array([2]))
    with pytest.raises(AssertionError, match=f"has a {kind} in both training and test"):
        check([fold], np.array([0, 1, 0, 1]), group, "speaker+sentence")


@pytest.mark.slow
def test_a_sentence_that_gives_the_class_away_is_worth_nothing_between_sentences(script, tmp_path):
    # What is said decides the vector and nearly decides the emotion; nothing else does.
    rng = np.random.default_rng(0)
    sentence, speaker = np.tile(np.arange(8), 40), np.repeat(np.arange(10), 32)
    labels = np.array(made.EMOTIONS)[sentence % 4]
    vectors = rng.normal(size=(8, 16))[sentence] + 0.1 * rng.normal(size=(320, 16))
    npz = made.npz(tmp_path / "e.npz", vectors, labels, speaker.astype(str), sentences=sentence.astype(str))
    ((by_speaker, _),) = run(script, tmp_path / "a", npz)
    ((crossed, stamp),) = run(script, tmp_path / "b", npz, "--cv", "speaker+sentence", "--n-folds", "4")
    assert (by_speaker.true == by_speaker.predicted).mean() > 0.95 > 0.6 > (crossed.true == crossed.predicted).mean()
    assert stamp["protocol_note"] == splits.NOTES["speaker+sentence"] and stamp["n_folds"] == 16
    assert stamp["tag"].endswith("-speaker+sentence16") and stamp["speakers_on_both_sides"] == 0
    (result,) = evaluate(script, tmp_path / "b")
    assert result["clips"] == 320 and len(result["folds"]) == 16


@pytest.mark.parametrize("cv", ["speaker", "random"])
def test_copies_are_trained_on_with_their_original_and_never_tested(tmp_path, cv):
    data = embeddings.read(with_copies(tmp_path))
    plan = protocols.plan(data, protocols.Protocol(cv, n_folds=4))
    tested = np.concatenate([fold.test for fold in plan.folds])
    assert sorted(data.clip_ids[tested]) == sorted(data.clip_ids[data.augmented_from == ""])
    original = np.char.partition(data.clip_ids, "#")[:, 0]
    for fold in plan.folds:
        assert not set(original[fold.train]) & set(original[fold.test])
        assert len(fold.train) == 3 * (len(data.labels) // 3 - len(fold.test))  # all copies of what is trained on
    for name in np.unique(original):
        assert len(np.unique(plan.group[original == name])) == 1
    train = plan.folds[0].train
    inner, valid = inner_split(data.labels[train], plan.group[train], seed=0)
    assert not set(original[train][inner]) & set(original[train][valid])


def test_a_copy_without_its_original_is_refused(tmp_path):
    data = embeddings.read(with_copies(tmp_path))
    with pytest.raises(InputError, match="made/0003#aug1"):
        protocols.plan(data.take(data.clip_ids != "made/0003"), protocols.Protocol("speaker"))


def test_the_final_model_trains_on_copies_too(script, tmp_path):
    run(script, tmp_path, with_copies(tmp_path), "--n-folds", "4")
    (model,) = (tmp_path / "models").glob("*/model.json")
    assert json.loads(model.read_text())["clips"] == 3 * 96


@pytest.mark.slow
def test_copies_divided_at_random_are_a_labelled_leak(script, tmp_path):
    npz = with_copies(tmp_path, effect=0.0)  # nothing to learn but the clip itself
    ((honest, _),) = run(script, tmp_path / "a", npz, "--cv", "random")
    ((leaky, stamp),) = run(script, tmp_path / "b", npz, "--cv", "random", "--leak", "copies")
    assert len(honest) == 96 and len(leaky) == 288
    assert (honest.true == honest.predicted).mean() < 0.5 < 0.8 < (leaky.true == leaky.predicted).mean()
    assert splits.LEAKS["copies"] in stamp["protocol_note"] and "random5-LEAK_copies" in stamp["tag"]
    assert not (tmp_path / "b" / "models").exists()
    evaluate(script, tmp_path / "b")
    results = tmp_path / "b" / "results"
    assert "LEAK" in pd.read_csv(results / "comparison.csv")["protocol"][0]
    assert "LEAK (deliberate leakage)" in next(results.glob("classification_report_*.txt")).read_text()


def test_a_scaler_that_saw_everything_is_a_labelled_leak(script, tmp_path):
    # One speaker is a thousand times louder: a scaler that never saw that speaker scales otherwise than one that did.
    data = made.planted(speakers=6, effect=1.0)
    vectors = data[0] * np.where(np.array(data[2]) == "s00", 1000.0, 1.0)[:, None]
    npz = made.npz(tmp_path / "e.npz", vectors, *data[1:])
    ((honest, _),) = run(script, tmp_path / "a", npz, "--n-folds", "6")
    ((leaky, stamp),) = run(script, tmp_path / "b", npz, "--n-folds", "6", "--leak", "scaler")
    assert "features standardised on all clips" in stamp["protocol_note"] and "-LEAK_scaler" in stamp["tag"]
    assert not np.allclose(honest.p_happy, leaky.p_happy, atol=1e-3)  # the scaler of the fold did not undo it
    assert not (tmp_path / "b" / "models").exists()
    with pytest.raises(InputError, match="--classifier svm logistic mlp"):
        run(script, tmp_path, npz, "--leak", "scaler", "--classifier", "xgboost")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--leak", "copies"], "give --cv random"),
        (["--leak", "copies", "--cv", "random"], "no augmented copy"),
        (["--cross-corpus", "--repeats", "2"], "--cross-corpus has no folds to repeat"),
        (["--cross-corpus", "--leak", "scaler"], "--cross-corpus has no folds to repeat"),
        (["--n-folds", "10", "--repeats", "2"], "only one way to make 10 folds"),
    ],
)
def test_what_does_not_go_together_is_said(script, tmp_path, flags, message):
    npz = made.npz(tmp_path / "e.npz", *made.planted())
    with pytest.raises(InputError, match=message):
        run(script, tmp_path, npz, *flags)


@pytest.mark.slow
def test_repeats_average_and_do_not_narrow_the_interval(script, tmp_path):
    npz = made.npz(tmp_path / "e.npz", *made.planted(speakers=10, effect=0.5))
    ((frame, stamp),) = run(script, tmp_path, npz, "--repeats", "3")
    assert stamp["tag"].endswith("-speaker5-repeats3") and stamp["n_folds"] == 5
    assert set(frame["fold"]) == {f"r{r}.{k}" for r in (1, 2, 3) for k in range(1, 6)}
    assert (frame.groupby("clip_id").size() == 3).all()
    single = [run(script, tmp_path / f"seed{r}", npz, "--seed", str(r))[0][0] for r in (0, 1, 2)]
    assert any(not a.clip_id.equals(single[0].clip_id) for a in single[1:])  # other seeds, other folds
    (result,) = evaluate(script, tmp_path)
    rounds = [part for _, part in frame.groupby(frame["fold"].str[:2])]
    uar = [recall_score(part.true, part.predicted, average="macro") for part in rounds]
    assert result["overall"]["uar"] == pytest.approx(np.mean(uar), abs=1e-12) and len(set(uar)) > 1
    assert result["clips"] == 120 and result["speakers"] == 10
    assert np.sum(result["confusion_matrix"]) == pytest.approx(120)
    assert sum(of["support"] for of in result["per_class"].values()) == 120
    (once,) = evaluate(script, tmp_path / "seed0")
    widths = [np.ptp(one["interval_95"]["uar"]) for one in (result, once)]
    assert 0.6 < widths[0] / widths[1] < 1.6  # were repeats new speakers, it would be 0.58
