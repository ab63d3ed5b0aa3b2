"""All steps on real speech, with encoders of the published widths (random weights) and the bundled one."""

import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT

from models import make_model
from speechemb.artifacts import embeddings


@pytest.fixture(scope="module")
def ravdess(shared, script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ravdess")
    script("1_data_preprocessing").main(
        ["--corpora", "ravdess", "--data-dir", str(shared / "data" / "ravdess"), "--out-dir", str(folder)]
    )
    return folder / "ravdess.csv"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "shape", "dim", "limit", "chosen"),
    [("wavlm", "base", 768, 24, ["svm", "logistic", "mlp", "xgboost"]), ("hubert", "large", 1024, 16, ["svm"])],
)
def test_every_step_with_an_encoder_of_published_width(ravdess, script, tmp_path, family, shape, dim, limit, chosen):
    """Two blocks instead of 12 or 24, for the sake of time; widths, front end and norms as published."""
    model = make_model(tmp_path / f"{family}-{shape}", family, shape, num_hidden_layers=2)
    npz, results = tmp_path / "e.npz", tmp_path / "results"
    script("2_wavlm_feature_extraction").main(
        ["--metadata", str(ravdess), "--model", str(model), "--limit", str(limit), "--out", str(npz)]
    )
    shutil.rmtree(model)
    data = embeddings.read(npz)
    assert data.embeddings.shape == (limit, 3, dim) and data.meta["encoder"]["tag"] == f"{family}_{shape}"
    asked = {"speaker": chosen, "random": ["svm"]}
    for cv, classifiers in asked.items():
        script("3_train_classifiers").main(
            ["--npz-path", str(npz), "--cv", cv, "--n-folds", "2", "--models-dir", str(tmp_path / "models"),
             "--results-dir", str(results), "--classifier", *classifiers]
        )  # fmt: skip
    script("4_evaluation_metrics").main(["--results-dir", str(results)])
    script("5_visualization_umap").main(["--npz-path", str(npz), "--results-dir", str(results)])
    runs = json.loads((results / "metrics.json").read_text())["runs"]
    assert {(run["classifier"], run["protocol"]) for run in runs} == {
        (classifier, cv) for cv, classifiers in asked.items() for classifier in classifiers
    }
    assert all(run["clips"] == limit for run in runs)


@pytest.mark.slow
def test_every_step_and_predict_with_an_encoder_computed_by_transformers(ravdess, script, tmp_path):
    model = make_model(tmp_path / "data2vec-tiny", "data2vec-audio", "tiny_layer", num_conv_pos_embeddings=3)
    npz, results, models = tmp_path / "e.npz", tmp_path / "results", tmp_path / "models"
    script("2_wavlm_feature_extraction").main(
        ["--metadata", str(ravdess), "--model", str(model), "--limit", "40", "--out", str(npz)]
    )
    where = ["--results-dir", str(results)]
    script("3_train_classifiers").main(
        ["--npz-path", str(npz), "--classifier", "svm", "--n-folds", "2", "--models-dir", str(models), *where]
    )
    script("4_evaluation_metrics").main(where)
    script("5_visualization_umap").main(["--npz-path", str(npz), *where])
    (row,) = pd.read_csv(results / "comparison.csv").to_dict("records")
    assert (row["encoder"], row["clips"], row["trained_on"]) == ("data2vec_tiny", 40, "unknown")
    assert (results / "umap_emotion.png").exists()
    clips, (trained,) = pd.read_csv(ravdess)["path"].head(3).tolist(), models.iterdir()
    script("predict").main(["--model", str(trained), *clips, "--out", str(tmp_path / "p.csv")])
    predicted = pd.read_csv(tmp_path / "p.csv")
    assert len(predicted) == 3 and predicted.filter(like="p_").sum(axis=1).between(0.99, 1.01).all()


@pytest.mark.slow
def test_wavlm_nano_beats_chance_by_far_on_unseen_speakers(ravdess, script, tmp_path):
    script("2_wavlm_feature_extraction").main(
        ["--metadata", str(ravdess), "--model", "wavlm_nano", "--pooling", "mean,std", "--limit", "160",
         "--out", str(tmp_path / "e.npz")]
    )  # fmt: skip
    script("3_train_classifiers").main(
        ["--npz-path", str(tmp_path / "e.npz"), "--classifier", "svm", "--layer", "all", "--models-dir",
         str(tmp_path), "--results-dir", str(tmp_path)]
    )  # fmt: skip
    script("4_evaluation_metrics").main(["--results-dir", str(tmp_path)])
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert table["uar"].item() > 0.45 and table["uar_low"].item() > 0.25 and table["speakers"].item() == 24


@pytest.mark.slow
def test_the_scripts_run_from_src_with_paths_from_the_root(tmp_path):
    """`cd src && python 3_train_classifiers.py --npz-path embeddings/x.npz`, in a copy of the project."""
    import made

    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    made.npz(tmp_path / "embeddings" / "emotion_embeddings.npz", *made.planted())
    for command in (
        ["3_train_classifiers.py", "--npz-path", "embeddings/emotion_embeddings.npz", "--classifier", "svm"],
        ["4_evaluation_metrics.py"],
        ["3_train_classifiers.py", "--classifier", "svm"],
    ):
        done = subprocess.run([sys.executable, *command], cwd=tmp_path / "src", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "is up to date, skipped" in done.stdout
    assert (tmp_path / "results" / "metrics.json").exists() and len(list((tmp_path / "models").iterdir())) == 1
    assert not (tmp_path / "src" / "results").exists()


@pytest.mark.slow
def test_wrong_input_is_one_line_and_code_1(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "src" / "3_train_classifiers.py"), "--npz-path", str(tmp_path / "none.npz")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and "2_wavlm" in done.stderr
