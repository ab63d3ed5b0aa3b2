"""The comparison table as Markdown and LaTeX says what comparison.csv says."""

import re

import made
import numpy as np
import pandas as pd
import pytest

from speechemb.reports import tables

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(script, tmp_path_factory):
    """Step 4 on two classifiers with speaker folds and one with random folds."""
    folder = tmp_path_factory.mktemp("tables")
    vectors, labels, speakers = made.planted(effect=0.6)
    npz = made.npz(folder / "e.npz", vectors, labels, speakers)
    where = ["--models-dir", str(folder / "models"), "--results-dir", str(folder / "results")]
    train = script("3_train_classifiers").main
    train(["--npz-path", str(npz), "--classifier", "svm", "logistic", *where])
    train(["--npz-path", str(npz), "--classifier", "svm", "--cv", "random", *where])
    script("4_evaluation_metrics").main(["--results-dir", str(folder / "results"), "--figures", "svg"])
    return folder / "results"


def numbers(row) -> list[str]:
    uar = f"{row.uar:.3f} [{row.uar_low:.3f}, {row.uar_high:.3f}]"
    return [uar, f"{row.uar_fold_mean:.3f} ± {row.uar_fold_std:.3f}", f"{row.accuracy:.3f}", f"{row.macro_f1:.3f}"]


def test_markdown_and_latex_hold_the_rows_of_the_csv(results):
    expected = [numbers(row) for row in pd.read_csv(results / "comparison.csv").itertuples()]
    page = (results / "comparison.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| made ")]
    assert [row[1:] for row in rows] == expected
    assert page.count("### made, 4 classes, ") == 2 and "120 clips, 10 speakers, chance UAR 0.250" in page
    latex = (results / "comparison.tex").read_text().replace(r"$\pm$", "±")
    rows = [line.removesuffix(r" \\").split(" & ") for line in latex.splitlines() if line.startswith("made ")]
    assert [row[1:] for row in rows] == expected
    assert latex.count(r"\begin{table}") == latex.count(r"\end{table}") == 2


def test_what_latex_would_read_as_a_command_is_escaped(results):
    table = pd.read_csv(results / "comparison.csv", keep_default_na=False)[:1].assign(encoder=r"a_b%c&d\e{f}^~#$")
    text = tables.latex(table)
    assert r"a\_b\%c\&d\textbackslash{}e\{f\}\textasciicircum{}\textasciitilde{}\#\$ mean" in text
    body = re.sub(r"\\[%&_#${}]", "", text)
    assert "%" not in body and body.count("&") == 2 * (len(tables.HEAD) - 1)


def test_a_run_without_interval_and_an_unusual_one_say_so(results):
    table = pd.read_csv(results / "comparison.csv", keep_default_na=False)[:1]
    table = table.assign(uar_low=np.nan, uar_high=np.nan, uar_fold_std=np.nan, note="transductive | other task")
    (line,) = [line for line in tables.markdown(table).splitlines() if line.startswith("| made ")]
    assert "[no interval]" in line and "±" not in line and r"(transductive \| other task)" in line


def test_each_picture_is_a_vector_graphic_too_and_equal_pictures_are_equal_files(results, script):
    drawings = {path: path.read_bytes() for path in results.rglob("*.svg")}
    assert {path.with_suffix(".png") for path in drawings} == set(results.rglob("*.png")) and len(drawings) >= 10
    assert all(content.startswith(b"<?xml") for content in drawings.values())
    script("4_evaluation_metrics").main(["--results-dir", str(results), "--figures", "svg"])
    assert {path: path.read_bytes() for path in results.rglob("*.svg")} == drawings
    script("4_evaluation_metrics").main(["--results-dir", str(results)])
    assert not list(results.rglob("*.svg"))  # of the run before: they may show other figures
