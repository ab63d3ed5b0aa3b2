"""A whole run on made signals: table, step 1, step 2 (acoustic), step 3."""

import made


def build(script, folder):
    """The files of a whole run on made signals: table, step 1, step 2 (acoustic), step 3, by name."""
    table = made.corpus(folder / "tones", speakers=4, seconds=0.3)
    processed, npz, results = folder / "processed", folder / "e.npz", folder / "results"
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(processed)])
    csv = processed / "tones.csv"
    script("2_wavlm_feature_extraction").main(["--metadata", str(csv), "--model", "acoustic", "--out", str(npz)])
    where = ["--models-dir", str(folder / "models"), "--results-dir", str(results)]
    script("3_train_classifiers").main(["--npz-path", str(npz), "--classifier", "svm", "--n-folds", "2", *where])
    return files_of(folder)


def files_of(folder):
    (predictions,) = (folder / "results").glob("predictions_*.csv")
    (model,) = (folder / "models").iterdir()
    return {
        "metadata": folder / "processed" / "tones.csv",
        "embeddings": folder / "e.npz",
        "predictions": predictions,
        "model": model,
        "table": folder / "tones.csv",
    }
