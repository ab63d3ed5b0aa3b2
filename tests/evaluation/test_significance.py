"""Paired tests against a reference: a planted difference is significant, and other runs change nothing."""

import json
import re

import made
import numpy as np
import pandas as pd
import pytest

from speechemb.artifacts import predictions as files
from speechemb.artifacts import storage
from speechemb.errors import InputError
from speechemb.evaluation import scores, significance
from speechemb.metrics import paired_tests
from speechemb.reports.text import ranking_text

LABELS = list(made.EMOTIONS)


def predictions(hit: float, seed: int, speakers: int = 12, clips: int = 24, name: str = "c") -> pd.DataFrame:
    """Answers that are right with probability `hit`, else another class at random."""
    rng = np.random.default_rng(seed)
    n = speakers * clips
    true = np.array(LABELS)[np.arange(n) % 4]
    wrong = np.array(LABELS)[(np.arange(n) + rng.integers(1, 4, n)) % 4]
    predicted = np.where(rng.random(n) < hit, true, wrong)
    columns = {"clip_id": [f"{name}/{i}" for i in range(n)], "corpus": name, "fold": "1"}
    columns["speaker"] = [f"s{i // clips:02d}" for i in range(n)]
    frame = pd.DataFrame({**columns, "true": true, "predicted": predicted})
    for label in LABELS:
        frame[f"p_{label}"] = np.where(predicted == label, 0.7, 0.1)
    return frame


def stamp(run: str, **other) -> dict:
    """What step 3 records, as far as step 4 needs it."""
    settings = {"tag": run, "encoder": {"tag": run}, "pooling": ["mean"], "layer": "mean", "classifier": "svm"}
    settings |= {"precision": "fp32", "tune": 0}
    how = {
        "protocol": "speaker",
        "protocol_note": "",
        "n_folds": 5,
        "repeats": 1,
        "leak": "",
        "normalise": "",
        "augmented": 0,
        "speakers_on_both_sides": 0,
        "sha256": run,
    }
    return {**settings, "corpora": ["c"], "seed": 0, "labels": LABELS, "genders": {}, **how, **other}


def evaluate(frame: pd.DataFrame, stamp: dict) -> dict:
    """The figures of one run's predictions, as step 4 computes them."""
    (run,) = scores.evaluated(frame, stamp)
    return run.result


def compared(frames: dict[str, pd.DataFrame], reference: str = "", curve=(), **other) -> list[significance.Comparable]:
    """Runs compared; `other`: run -> what its stamp has instead. The run `base` is an acoustic baseline."""
    runs = []
    for run, frame in frames.items():
        acoustic = {"encoder": {"tag": "acoustic"}} if run.startswith("base") else {}
        runs += scores.evaluated(frame, stamp(run, **{**acoustic, **other.get(run, {})}))
    return significance.compare(runs, curve, reference)


def verdicts(comparables: list[significance.Comparable]) -> dict[str, str]:
    table = significance.pairs_table(comparables)
    of = table[table["family"] == "confirmatory"]
    return dict(zip(of["a"], of["verdict"], strict=True))


@pytest.fixture(scope="module")
def three():
    """A baseline, one run that is better by a lot, and one that differs by chance."""
    return {"good": predictions(0.8, 0), "base": predictions(0.5, 1), "other": predictions(0.51, 2)}


def test_a_planted_difference_is_significant_and_a_chance_one_is_not(three):
    (group,) = compared(three)
    table = significance.pairs_table([group])
    assert table.columns.tolist() == list(significance.PAIR_COLUMNS) and len(table) == 3
    confirmatory, exploratory = (part for _, part in table.groupby("family"))
    assert (confirmatory["b"] == "base").all() and (confirmatory["reference"] == "base").all()
    assert (confirmatory["comparisons"] == 2).all() and confirmatory["p_holm"].notna().all()
    assert verdicts([group]) == {"good": "significantly better", "other": "no significant difference"}
    assert (table["difference"] - (table["uar_a"] - table["uar_b"])).abs().max() < 1e-12
    assert exploratory[["a", "b"]].values.tolist() == [["good", "other"]]
    assert exploratory["p"].item() < 0.01 and exploratory[["p_holm"]].isna().all().all()
    assert exploratory["verdict"].item() == exploratory["reference"].item() == ""
    order = significance.ranking_table([group]).set_index("run")
    assert order.reset_index().columns.tolist() == ["run", *(c for c in significance.RANK_COLUMNS if c != "run")]
    assert order["place"].tolist() == [1, 2, 3] and order.index[0] == "good"
    assert order["verdict"].to_dict() == {**verdicts([group]), "base": "reference"}
    swapped = compared({"good": three["base"], "base": three["good"]})
    assert verdicts(swapped) == {"good": "significantly worse"}


def test_the_p_values_are_those_of_the_test_holm_corrected(three):
    (group,) = compared(three)
    table = significance.pairs_table([group]).query("family == 'confirmatory'")
    for row in table.itertuples():
        a, b = (
            np.array([(part["true"] == part["predicted"]).groupby(part["true"]).mean() for _, part in parts])
            for parts in (three[name].groupby("speaker") for name in (row.a, row.b))
        )
        assert row.p == pytest.approx(paired_tests.sign_flip_test((a - b).mean(1)[None]).item())
    assert table["p_holm"].tolist() == pytest.approx(paired_tests.holm(table["p"].tolist()))


