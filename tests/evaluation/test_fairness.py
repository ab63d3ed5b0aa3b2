"""UAR by gender and by speaker: a planted bias is found, none is not; calibration pictures; listeners on CREMA-D."""

import json

import made
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score
from test_significance import LABELS, evaluate, predictions, stamp

from speechemb.artifacts.storage import ArtifactError
from speechemb.evaluation import fairness, listeners
from speechemb.reports.text import classification_report, speaker_warnings
from speechemb.visualization import evaluation_figures, style


def evaluated(female: float, male: float, seed: int = 0, speakers: int = 16, clips: int = 40) -> dict:
    """Speakers of even number are women; each group is recognised with its own probability."""
    frames = [predictions(hit, seed + 100 * i, speakers, clips) for i, hit in enumerate((female, male))]
    women = frames[0]["speaker"].str[1:].astype(int) % 2 == 0
    frame = pd.concat([frames[0][women], frames[1][~women]]).sort_index()
    genders = {f"c/s{i:02d}": ("male" if i % 2 else "female") for i in range(speakers)}
    return {"frame": frame, **evaluate(frame, stamp("run", genders=genders))}


def test_a_planted_bias_is_found_and_measured():
    result = evaluated(0.8, 0.5)
    frame = result["frame"]
    for gender, odd in (("female", 0), ("male", 1)):
        part = frame[frame["speaker"].str[1:].astype(int) % 2 == odd]
        of = result["by_gender"][gender]
        assert of["uar"] == pytest.approx(balanced_accuracy_score(part["true"], part["predicted"]), abs=1e-12)
        assert of["speakers"] == 8 and of["clips"] == 320
        low, high = of["interval_95"]
        assert low < of["uar"] < high and low < (0.5 if odd else 0.8) < high
    gap = result["gender_gap"]
    assert (gap["better"], gap["worse"]) == ("female", "male") and gap["p"] < 0.01
    assert gap["difference"] == pytest.approx(result["by_gender"]["female"]["uar"] - result["by_gender"]["male"]["uar"])
    text = classification_report(result)
    assert "female - male" in text and ", significant difference" in text


@pytest.mark.slow
def test_without_a_bias_the_gap_is_significant_in_5_percent_of_the_cases(monkeypatch):
    monkeypatch.setattr(fairness, "SHUFFLES", 500)
    rng = np.random.default_rng(0)
    p = []
    of = np.array(["female", "male"] * 6)
    for _ in range(400):
        rows = np.clip(0.6 + 0.1 * rng.standard_normal((12, 1)), 0, 1)  # speakers differ, genders do not
        shares = np.eye(4) * rows[..., None] + (1 - np.eye(4)) * (1 - rows[..., None]) / 3
        confusions = rng.multinomial(10, shares)
        by_gender = {gender: fairness.gender_figures(confusions[of == gender]) for gender in ("female", "male")}
        p.append(fairness.gender_gap(by_gender, confusions, of)["p"])
    assert 0.025 < np.mean(np.array(p) <= 0.05) < 0.085  # 5 % +- three standard errors


def test_speakers_are_listed_worst_first_with_their_clips_as_the_unit():
    result = evaluated(0.8, 0.5)
    frame, rows = result["frame"], result["by_speaker"]
    expected = frame.groupby("speaker").apply(lambda part: balanced_accuracy_score(part["true"], part["predicted"]))
    assert [row["uar"] for row in rows] == pytest.approx(sorted(expected)) and len(rows) == 16
    assert {row["speaker"]: row["uar"] for row in rows} == pytest.approx({f"c/{k}": v for k, v in expected.items()})
    assert rows[0]["gender"] == "male" and rows[-1]["gender"] == "female"
    assert all(row["interval_95"][0] < row["uar"] < row["interval_95"][1] for row in rows)
    # The same clips three times over (repeated folds) tell no more about a speaker than once.
    thrice = evaluate(pd.concat([frame] * 3), stamp("run", repeats=3))["by_speaker"]
    assert [row["clips"] for row in thrice] == [row["clips"] for row in rows] == [40] * 16
    assert [row["interval_95"] for row in thrice] == [pytest.approx(row["interval_95"], abs=0.02) for row in rows]


