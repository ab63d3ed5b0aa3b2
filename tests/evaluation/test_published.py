"""Published figures beside ours: comparable only where protocol, clips, classes and metric are the same."""

import pandas as pd
import pytest
from test_significance import LABELS, stamp

from speechemb.artifacts.storage import ArtifactError
from speechemb.evaluation import literature
from speechemb.reports.text import published_text

EIGHT = [*LABELS, "calm", "fearful", "disgust", "surprised"]


def result(**other) -> dict:
    """An evaluation of RAVDESS as EmoBox divides it."""
    ravdess = {"corpora": ["ravdess"], "labels": EIGHT, "n_folds": 6, "clips": 1440, "direction": None}
    ravdess["protocol"] = "folds_emobox_a4406d92"
    return {**stamp("run"), **ravdess, **other}


def verdicts(**other) -> set[str]:
    return set(literature.compare_figures([result(**other)], literature.read_figures())["comparable"])


def test_the_file_has_value_protocol_classes_and_source():
    figures = literature.read_figures()
    assert len(figures) >= 30 and figures["value"].between(0, 100).all()
    assert (figures[["corpus", "classes", "protocol", "source", "metric"]] != "").all().all()
    human = figures[figures["encoder"].str.startswith("human")]
    assert human["value"].tolist() == [40.9]


def test_the_same_protocol_is_comparable():
    table = literature.compare_figures([result()], literature.read_figures())
    assert table.columns.tolist() == list(literature.COLUMNS) and set(table["comparable"]) == {"yes"}
    assert set(table["corpus"]) == {"RAVDESS"} and len(table) == 6
    assert verdicts(clips=1439) == {"yes"} and verdicts(repeats=2) == {"yes"}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"n_folds": 5}, "6 folds, ours 5"),
        ({"protocol": "speaker"}, "their folds are a published table"),
        ({"protocol": "folds_emobox_12345678"}, "their folds are a published table"),
        ({"speakers_on_both_sides": None}, "on both sides or unknown"),
        ({"clips": 480}, "ours has 480 clips"),
        ({"leak": "scaler"}, "deliberate leakage"),
    ],
)
def test_another_protocol_is_not_comparable_and_the_reason_is_named(other, why):
    (verdict,) = verdicts(**other)
    assert verdict.startswith("not comparable: ") and why in verdict


def test_other_corpora_and_class_counts_do_not_appear():
    figures = literature.read_figures()
    assert literature.compare_figures([result(labels=LABELS)], figures).empty
    assert literature.compare_figures([result(corpora=["ravdess", "emodb"])], figures).empty
    assert literature.compare_figures([result(corpora=["made"])], figures).empty


def test_iemocap_by_session_is_comparable_and_crema_d_on_one_split_is_not():
    iemocap = result(corpora=["iemocap"], labels=LABELS, protocol="session", n_folds=5, clips=5531)
    table = literature.compare_figures([iemocap], literature.read_figures())
    assert set(table["comparable"]) == {"yes"} and {"UAR", "accuracy"} == set(table["metric"])
    part = literature.compare_figures([{**iemocap, "clips": 4980}], literature.read_figures())
    assert set(part["comparable"]) == {"not comparable: ours has 4980 clips, the corpus 5531"}
    six = result(corpora=["cremad"], labels=[*LABELS, "fearful", "disgust"], n_folds=5, clips=7435)
    table = literature.compare_figures([six], literature.read_figures()).set_index("encoder")["comparable"]
    assert (table != "yes").all() and "one split" in table["WavLM-base"]
    assert "crowd votes" in table["human listeners (audio only)"]


def test_two_of_our_protocols_are_judged_apart_and_ours_are_not_in_the_table():
    table = literature.compare_figures([result(), result(n_folds=5), result(clips=100)], literature.read_figures())
    assert table.groupby("our_protocol")["comparable"].unique().str[0].to_dict() == {
        "folds_emobox_a4406d92 x5": "not comparable: 6 folds, ours 5 (--n-folds 6)",
        "folds_emobox_a4406d92 x6": "yes",
    }
    text = published_text(table)
    assert "not ours" in text and text.index("comparable: 6 folds") < text.index("  comparable:\n") and "EmoBox" in text
    assert len(table) == 12


def test_a_damaged_file_is_refused_and_a_missing_one_is_empty(tmp_path):
    assert literature.read_figures(tmp_path / "none.csv").empty
    path = tmp_path / "figures.csv"
    figures = literature.read_figures()
    figures.drop(columns="source").to_csv(path, index=False)
    with pytest.raises(ArtifactError, match="has no column source"):
        literature.read_figures(path)
    figures.astype({"value": object}).assign(value="high").to_csv(path, index=False)
    with pytest.raises(ArtifactError, match="no number"):
        literature.read_figures(path)
    for content in (b"", b"\xff\xfe\x00", b'corpus,"classes\n', b"\x89PNG\r\n\x1a\n"):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match="figures.csv"):
            literature.read_figures(path)
    assert isinstance(figures, pd.DataFrame)
