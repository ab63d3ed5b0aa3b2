"""What encoders were trained on: a warning where one saw the test corpus, and unknown is said to be unknown."""

import json

import made
import pandas as pd
import pytest

from speechemb import corpora, encoders
from speechemb.artifacts import storage
from speechemb.evaluation import trained_on

# Corpora that step 1 has no module for: a table of one of these names is theirs.
OTHERS = {"emovo", "mead", "meld", "mosei", "msp_podcast", "savee", "tess", "urdu"}
SUPERB = {"name": "superb/hubert-large-superb-er", "tag": "hubert_large_superb_er", "weights_sha256": "a" * 64}
FOLDER = {"name": "hubert-large-superb-er", "tag": "hubert_large_superb_er", "weights_sha256": "a" * 64}
HEAD = "encoder,weights_sha256,speech,labels,corpora,complete,source\n"


@pytest.fixture
def run(script, tmp_path, caplog, capsys):
    """Steps 3 and 4 on planted vectors of `corpus`, by the encoder with this identity: the lines and metrics.json."""

    def run(identity: dict, corpus: str = "iemocap"):
        vectors, labels, speakers = made.planted(speakers=6)
        file = made.npz(tmp_path / "e.npz", vectors, labels, speakers, corpus=corpus, encoder=identity)
        where = ["--results-dir", str(tmp_path / "results")]
        step3 = ["--npz-path", str(file), "--classifier", "svm", "--models-dir", str(tmp_path / "models"), *where]
        script("3_train_classifiers").main([*step3, "--n-folds", "2"])
        warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        caplog.clear()
        script("4_evaluation_metrics").main(where)
        assert warned == [record.getMessage() for record in caplog.records if "trained on" in record.getMessage()]
        return warned, capsys.readouterr().out, tmp_path / "results"

    return run


@pytest.mark.slow
def test_an_encoder_that_saw_the_test_corpus_is_warned_of(run):
    warned, printed, results = run(SUPERB)
    (line,) = warned
    assert line.startswith("superb/hubert-large-superb-er was trained on iemocap (labels: emotions")
    assert line.endswith("do not take its figures on iemocap for those of unseen speech") and "\n" not in line
    (row,) = pd.read_csv(results / "comparison.csv").to_dict("records")
    assert row["test_corpus_in_training"] == "saw" and "IEMOCAP; labels: emotions" in row["trained_on"]
    (of,) = json.loads((results / "metrics.json").read_text())["runs"]
    assert of["trained_on"]["saw"] == {"iemocap": "saw"}
    assert of["trained_on"]["source"] == "https://huggingface.co/superb/hubert-large-superb-er"
    assert "  hubert_large_superb_er: 60,000 h Libri-Light, IEMOCAP" in printed and "; iemocap: saw" in printed
    assert f"\nwarning: {line}\n" in next(results.glob("classification_report_*.txt")).read_text()


@pytest.mark.slow
def test_an_encoder_that_is_not_listed_is_said_to_be_unknown(run):
    """A folder of the same name proves nothing."""
    warned, printed, results = run(FOLDER)
    assert warned == [] and "  hubert_large_superb_er: unknown; iemocap: unknown" in printed
    (row,) = pd.read_csv(results / "comparison.csv").to_dict("records")
    assert (row["trained_on"], row["test_corpus_in_training"]) == ("unknown", "unknown")


@pytest.mark.parametrize(
    "identity, corpus, words",
    [
        (SUPERB, "iemocap", "saw"),
        (SUPERB, "cremad", "not listed"),
        (FOLDER, "iemocap", "unknown"),
        ({**SUPERB, "name": "somebody/else"}, "iemocap", "unknown"),
        ({"name": "openai/whisper-base"}, "ravdess", "unknown"),
        ({"name": "emotion2vec/emotion2vec_base"}, "iemocap", "saw"),
        ({"name": "librosa functionals"}, "emodb", "not listed"),
        ({**FOLDER, "name": "librosa functionals"}, "emodb", "unknown"),
    ],
)
def test_what_is_known_of_an_encoder_and_a_corpus(identity, corpus, words):
    found = trained_on.summary([identity], [corpus])
    assert found["saw"] == {corpus: words} and len(trained_on.warnings(found)) == (words == "saw")
    assert (trained_on.words(found) == "unknown") == (found["source"] == "")


@pytest.mark.slow
def test_the_bundled_encoder_is_known_by_its_weights():
    rows = trained_on.read_trainings()
    identity = encoders.load("wavlm_nano", "cpu", "fp32").identity
    found = trained_on.training_of(identity, rows)
    assert found.encoder == "wavlm_nano" and found.saw("ravdess") == "not listed"
    assert trained_on.training_of({**identity, "weights_sha256": "b" * 64}, rows) == trained_on.Training()


@pytest.mark.slow
def test_a_folder_of_published_weights_is_known_by_them(shared):
    identity = encoders.load(str(shared / "encoder" / "whisper-tiny.en"), "cpu", "fp32").identity
    assert trained_on.training_of(identity, trained_on.read_trainings()).encoder == "openai/whisper-tiny.en"


def test_every_row_has_a_source_and_known_corpora_and_every_tag_a_row():
    rows = trained_on.read_trainings()
    names = {row.encoder for row in rows}
    assert {"wavlm_nano", *encoders.TAGS.values()} - {encoders.TAGS["wavlm_nano"]} <= names and len(rows) >= 70
    for row in rows:
        assert set(row.corpora.split()) <= OTHERS | set(corpora.CORPORA), row
        assert row.source.startswith("https://") or "/" in row.source, row
        assert row.labels == "none" or row.labels.startswith(("transcripts", "phonemes", "emotions")), row
    assert any(row.saw("msp_podcast") == "saw" for row in rows)


def test_of_several_corpora_the_worst_counts():
    saw = {"iemocap": "not listed", "ravdess": "unknown"}
    assert trained_on.worst(saw.values()) == "unknown" and trained_on.worst([*saw.values(), "saw"]) == "saw"


@pytest.mark.parametrize("row, words", [
    ("a/b,,x,none,,yes,", "line 2: source"),
    ("a/b,,x,none,,maybe,s", "line 2: complete: is neither"),
    ("a/b,123,x,none,,yes,s", "line 2: weights_sha256"),
    ("a/b,,x,none,IEMOCAP,yes,s", "line 2: corpora"),
    ("a/b,,,none,,yes,s", "line 2: speech"),
    ("a/b,,x,none,,yes,s\na/b,,x,none,,yes,s", "a/b has two rows"),
    ('a/b,"x', "is not a CSV"),
])  # fmt: skip
def test_a_damaged_table_ends_in_one_line(tmp_path, row, words):
    path = tmp_path / "training.csv"
    path.write_text(f"{HEAD}{row}\n")
    with pytest.raises(storage.ArtifactError, match=words) as caught:
        trained_on.read_trainings(path)
    assert "\n" not in str(caught.value)
    assert trained_on.read_trainings(tmp_path / "none.csv") == ()
