"""Pictures: characters that matplotlib's font lacks come from an installed font, or one line says that they do not."""

import logging
import warnings

import made
import matplotlib
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from speechemb.visualization import evaluation_figures, style

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
