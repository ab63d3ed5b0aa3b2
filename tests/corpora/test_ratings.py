"""Numbers of a table, such as ratings of arousal: which columns are taken, and how they reach the npz."""

import made
import numpy as np
import pandas as pd
import pytest

from speechemb.artifacts import embeddings, metadata, numbers, storage
from speechemb.audio import augmentation
from speechemb.corpora import hub, ratings, table
from speechemb.errors import InputError
from speechemb.extraction.clips import columns_of, read_clips


def written(tmp_path, **columns):
    """A table of 4 clips that need not exist, with these further columns."""
    frame = pd.DataFrame({"path": [f"{i}.wav" for i in range(4)], "emotion": "sad", **columns})
    frame.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_columns_of_numbers_are_taken_under_their_usual_names(tmp_path):
    file = written(
        tmp_path,
        EmoAct=[1, 2.5, "", 4],
        Pitch=["3", "NA", "1e2", "4"],
        name=list("abcd"),
        id=range(4),
        fold=[1, 2, 1, 2],
    )
    found = [dict(clip.numbers) for clip in table.clips(file)]
    assert found == [{"arousal": 1, "pitch": 3}, {"arousal": 2.5}, {"pitch": 100}, {"arousal": 4, "pitch": 4}]


def test_a_column_that_never_differs_or_holds_words_is_no_number(tmp_path):
    file = written(tmp_path, a=[1, 1, 1, 1], b=[1, 2, 3, "x"], c=["inf", "1", "2", "3"])
    assert all(clip.numbers == () for clip in table.clips(file))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"Valence": [1, "low", 3, 4]}, "column valence is valence and holds 'low' (row 3)"),
        ({"arousal": [1, 2, 3, 4], "EmoAct": [1, 2, 3, 4]}, "two columns are arousal"),
    ],
)
def test_a_column_of_a_dimension_that_cannot_be_read_is_refused(tmp_path, columns, words):
    with pytest.raises(InputError) as error:
        table.clips(written(tmp_path, **columns))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_many_columns_of_numbers_are_features_and_no_targets(tmp_path):
    columns = {f"f{i}": [i, i + 1, 2, 3] for i in range(numbers.MOST + 1)}
    assert all(clip.numbers == () for clip in table.clips(written(tmp_path, **columns)))


def test_a_hub_copy_gives_its_ratings():
    assert dict(hub._ratings({"EmoAct": 2.5, "EmoVal": float("nan"), "EmoDom": 2, "angry": 0.5})) == {
        "arousal": 2.5,
        "dominance": 2.0,
    }
    assert ratings.name_of("emotion") == ""


def test_numbers_reach_the_npz_and_are_pooled_by_name(script, tmp_path):
    file = made.corpus(tmp_path / "tones", speakers=2, takes=1, seconds=0.2)
    frame = pd.read_csv(file).assign(EmoVal=[1.5, *[None] * 6, 7])
    frame.to_csv(file, index=False)
    script("1_data_preprocessing").main(["--corpora", f"table:{file}", "--out-dir", str(tmp_path / "out")])
    clips, excluded, _ = read_clips([tmp_path / "out" / "tones.csv"], limit=None)
    assert pd.read_csv(tmp_path / "out" / "tones.csv")["valence"].count() == 2
    arrays = columns_of(augmentation.with_copies(clips, 0), excluded, [0])
    one = made.npz(tmp_path / "a.npz", np.zeros((8, 3)), ["sad"] * 8, ["s"] * 8, numbers=numbers.by_name(arrays, 8))
    two = made.npz(
        tmp_path / "b.npz", np.zeros((2, 3)), ["sad"] * 2, ["s"] * 2, corpus="other", numbers={"arousal": [1, 2]}
    )
    read = embeddings.concatenated([one, two])
    rated = {"tones/s0_neutral_0": 1.5, "tones/s1_angry_0": 7}
    expected = [rated.get(clip, np.nan) for clip in clips["clip_id"]] + [np.nan] * 2
    np.testing.assert_array_equal(read.numbers["valence"], expected)
    np.testing.assert_array_equal(read.numbers["arousal"], [*[np.nan] * 8, 1, 2])
    np.testing.assert_array_equal(read.take(np.array([9, 8])).numbers["arousal"], [2, 1])


def test_a_column_that_the_csv_lacks_is_one_line(tmp_path):
    frame = pd.DataFrame({name: ["1"] for name in metadata.METADATA_COLUMNS}).assign(corpus="c", audio_sha256="0" * 64)
    content = {
        "corpus": "c",
        "source": "local",
        "emotions": "all",
        "fraction": 1.0,
        "seed": 0,
        "excluded": {},
        "clips": 1,
    }
    stamp = {**metadata.metadata_stamp("", content), "numbers": ["valence"]}
    storage.write_csv(tmp_path / "c.csv", frame, stamp)
    with pytest.raises(storage.ArtifactError, match="has no column valence"):
        metadata.read_metadata(tmp_path / "c.csv")
