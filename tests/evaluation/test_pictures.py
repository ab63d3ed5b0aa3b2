"""Pictures: characters that matplotlib's font lacks come from an installed font, or one line says that they do not."""

import logging
import warnings

import made
import matplotlib
import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from speechemb.visualization import comparison_figures, evaluation_figures, map_figures, style

CHINESE, HINDI = "\u9ad8\u5174", "\u0926\u0941\u0903\u0916"


@pytest.fixture(autouse=True)
def own_fonts(monkeypatch):
    """Only the fonts that matplotlib brings, and its own settings afterwards."""
    brought = [font for font in font_manager.fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", brought)
    with matplotlib.rc_context(), warnings.catch_warnings():
        yield


def font_with(characters: str, path) -> str:
    """A font whose only glyphs are full squares; its family is `Squares`."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 900), (900, 900), (900, 0)):
        pen.lineTo(point)
    pen.closePath()
    names = [".notdef", *(f"u{ord(c):04x}" for c in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): f"u{ord(c):04x}" for c in characters})
    builder.setupGlyf({name: pen.glyph() for name in names})
    builder.setupHorizontalMetrics({name: (1000, 0) for name in names})
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, sTypoDescender=-100)
    builder.setupPost()
    builder.save(path)
    return str(path)


def test_an_installed_font_is_used_for_what_the_usual_one_lacks(tmp_path):
    font_manager.fontManager.addfont(font_with(CHINESE, tmp_path / "squares.ttf"))
    assert style.use_fonts_for(["sad", CHINESE]) == ""
    assert matplotlib.rcParams["font.family"] == ["DejaVu Sans", "Squares"]
    figure = evaluation_figures.confusion_matrix(np.eye(2), ["sad", CHINESE], CHINESE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()
    assert style.use_fonts_for(["sad"]) == "" and matplotlib.rcParams["font.family"] == ["sans-serif"]


# Machado, Oliveira, Fernandes 2009, severity 1, for linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(colours, seen_as) -> np.ndarray:
    """CIELAB (n, 3) of sRGB hex colours as a reader with this colour blindness sees them."""
    rgb = np.array([matplotlib.colors.to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = (np.clip(linear @ np.array(seen_as).T, 0, 1) @ XYZ.T / XYZ.sum(axis=1)).T
    f = [np.where(v > 216 / 24389, np.cbrt(v), (24389 / 27 * v + 16) / 116) for v in (x, y, z)]
    return np.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])], axis=1)


@pytest.mark.parametrize("kind", BLINDNESS)
def test_emotions_differ_for_a_colour_blind_reader_and_by_marker(kind):
    points = lab(style.COLOURS.values(), BLINDNESS[kind])
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert distances[np.triu_indices(len(points), 1)].min() > 15
    assert len(set(style.MARKERS.values())) == len(style.COLOURS) == len(style.MARKERS)


def test_what_the_pictures_show_of_few_and_of_no_clips():
    figure = evaluation_figures.confusion_matrix(np.array([[3, 0], [1, 2]]), ["sad", "happy"], "t")
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["", "100%\n3", "33%\n1", "67%\n2"]
    edges = np.linspace(0, 1, 5)
    bins = {"edges": edges, "count": np.array([0, 1, 30, 100.0]), "accuracy": np.array([np.nan, 1, 0.5, 0.9])}
    figure = evaluation_figures.reliability(bins | {"confidence": np.array([np.nan, 0.4, 0.6, 0.9])}, "s", "t")
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    sizes = [line.get_markersize() for line in dots]
    assert len(dots) == 3 and sizes == sorted(sizes) and sizes[0] < sizes[2]
    assert [line.get_markerfacecolor() == "white" for line in dots] == [True, False, False]


def test_few_points_are_drawn_larger_and_many_speakers_have_no_legend():
    def drawn(n, speakers):
        names = np.array([f"c/{i % speakers}" for i in range(n)])
        points = np.random.default_rng(0).normal(size=(n, 2))
        one = map_figures.EmbeddingMap("e-mean_std", ["c"], points, np.full(n, "sad"), names, {"emotion": "7% share"})
        return map_figures.map_pair(one).axes

    few, many = drawn(60, 5), drawn(6000, 50)
    assert few[0].collections[0].get_sizes()[0] > 4 * many[0].collections[0].get_sizes()[0]
    assert "e-mean_std" in few[0].get_title() and "7% share" in few[0].get_title()
    assert [text.get_text() for text in few[1].get_legend().get_texts()] == list("01234")
    assert many[1].get_legend() is None and "too many for a legend" in many[1].get_title()


def test_the_layer_curve_shows_what_varies_and_marks_the_best():
    uar = np.array([0.70, 0.72, 0.71])
    curve = pd.DataFrame({"layer": range(3), "uar": uar, "uar_low": uar - 0.02, "uar_high": uar + 0.02})
    figure = comparison_figures.layer_curve(curve.assign(chance_uar=0.125), "t")
    low, high = figure.axes[0].get_ylim()
    assert 0.6 < low < 0.68 and 0.74 < high < 0.8 and "chance 0.125" in figure.axes[0].get_ylabel()
    assert "best: layer 1" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.slow
def test_without_such_a_font_one_line_says_so(script, tmp_path, caplog, recwarn):
    vectors, labels, speakers = made.planted(speakers=4)
    names = {"sad": CHINESE, "happy": HINDI}
    npz = made.npz(tmp_path / "e.npz", vectors, [names.get(label, label) for label in labels], speakers)
    where = ["--results-dir", str(tmp_path / "results")]
    models = ["--classifier", "svm", "--n-folds", "2", "--models-dir", str(tmp_path)]
    script("3_train_classifiers").main(["--npz-path", str(npz), *models, *where])
    for step, flags in (("4_evaluation_metrics", []), ("5_visualization_umap", ["--npz-path", str(npz)])):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            script(step).main([*where, *flags])
        (line,) = [record.getMessage() for record in caplog.records if "font" in record.getMessage()]
        assert line.startswith("no installed font has ") and set(CHINESE + HINDI) <= set(line)
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