def test_unknown_speakers_and_genders_give_no_comparison():
    frame = predictions(0.6, 0, speakers=6)
    result = evaluate(frame, stamp("run"))
    assert result["by_gender"] == {} and result["gender_gap"] is None and len(result["by_speaker"]) == 6
    one = evaluate(frame, stamp("run", genders={"c/s00": "female", "c/s01": "male"}))
    assert one["by_gender"]["female"]["interval_95"] is None and one["by_gender"]["female"]["speakers"] == 1
    nobody = evaluate(frame.assign(speaker=""), stamp("run"))
    assert nobody["by_speaker"] == [] and nobody["by_gender"] == {} and nobody["gender_gap"] is None
    assert "by speaker" not in classification_report(nobody)


def test_where_there_is_no_interval_the_reason_stands_in_its_place():
    frame = predictions(0.6, 0, speakers=6)
    constant = frame.assign(predicted="sad", p_sad=0.7, p_neutral=0.1, p_happy=0.1, p_angry=0.1)
    alike = frame.assign(predicted=frame["true"].where(frame.index % 24 > 3, "sad"))
    for one, why in (
        (constant, "every answer is the same class"),
        (alike, "no variation between speakers"),
        (frame.assign(speaker="s1"), "fewer than two speakers"),
        (frame.assign(predicted=frame["true"]), "the figure is exactly 1"),
        (frame.assign(speaker=frame["speaker"].replace("s03", "")), "the speakers of 24 of 144 clips are unknown"),
    ):
        result = evaluate(one, stamp("run", genders={"c/s00": "male", "c/s01": "male", "c/s02": "female"}))
        assert result["interval_95"]["uar"] is None and result["no_interval"] == why
        report = classification_report(result)
        assert f"95 % interval of the UAR: none: {why}" in report
        for of in [*result["by_gender"].values(), *result["by_speaker"]]:
            assert (of["interval_95"] is None) == bool(of["no_interval"])
            assert of["interval_95"] is None or np.ptp(of["interval_95"]) > 0.01
    assert "[no interval: every answer is the same class]" in classification_report(
        evaluate(constant, stamp("run", genders={"c/s00": "male", "c/s01": "male"}))
    )


def test_speakers_with_one_emotion_or_few_clips_are_marked_and_warned_of():
    frame = predictions(0.6, 0, speakers=6)
    one, few = frame["speaker"] == "s00", frame["speaker"] == "s01"
    kept = frame[(~one | (frame["true"] == "sad")) & (~few | (frame.index % 24 < 4))]
    result = evaluate(kept, stamp("run"))
    doubts = {of["speaker"]: of["doubt"] for of in result["by_speaker"] if of["doubt"]}
    assert doubts == {"c/s00": "one emotion only", "c/s01": "few clips"}
    report = classification_report(result)
    assert "6 clips (one emotion only: says little)" in report and "4 clips (few clips: says little)" in report
    first, second = speaker_warnings([result, result])
    assert first.startswith("c, 4 classes: 1 of 6 speakers have one emotion only (c/s00): who speaks gives")
    assert second.startswith("c, 4 classes: 1 of 6 speakers have few clips (c/s01): fewer than 10")
    figure = evaluation_figures.fairness(result, "title")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert {"s00 (n = 6)", "s01 (n = 4)", "s02 (n = 24)"} < set(names)
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert len(hollow) == 2 and {line.get_color() for line in hollow} == {style.GREY}
    assert figure.legends[0].get_texts()[-1].get_text() == "one emotion only, or few clips"
    assert speaker_warnings([evaluate(frame, stamp("run"))]) == []


