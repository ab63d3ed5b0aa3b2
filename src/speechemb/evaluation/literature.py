"""Published figures, from `data/published_figures.csv`: shown beside ours, never ranked with them.

Columns of that file, values in percent: corpus, classes, encoder, frozen, layers, classifier, metric, value, protocol,
cv, folds, speaker_independent, source. `cv` and `folds` give the protocol in step 3's words; for folds that were
published as a table, `cv` is `folds:` and the hash that `--folds` with that table puts into the protocol's name.

A figure is comparable with our runs only where the corpus, the numbers of classes and clips, the number of folds and
what they hold out are the same and it is one of our metrics. Otherwise the reason is given.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from speechemb import corpora
from speechemb.artifacts.storage import ArtifactError, read_table
from speechemb.evaluation.comparison import protocol_of
from speechemb.paths import DATA, shown
from speechemb.splits import TRANSDUCTIVE

FILE = DATA / "published_figures.csv"
METRICS = ("UAR", "accuracy")  # those of ours that others report too
THEIRS = tuple(
    "corpus classes encoder frozen layers classifier metric value protocol cv folds speaker_independent source".split()
)
COLUMNS = ("our_corpus", "our_protocol", *THEIRS, "comparable")
# Clips of the complete corpus in that many classes; a figure over fewer or other clips is another task.
CLIPS = {("iemocap", 4): 5531, ("ravdess", 8): 1440, ("cremad", 6): 7442, ("cremad", 4): 4900, ("emodb", 7): 535}
PUBLISHED = "folds:"  # begins `cv` where the folds are a table's; then the hash that ends our protocol's name
_MISSING = 0.01  # share of clips that may be missing because step 1 excluded them as damaged or contradictory


def read_figures(path: Path = FILE) -> pd.DataFrame:
    """The file's rows with `value` as float and `classes` as int; no rows where the file is missing.

    Raises:
        ArtifactError: a column is missing, or a value is not a number.
    """
    if not path.is_file():
        return pd.DataFrame(columns=list(THEIRS))
    mend = f"mend it, or git checkout {shown(path)}"
    frame = read_table(path, THEIRS, mend)
    try:
        figures = frame[list(THEIRS)].astype({"value": float, "classes": int})
        figures.loc[figures["cv"] != "", "folds"].astype(int)
    except ValueError as error:
        raise ArtifactError(f"{shown(path)}: value, classes or folds holds no number ({error}): {mend}") from None
    return figures


def compare_figures(results: list[dict[str, Any]], figures: pd.DataFrame) -> pd.DataFrame:
    """The published figures for the corpora and numbers of classes of `results`, once for each of our protocols.

    Columns: `COLUMNS`; `comparable` says `yes` or `not comparable: <why>`. Our own figures are not in it.
    """
    rows: dict[tuple, dict[str, Any]] = {}
    for result in results:
        if len(result["corpora"]) != 1:
            continue
        ours = result["corpora"][0]
        for number, figure in enumerate(figures.to_dict("records")):
            if _word(figure["corpus"]) != ours or figure["classes"] != len(result["labels"]):
                continue
            why = why_not_comparable(result, figure)
            key = (ours, len(result["labels"]), protocol_of(result), number)
            # Comparable with one of the runs of a protocol is enough: the others differ in their clips.
            if key not in rows or not why:
                verdict = f"not comparable: {why}" if why else "yes"
                rows[key] = {"our_corpus": ours, "our_protocol": key[2], **figure, "comparable": verdict}
    return pd.DataFrame([rows[key] for key in sorted(rows)], columns=list(COLUMNS))


def why_not_comparable(result: dict[str, Any], figure: dict[str, Any]) -> str:
    """Why a published figure must not be compared with this evaluation; empty where it may be."""
    ours, theirs = result["protocol"], figure["cv"]
    complete = CLIPS.get((result["corpora"][0], len(result["labels"])))
    if result["normalise"]:
        return f"our run is {TRANSDUCTIVE}"
    if result["leak"]:
        return "our run has deliberate leakage"
    if not theirs:
        return f"not cross-validated ({figure['protocol']})"
    if figure["metric"] not in METRICS:
        return f"{figure['metric']} is not among our metrics"
    if theirs.startswith(PUBLISHED):
        if not ours.endswith(theirs.removeprefix(PUBLISHED)):
            return f"their folds are a published table ({figure['protocol']}), which ours are not (--folds)"
    elif theirs != ours:
        return f"their folds hold out {theirs}, ours {ours}" if theirs != "one split" else "one split, ours are folds"
    if figure["speaker_independent"] == "yes" and result["speakers_on_both_sides"] != 0:
        return "their speakers are held out, ours are on both sides or unknown"
    if int(figure["folds"]) != result["n_folds"]:
        return f"{figure['folds']} folds, ours {result['n_folds']} (--n-folds {figure['folds']})"
    if complete is None or abs(result["clips"] - complete) > _MISSING * complete:
        return f"ours has {result['clips']} clips, the corpus {complete or 'an unknown number'}"
    return ""


def _word(corpus: str) -> str:
    """`CREMA-D` -> `cremad`, as `--corpora` spells it."""
    folders = {module.FOLDER.lower(): word for word, module in corpora.CORPORA.items()}
    return folders.get(corpus.lower(), corpus.lower())