@pytest.mark.slow
@pytest.mark.parametrize("reference", ["", "base"])
def test_a_verdict_does_not_depend_on_what_else_lies_in_the_folder(reference):
    frames = {"good": predictions(0.77, 0, speakers=24), "base": predictions(0.25, 1, speakers=24)}
    alone = compared(frames, reference)
    crowd = {f"run{i}": predictions(0.3 + 0.019 * i, 10 + i, speakers=24) for i in range(16)}
    # Of other classifiers, seeds or protocols: not even the corrected p changes.
    unrelated = [{"classifier": "mlp"}, {"seed": 1}, {"tune": 20}, {"protocol": "random"}, {"n_folds": 4}]
    other = {run: unrelated[i % 5] for i, run in enumerate(crowd)}
    if reference:
        other = {run: {"protocol": "random"} for run in crowd}
    crowded = compared({**frames, **crowd}, reference, **other)
    of = [{p.a: p for g in groups for p in g.confirmatory}["good"] for groups in (alone, crowded)]
    assert of[0] == of[1] and of[0].verdict == "significantly better" and of[0].comparisons == 1
    # In the same family the correction grows, and the difference stays significant.
    same = compared({**frames, **crowd}, reference)
    pair = {p.a: p for g in same for p in g.confirmatory}["good"]
    assert pair.comparisons == 17 and pair.verdict == "significantly better" and pair.p_holm < 0.001


@pytest.mark.slow
def test_a_layer_curve_is_in_no_family(three):
    curve = {f"layer{i}": predictions(0.5, 20 + i) for i in range(13)}
    how = {run: {"layer": run[5:]} for run in curve}
    (group,) = compared({**three, **curve}, curve=set(curve), **how)
    (without,) = compared(three)
    assert group == without


def test_where_no_baseline_is_there_is_no_verdict_and_that_is_said(three):
    good, other = three["good"], three["other"]
    for frames, how in (
        ({"good": good, "other": other}, {}),
        ({"good": good, "base": three["base"]}, {"good": {"classifier": "mlp"}}),
        ({"good": good, "base": three["base"]}, {"good": {"augmented": 2}}),
    ):
        (group,) = compared(frames, **how)
        assert group.confirmatory == [] and len(group.exploratory) == 1
        text = ranking_text([group])
        assert "significant" not in text and "no acoustic baseline" in text and "--reference" in text
    (group,) = compared({"good": good, "base1": three["base"], "base2": other})
    assert group.confirmatory == [] and "2 acoustic baselines to choose from" in ranking_text([group])
    (group,) = compared({"good": good, "other": other}, "other", good={"classifier": "mlp"})
    assert verdicts([group]) == {"good": "significantly better"}
    with pytest.raises(InputError, match="--reference othre: there is no such run; choose among good, other"):
        compared({"good": good, "other": other}, "othre")


@pytest.mark.slow
@pytest.mark.parametrize(("speakers", "runs", "possible"), [(5, 1, False), (6, 1, True), (6, 2, False), (10, 25, True)])
def test_where_no_verdict_is_possible_every_comparison_says_why(speakers, runs, possible):
    frames = {f"run{i}": predictions(0.9, i, speakers) for i in range(runs)}
    groups = compared({**frames, "base": predictions(0.1, 99, speakers)})
    found = set(verdicts(groups).values())
    if possible:
        assert found == {"significantly better"}
    else:
        (verdict,) = found
        assert verdict.startswith(f"no verdict possible: with {speakers} speakers p is at least 0.0")
        assert "above 5%" in verdict and ("2 comparisons" in verdict) == (runs == 2)
        assert ranking_text(groups).count(verdict) == runs


def test_the_text_says_better_only_where_the_test_does(three):
    lines = ranking_text(compared(three)).splitlines()
    assert lines[1].startswith("  against base (confirmatory, 2 comparisons, Holm-corrected, 5%)")
    assert lines[2].startswith("    good   UAR 0.") and re.search(
        "  p 0.*, corrected 0.*  significantly better$", lines[2]
    )
    assert lines[3].startswith("    other  UAR") and lines[3].index("  p ") == lines[2].index("  p ")
    assert "significantly better" not in lines[3] and "no significant difference" in lines[3]
    assert "exploratory: 1 pairs with raw p" in lines[4] and len(lines) == 5


@pytest.mark.parametrize("change", ["clip", "label", "protocol", "folds", "leak", "class"])
def test_only_runs_on_the_same_clips_and_protocol_are_compared(three, change):
    pair, other = {"good": three["good"], "base": three["base"].copy()}, {}
    if change == "clip":
        pair["base"] = pair["base"].iloc[:-1]
    if change == "label":
        pair["base"].loc[0, "true"] = "angry"
    if change == "class":
        pair["base"]["p_calm"], other["labels"] = 0.0, [*LABELS, "calm"]
    other |= {"protocol": {"protocol": "random"}, "folds": {"n_folds": 6}, "leak": {"leak": "scaler"}}.get(change, {})
    assert len(compared({"good": three["good"], "base": three["base"]})) == 1
    assert compared(pair, base=other) == []