@pytest.mark.slow
def test_step_4_writes_bars_and_reliability(script, tmp_path):
    vectors, labels, speakers = made.planted(effect=0.8)
    genders = ["female" if int(name[1:]) % 2 else "male" for name in speakers]
    npz = made.npz(tmp_path / "e.npz", vectors, labels, speakers, genders=genders)
    results = tmp_path / "results"
    where = ["--results-dir", str(results)]
    script("3_train_classifiers").main(
        ["--npz-path", str(npz), "--classifier", "svm", "--models-dir", str(tmp_path), *where]
    )
    script("4_evaluation_metrics").main(where)
    (path,) = results.glob("evaluation_results_*.json")
    found = json.loads(path.read_text())
    assert set(found["by_gender"]) == {"female", "male"} and len(found["by_speaker"]) == 10
    bins = found["reliability"]
    error = sum(
        n * abs(a - c) for n, a, c in zip(bins["count"], bins["accuracy"], bins["confidence"], strict=True) if n
    )
    assert found["calibration_error"] == pytest.approx(error / sum(bins["count"])) and sum(bins["count"]) == 120
    for pattern in ("*/fairness.png", "*/reliability.png"):
        (picture,) = results.glob(pattern)
        assert picture.read_bytes()[:4] == b"\x89PNG"


# Listeners


def test_listeners_reach_what_the_corpus_says(shared):
    table = shared / "data" / "crema_d_metadata" / "summaryTable.csv"
    six = listeners.listener_scores(["neutral", "happy", "sad", "angry", "fearful", "disgust"], table)
    assert six["clips"] == 7442 and 0.40 < six["accuracy"] < 0.42
    frame = pd.read_csv(table)
    acted = frame["FileName"].str.split("_").str[2].str[0]
    assert six["accuracy"] == pytest.approx((frame["VoiceVote"] == acted).mean(), abs=1e-12)
    assert six["uar"] == pytest.approx((frame["VoiceVote"] == acted).groupby(acted).mean().mean(), abs=1e-12)
    four = listeners.listener_scores(LABELS, table)
    part = acted.isin(list("NHSA"))
    assert four["clips"] == 4900 and "chose among six" in four["note"]
    assert four["accuracy"] == pytest.approx((frame["VoiceVote"] == acted)[part].mean(), abs=1e-12)


def test_a_tie_is_wrong_and_a_foreign_table_is_refused(tmp_path, monkeypatch):
    table = tmp_path / "summaryTable.csv"
    rows = ["FileName,VoiceVote", "1001_DFA_ANG_XX,A", "1001_DFA_SAD_XX,N:S", "1001_DFA_NEU_XX,N", "1001_DFA_HAP_XX,D"]
    table.write_text("\n".join(rows) + "\n")
    found = listeners.listener_scores(LABELS, table)
    assert found["accuracy"] == 0.5 and found["recall"] == {"neutral": 1.0, "happy": 0.0, "sad": 0.0, "angry": 1.0}
    assert (
        listeners.listener_scores(["calm", "sad"], table) is None
        and listeners.listener_scores(LABELS, tmp_path / "none.csv") is None
    )
    monkeypatch.setattr(listeners, "TABLE", table)
    for corpora, expected in ((["cremad"], found), (["cremad", "c"], None), (["ravdess"], None)):
        result = evaluate(predictions(0.5, 0), stamp("run", corpora=corpora))
        assert result["human"] == expected
        assert ("listeners, 4 classes" in classification_report(result)) == bool(expected)
    table.write_text("\n".join(rows[:2]) + "\n")
    assert listeners.listener_scores(["sad", "happy"], table) is None
    table.write_text(rows[0] + "\n")
    with pytest.raises(ArtifactError, match="holds no votes"):
        listeners.listener_scores(LABELS, table)
    for damage in (b"FileName,VoiceVote\n\xff\xfe\x00\x01", b'FileName,VoiceVote\n"' + 200_000 * b"x"):
        table.write_bytes(damage)
        with pytest.raises(ArtifactError, match="summaryTable.csv"):
            listeners.listener_scores(LABELS, table)
    table.write_text("a,b\n1,2\n")
    with pytest.raises(ArtifactError, match="summaryTable.csv.*FileName"):
        listeners.listener_scores(LABELS, table)
