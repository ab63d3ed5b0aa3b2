"""Raters' votes: their files, labels by majority, learning the distribution, and the figures beside them."""

import json

import made
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.metrics import f1_score

from speechemb import classifiers
from speechemb.artifacts import embeddings
from speechemb.corpora import votes
from speechemb.errors import InputError
from speechemb.metrics import raters
from speechemb.training.raters import NONE, TIE, Raters

SIX = ["neutral", "happy", "sad", "angry", "fearful", "disgust"]
TABULATED = '"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote"\n' + "\n".join(
    [
        '"100009",5,5,0,0,1,1,"1001_IEO_ANG_MD",12,0.416666666666667,"A:D"',
        '"100010",2,6,0,0,1,0,"1001_IEO_ANG_HI",9,0.666666666666667,"D"',
        '"200009",9,0,0,0,0,0,"1001_IEO_ANG_MD",9,1,"A"',
    ]
)
IEMOCAP = (
    "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\nC-E2:\tNeutral;\t()\nC-E3:\tNeutral;\t()\n"
    "C-E4:\tNeutral; Frustration;\t()\nC-F1:\tAnger;\t()\nA-E3:\tval 3; act 2; dom  2;\t()\n\n"
    "[10.0100 - 11.3925]\tSes01F_impro01_F001\txxx\t[2.5, 2.5, 2.5]\nC-E2:\tAnger;\t()\nC-E3:\tSadness;\t()\n"
)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# ---------------------------------------------------------------- the files


def test_tabulated_votes_of_the_sound_alone(tmp_path):
    found = votes.read(write(tmp_path / "tabulatedVotes.csv", TABULATED))
    assert found.names == ["1001_IEO_ANG_MD", "1001_IEO_ANG_HI"] and found.counted
    assert found.classes == SIX and found.values.tolist() == [[1, 0, 1, 5, 0, 5], [1, 0, 0, 2, 0, 6]]


def test_summary_table_of_crema_d(shared):
    found = votes.read(shared / "data" / "crema_d_metadata" / "summaryTable.csv")
    most = votes.majority(found.values)
    assert len(found.names) == 7442 and (most.sum(axis=1) > 1).sum() == 644 and not found.counted