def test_order_of_rows_is_free_and_unknown_speakers_are_said(three):
    straight = {"good": three["good"], "base": three["base"]}
    shuffled = {"good": three["good"], "base": three["base"].sample(frac=1, random_state=0)}
    assert compared(shuffled) == compared(straight)
    unknown = {run: frame.assign(speaker=frame["speaker"].replace("s00", "")) for run, frame in straight.items()}
    groups = compared(unknown)
    assert verdicts(groups) == {"good": "no verdict possible: the speakers of 24 of 288 clips are unknown"}
    assert np.isnan(groups[0].confirmatory[0].p)


def test_the_unit_is_the_group_where_a_speaker_is_unknown(three):
    frames = {"good": three["good"], "base": three["base"]}
    known = {run: frame.assign(group="c/" + frame["speaker"]) for run, frame in frames.items()}
    assert compared(known)[0].confirmatory == compared(frames)[0].confirmatory
    rest = {}
    for run, frame in known.items():
        unknown = frame["speaker"].isin(["s00", "s01"])
        group = frame["group"].where(~unknown, "c/session:1")
        rest[run] = frame.assign(speaker=frame["speaker"].where(~unknown, ""), group=group)
    (group,) = compared(rest)
    assert (group.units, group.unit) == (11, "speakers and sessions") and verdicts([group])[
        "good"
    ] == significance.BETTER
    result = evaluate(rest["good"], stamp("good"))
    assert result["interval_95"]["uar"] and (result["units"], result["speakers"]) == (11, 10)
    # A few clips of nobody known are units of their own; many are no evidence.
    for n, units in ((5, 12 + 5), (20, 0)):
        few = known["good"].copy()
        few.loc[: n - 1, "speaker"] = ""
        few.loc[: n - 1, "group"] = "clip:" + few["clip_id"][:n]
        result = evaluate(few, stamp("good"))
        assert bool(result["interval_95"]["uar"]) == bool(units)
        assert result["no_interval"] == ("" if units else "the speakers of 20 of 288 clips are unknown")
        assert not units or (result["units"], result["unit"]) == (units, "speakers and clips")


@pytest.fixture
def folder(script, tmp_path):
    """A folder of results with the runs of an acoustic baseline, an encoder and another encoder."""
    vectors, labels, speakers = made.planted(speakers=8, effect=0.5)
    results = tmp_path / "results"
    npz = made.npz(tmp_path / "e.npz", vectors, labels, speakers)
    where = ["--models-dir", str(tmp_path / "models"), "--results-dir", str(results)]
    script("3_train_classifiers").main(["--npz-path", str(npz), "--classifier", "svm", *where])
    (path,) = results.glob("predictions_*.csv")
    frame, found = files.read_predictions(path)
    rng = np.random.default_rng(0)
    for tag, hit in (("acoustic", 0.4), ("strong", 0.9)):
        right = rng.random(len(frame)) < hit
        wrong = frame["true"].map(dict(zip(LABELS, LABELS[1:] + LABELS[:1], strict=True)))
        answers = frame["true"].where(right, wrong)
        p = {f"p_{label}": np.where(answers == label, 0.7, 0.1) for label in LABELS}
        run = {**found, "tag": f"{tag}-svm", "encoder": {**found["encoder"], "tag": tag}}
        storage.write_csv(results / f"predictions_{tag}-svm.csv", frame.assign(predicted=answers, **p), run)
    return results


@pytest.mark.slow
def test_step_4_writes_them(script, folder, capsys):
    capsys.readouterr()
    script("4_evaluation_metrics").main(["--results-dir", str(folder)])
    printed = capsys.readouterr().out
    table, order = pd.read_csv(folder / "paired_tests.csv"), pd.read_csv(folder / "ranking.csv")
    assert table["family"].tolist() == ["confirmatory", "confirmatory", "exploratory"]
    assert len(order) == 3 and (folder / "ranking.png").read_bytes()[:4] == b"\x89PNG"
    assert re.search("strong-svm +UAR 0.8.*  p 0.0078, corrected 0.016  significantly better\n", printed)
    assert order["uar"].is_monotonic_decreasing and order["speakers"].tolist() == [8, 8, 8]
    script("4_evaluation_metrics").main(["--results-dir", str(folder), "--reference", "strong-svm"])
    table = pd.read_csv(folder / "paired_tests.csv").query("family == 'confirmatory'")
    assert table["b"].tolist() == ["strong-svm"] * 2 and table["verdict"].tolist() == ["significantly worse"] * 2
    assert "--reference strong-svm" in json.loads((folder / "paired_tests.meta.json").read_text())["command"]
    with pytest.raises(InputError, match="--reference weak: there is no such run"):
        script("4_evaluation_metrics").main(["--results-dir", str(folder), "--reference", "weak"])
