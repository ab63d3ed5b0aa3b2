"""The wrong answers of a run, the surest first: the clips to listen to."""

import numpy as np
import pandas as pd

COLUMNS = ("path", "true", "predicted", "confidence", "clip_id", "corpus", "speaker", "fold")


def mistakes(predictions: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """One row per wrong prediction, with the columns `COLUMNS`; `confidence` is the probability of the answer.

    With repeats, a clip has a row for each repeat that got it wrong.

    Args:
        predictions: of `artifacts.predictions.read_predictions`
        labels: the classes, in the order of the columns `p_<label>`
    """
    table = predictions.assign(confidence=confidence_of(predictions, labels))
    wrong = table.loc[table["true"] != table["predicted"]]
    ordered = wrong.sort_values(["confidence", "clip_id", "fold"], ascending=[False, True, True])
    return ordered.loc[:, list(COLUMNS)].reset_index(drop=True)


def confidence_of(predictions: pd.DataFrame, labels: list[str]) -> np.ndarray:
    """The probability (n,) float64 of each prediction's answer."""
    probabilities = predictions[[f"p_{label}" for label in labels]].to_numpy(float)
    answer = pd.Index(labels).get_indexer(pd.Index(predictions["predicted"]))
    return probabilities[np.arange(len(answer)), answer]