def test_evaluators_of_iemocap(tmp_path):
    write(tmp_path / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt", IEMOCAP)
    found = votes.read(tmp_path)
    assert found.names == ["Ses01F_impro01_F000", "Ses01F_impro01_F001"]
    assert dict(zip(found.classes, found.values[0], strict=True))["neutral"] == 2.5
    assert votes.majority(found.values).sum(axis=1).tolist() == [1, 2]


def test_scores_of_a_hub_copy_and_excited_as_happy(tmp_path):
    text = "file;Excited;happy;p_angry;note\nx/a.wav;0.4;0.2;0.3;hm\nx/b.wav;;;1;\n"
    found = votes.read(write(tmp_path / "t.csv", text))
    assert found.classes == ["happy", "excited", "angry"] and found.of(["t/b"], [""])[0].tolist() == [0, 0, 1]
    merged = found.merged(["happy", "angry"])
    assert merged.classes == ["happy", "angry"] and np.allclose(merged.values, [[0.6, 0.3], [0, 1]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,angry\na,1\n", "needs a column .* and one column per emotion"),
        ("speaker,angry,sad\na,1,0\n", "needs a column clip_id"),
        ("file,angry,sad\na,1,x\n", "column sad has 'x' for a"),
        ("file,angry,sad\na,1,-2\n", "column sad has '-2' for a"),
        ("file,angry,anger\na,1,1\n", "needs a column"),
        ("file,angry,sad\n", "has no row"),
        ("filename,VoiceVote\na,A:Q\n", "column VoiceVote has 'A:Q' for a"),
    ],
)
def test_files_that_are_no_votes(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        votes.read(write(tmp_path / "t.csv", text))
    assert "\n" not in str(error.value)


def test_a_table_of_votes_in_step_1(tmp_path, script, capsys):
    for name in "abcd":
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * np.random.default_rng(ord(name)).normal(size=8000), 16_000)
    text = "file,speaker,sad,votes_anger\na.wav,s,3,1\nb.wav,s,1,1\nc.wav,s,0,2\nd.wav,s,,0\n"
    out, table = tmp_path / "out", write(tmp_path / "t.csv", text)
    words = ["--corpora", f"table:{table}", "--emotions", "all", "--out-dir", str(out)]
    script("1_data_preprocessing").main(words)
    assert pd.read_csv(out / "t.csv")["emotion"].tolist() == ["sad", "angry"]
    assert pd.read_csv(out / "t_excluded.csv")["reason"].tolist() == [TIE, NONE]
    assert f"1 excluded: {TIE}" in capsys.readouterr().out
    with pytest.raises(InputError, match="with other .*source"):
        script("1_data_preprocessing").main([*words, "--ties"])
    script("1_data_preprocessing").main([*words, "--ties", "--overwrite"])
    assert pd.read_csv(out / "t.csv")["emotion"].tolist() == ["sad", "sad", "angry"]
    write(table, text.replace("3,1", "3,x"))
    with pytest.raises(InputError, match="t.csv: column votes_anger has 'x', which is no vote"):
        script("1_data_preprocessing").main(words)


# ---------------------------------------------------------------- labels


def small(tmp_path, ties=False):
    """Five clips, their raters: a majority against the label, a tie with it, a tie without it, no votes, no row."""
    labels = ["happy", "angry", "happy", "sad", "sad"]
    path = made.npz(tmp_path / "e.npz", np.eye(5), labels, list("abcde"), clip_ids=[f"made/{c}" for c in "abcde"])
    table = write(tmp_path / "r.csv", "name,sad,angry,neutral\na,3,1,0\nb,2,2,0\nc,0,1,1\nd,0,0,0\n")
    return Raters(votes.read(table), ties), embeddings.read(path)


def test_labels_by_majority_without_ties(tmp_path):
    found, data = small(tmp_path)
    kept = found.relabelled(data)
    assert (kept.clip_ids.tolist(), kept.labels.tolist()) == (["made/a"], ["sad"])
    assert [(row["clip_id"], row["reason"]) for row in kept.dropped] == [
        *(("made/b", TIE), ("made/c", TIE), ("made/d", NONE), ("made/e", NONE))
    ]


def test_ties_that_are_kept_have_the_own_label_where_it_is_tied(tmp_path):
    found, data = small(tmp_path, ties=True)
    assert found.relabelled(data).labels.tolist() == ["sad", "angry", "neutral"]
    assert found.votes_of(data, ["neutral", "sad"])[0].tolist() == [0, 3]


# ---------------------------------------------------------------- metrics


def test_leave_one_out_by_hand():
    rng = np.random.default_rng(0)
    counted = rng.integers(0, 4, (200, 3)).astype(float)
    counted = counted[counted.sum(axis=1) > 1]
    for row, (agreeing, n) in zip(counted, raters.leave_one_out(counted), strict=True):
        people = np.repeat(np.arange(3), row.astype(int))
        total = 0.0
        for i, own in enumerate(people):
            others = np.bincount(np.delete(people, i), minlength=3)
            most = np.flatnonzero(others == others.max())
            total += (own in most) / len(most)
        assert (agreeing, n) == (pytest.approx(total), len(people))


def test_multilabel_f1_as_scikit_learn():
    rng = np.random.default_rng(1)
    true, chosen = rng.random((60, 6)) > 0.6, rng.random((60, 6)) > 0.5
    assert raters.multilabel_f1(true, chosen).mean() == pytest.approx(f1_score(true, chosen, average="macro"))


# ---------------------------------------------------------------- learning the distribution


def planted(n=400, seed=0):
    """Features (n, 8), shares (n, 3) that follow from them, and the group of each clip."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8)).astype(np.float32)
    logits = x[:, :3] * 1.2
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return x, shares, np.arange(n) % 20


@pytest.mark.slow
@pytest.mark.parametrize("name", classifiers.FROM_SHARES)
def test_the_distribution_is_learned_not_its_largest_class(name):
    x, shares, group = planted()
    test_x, test_shares, _ = planted(seed=1)
    settings = {"logistic": {"C": 3.0}, "mlp": {"networks": 1}}[name]
    unfitted = [classifiers.make(name, 3, 0, **settings) for _ in range(3)]
    soft, hard = (
        unfitted[0].fit(x, shares.argmax(axis=1), group, shares=shares),
        unfitted[1].fit(x, shares.argmax(1), group),
    )
    entropy = [raters.cross_entropy(test_shares, model.predict_proba(test_x)) for model in (soft, hard)]
    least = raters.cross_entropy(test_shares, test_shares)
    assert entropy[0] - least < 0.25 * (entropy[1] - least)
    certain = np.eye(3)[shares.argmax(axis=1)]  # shares without doubt are labels
    same = unfitted[2].fit(x, shares.argmax(axis=1), group, shares=certain).predict_proba(test_x)
    if name == "logistic":
        np.testing.assert_allclose(same, hard.predict_proba(test_x), atol=5e-3)


def test_large_features_learn_the_same_distribution():
    from speechemb.classifiers.rows import Rows

    x, shares, group = planted()
    y, part = shares.argmax(axis=1), Rows(x, np.arange(len(x)))
    fitted = [classifiers.make("logistic", 3, 0, C=3.0).fit(of, y, group, shares=shares) for of in (x, part)]
    one, other = (model.predict_proba(x) for model in fitted)
    np.testing.assert_allclose(one, other, atol=1e-4)


# ---------------------------------------------------------------- steps 3 and 4


@pytest.fixture(scope="module")
def crema_d(shared, tmp_path_factory):
    """Features made from the real listeners' distribution of every 12th clip of CREMA-D, under the acted labels."""
    folder = tmp_path_factory.mktemp("cremad")
    table = pd.read_csv(shared / "data" / "emo_superb_crema_d" / "voice_distribution.csv").iloc[::12]
    names = table["file"].str.removesuffix(".wav")
    shares = table[["neutral", "happy", "sad", "angry", "fear", "disgust"]].to_numpy()
    rng = np.random.default_rng(0)
    vectors = np.log(shares) @ rng.normal(size=(6, 12)) + rng.normal(size=(len(table), 12))
    acted = names.str.split("_").str[2].map(dict(zip(["NEU", "HAP", "SAD", "ANG", "FEA", "DIS"], SIX, strict=True)))
    ids = ("cremad/" + names).tolist()
    path = made.npz(folder / "e.npz", vectors, acted, names.str[:4].tolist(), "cremad", clip_ids=ids)
    return path, shared / "data", folder


def run(script, crema_d, name, *flags):
    """Steps 3 and 4; the evaluations, by classifier."""
    path, _, folder = crema_d
    where = ["--models-dir", str(folder / f"{name}_models"), "--results-dir", str(folder / name)]
    script("3_train_classifiers").main(["--npz-path", str(path), *map(str, flags), *where])
    script("4_evaluation_metrics").main(["--results-dir", str(folder / name), "--report-audio", "none"])
    files = sorted((folder / name).glob("evaluation_results_*.json"))
    return {one["classifier"]: one for one in (json.loads(file.read_text()) for file in files)}


@pytest.mark.slow
def test_emosuperb_on_real_listeners(script, crema_d):
    _, data, folder = crema_d
    tables = ["--raters", data / "emo_superb_crema_d" / "voice_distribution.csv"]
    tables += ["--folds", data / "emo_superb_crema_d" / "speaker_folds.csv"]
    found = run(script, crema_d, "superb", "--protocol", "emosuperb", "--classifier", "logistic", *tables)["logistic"]
    beside = found["raters"]
    assert beside["source"].startswith("emosuperb_voice_distribution_") and beside["source"].endswith("_ties")
    assert found["speakers_on_both_sides"] == 0 and found["n_folds"] == 5 and found["speakers"] == 91
    assert beside["raters_entropy"] < beside["cross_entropy"] < np.log(6)
    assert beside["raters_agreement"] is None and "probabilities" in beside["no_raters_agreement"]
    (path,) = (folder / "superb").glob("predictions_*.csv")
    frame = pd.read_csv(path)
    true = frame[[f"votes_{label}" for label in SIX]].to_numpy() > 1 / 6
    chosen = frame[[f"p_{label}" for label in SIX]].to_numpy() > 1 / 6
    of_folds = [f1_score(true[rows], chosen[rows], average="macro") for rows in frame.groupby("fold").indices.values()]
    assert beside["emosuperb"]["macro_f1_fold_mean"] == pytest.approx(np.mean(of_folds))
    assert beside["emosuperb"]["macro_f1_fold_mean"] > 0.7
    report = next((folder / "superb").glob("classification_report_*.txt")).read_text()
    assert "EMO-SUPERB: macro F1" in report and "every class above 1/6" in report
    page = (folder / "superb" / "report.html").read_text()
    assert "<h2>Beside the raters</h2>" in page and "unknown without single votes" in page
    assert f"<td>{beside['emosuperb']['macro_f1_fold_mean']:.3f}</td>" in page


@pytest.mark.slow
def test_raters_beside_the_acted_labels(script, crema_d, capsys):
    path, data, folder = crema_d
    given = embeddings.read(path)
    rng = np.random.default_rng(2)
    counted = rng.multinomial(10, np.full(6, 1 / 6), len(given.labels)) + 3 * np.eye(6)[
        [SIX.index(label) for label in given.labels]
    ].astype(int)
    rows = pd.DataFrame(counted, columns=[f"votes_{label}" for label in SIX]).assign(clip_id=given.clip_ids)
    rows.to_csv(folder / "mine.csv", index=False)
    found = run(
        script, crema_d, "votes", "--raters", folder / "mine.csv", "--n-folds", "2", "--classifier", "logistic", "svm"
    )
    tied = (counted == counted.max(axis=1, keepdims=True)).sum(axis=1) > 1
    said = capsys.readouterr().out
    assert f"{tied.sum()} clips excluded, {TIE}" in said and "(ties excluded)" in said
    for one in found.values():
        beside = one["raters"]
        assert one["clips"] == len(tied) - tied.sum() and beside["votes_per_clip"] == 13
        assert beside["agreement"] < beside["raters_agreement"] < 1
        low, high = beside["raters_agreement_interval_95"]
        assert low < beside["raters_agreement"] < high
        assert beside["agreed"]["over_half"]["clips"] == (counted[~tied].max(axis=1) > 6.5).sum()
    assert found["logistic"]["raters"]["cross_entropy"] < found["svm"]["raters"]["cross_entropy"] + 0.2
    page = (folder / "votes" / "report.html").read_text()
    for one in found.values():
        beside = one["raters"]
        span = "({:.3f} to {:.3f})".format(*beside["raters_agreement_interval_95"])
        assert f"<td>{beside['raters_agreement']:.3f} {span}</td><td>{beside['cross_entropy']:.3f}</td>" in page


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ties"], "--ties is about raters' votes: give --raters"),
        (["--hard-labels"], "--hard-labels is about raters' votes"),
        (["--protocol", "emosuperb"], "needs --raters with its voice distribution"),
        (["--raters", "none.csv"], "none.csv is missing"),
    ],
)
def test_flags_that_do_not_go_together(script, tmp_path, flags, message):
    _, _ = small(tmp_path)
    with pytest.raises(InputError, match=message):
        script("3_train_classifiers").main(["--npz-path", str(tmp_path / "e.npz"), *flags])


def test_emosuperb_refuses_what_does_not_learn_a_distribution_and_other_classes(script, tmp_path):
    small(tmp_path)
    write(tmp_path / "folds.csv", "speaker,test_fold\n" + "".join(f"{c},{i % 2}\n" for i, c in enumerate("abcde")))
    words = ["--npz-path", str(tmp_path / "e.npz"), "--protocol", "emosuperb", "--folds", str(tmp_path / "folds.csv")]
    with pytest.raises(InputError, match="has the classes neutral, happy.*and --raters gives"):
        script("3_train_classifiers").main([*words, "--raters", str(tmp_path / "r.csv")])
