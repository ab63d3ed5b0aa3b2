"""The report in a browser: it shows what the tables say, plays the clips, and text from data does no harm."""

import re
import shutil

import made
import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from speechemb.reports.page import report

pytestmark = pytest.mark.slow

HARM = "<script>window.harmed=1</script><img src=x onerror=harmed=1>"
ODD = "<b>odd</b>%{x}"  # an emotion
RATE = 16_000
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += [
    "--disable-dev-shm-usage",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


@pytest.fixture(scope="module")
def results(script, tmp_path_factory):
    """Steps 3 to 5 on 120 clips with sound, two classifiers, and names that a page could trip over."""
    folder = tmp_path_factory.mktemp("page")
    vectors, labels, speakers = made.planted(effect=0.6)
    labels = [ODD if label == labels[0] else label for label in labels]
    names = [f"made/{HARM}{i:04d}" for i in range(len(labels))]
    paths = [folder / f"{i:04d}.wav" for i in range(len(labels))]
    for i, path in enumerate(paths):
        sf.write(path, np.sin(2 * np.pi * 440 * np.arange(length(i)) / RATE) / 2, RATE)
    columns = {"clip_ids": names, "paths": [str(path) for path in paths]}
    npz = made.npz(folder / "e.npz", vectors, labels, [f"{HARM}{s}" for s in speakers], **columns)
    where = ["--results-dir", str(folder / "results")]
    train = [*where, "--npz-path", str(npz), "--models-dir", str(folder / "models")]
    script("3_train_classifiers").main([*train, "--classifier", "svm", "logistic"])
    script("5_visualization_umap").main([*where, "--npz-path", str(npz)])
    script("4_evaluation_metrics").main([*where, "--report-audio", "all"])
    return folder / "results"


def length(i: int) -> int:
    return 4000 + 100 * i


def predictions(results, classifier: str = "svm") -> pd.DataFrame:
    (path,) = results.glob(f"predictions_*-{classifier}-*.csv")
    return pd.read_csv(path, keep_default_na=False)


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (requirements-test.txt)")
    if not BROWSER:
        pytest.skip("no chromium on this machine: on Debian, apt install chromium")
    with api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        except api.Error as error:
            pytest.skip(f"{BROWSER} does not start on this machine: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, results):
    """`opened(width, page)`: the page in the browser; at the end nothing was complained of or asked of the network."""
    pages, complaints = [], []

    def open_page(width: int = 1400, path=results / "report.html", **further):
        page = browser.new_page(viewport={"width": width, "height": 900}, **further)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: None if is_local(request.url, path) else complaints.append(request.url))
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield open_page
    assert all(page.evaluate("window.harmed") is None for page in pages)
    for page in pages:
        page.close()
    assert complaints == []


def is_local(url: str, path) -> bool:
    return url == path.as_uri() or url.startswith("data:") or (url.startswith("file:") and url.endswith(".wav"))


def show_map(page):
    page.locator("#maps").scroll_into_view_if_needed()
    page.wait_for_selector("#map-plot .points")


def click_point(page, trace: int, place: int) -> int:
    """Click a point of the map; the number of its clip."""
    found = page.evaluate(
        """([trace, place]) => {
            const plot = document.getElementById("map-plot"), of = plot.data[trace], box = plot.getBoundingClientRect();
            const { xaxis, yaxis } = plot._fullLayout;
            return { number: of.customdata[place], x: box.x + xaxis._offset + xaxis.d2p(of.x[place]),
                     y: box.y + yaxis._offset + yaxis.d2p(of.y[place]) };
        }""",
        [trace, place],
    )
    page.mouse.move(found["x"], found["y"])
    page.wait_for_timeout(200)
    page.mouse.click(found["x"], found["y"])
    return found["number"]


def until(page, expression: str) -> None:
    """Wait for it to be true, without playwright's own way of waiting, which the page's policy forbids."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"not after 10 s: {expression}")


def wait_for_sound(page) -> float:
    """The seconds of the sound that plays, decoded by the browser."""
    until(page, "document.getElementById('sound').currentTime > 0")
    return page.evaluate("document.getElementById('sound').duration")


def test_a_click_on_a_point_plays_that_clip(opened, results):
    page = opened()
    show_map(page)
    number = click_point(page, 1, 3)
    played = page.locator("#playing").inner_text()
    clip = page.evaluate(f"clips.id[{number}]")
    seconds = wait_for_sound(page)
    # Points may lie on each other: the clip that is named is the one that is heard.
    assert played.startswith("made/" + HARM)
    named = int(re.search(r"(\d{4}):", played)[1])
    assert seconds == pytest.approx(length(named) / RATE, abs=0.02)
    assert clip in predictions(results)["clip_id"].tolist()


def test_filters_show_the_clips_that_the_predictions_have(opened, results):
    page = opened()
    show_map(page)
    run = page.locator("#map-run").evaluate("select => select.selectedOptions[0].text")
    rows = predictions(results, "svm" if "-svm-" in run else "logistic")
    wrong = rows[rows["true"] != rows["predicted"]]
    assert page.locator("#map-count").inner_text() == "120 clips shown"
    page.select_option("#map-show", "wrong")
    assert page.locator("#map-count").inner_text() == f"{len(wrong)} clips shown"
    page.select_option("#map-emotion", label=ODD)
    assert page.locator("#map-count").inner_text() == f"{(wrong['true'] == ODD).sum()} clips shown"
    page.locator("#map-clips summary").click()
    listed = page.locator("#map-clips li").all_inner_texts()
    assert len(listed) == (wrong["true"] == ODD).sum() and all(HARM in line for line in listed)
    page.select_option("#map-colour", "speaker")
    page.fill("#map-search", "no such name")
    assert page.locator("#map-count").inner_text() == "0 clips shown"


def test_a_cell_of_the_confusion_matrix_opens_the_clips_behind_it(opened, results):
    page = opened()
    run = page.locator("details.run").first
    name = run.locator("summary").first.inner_text()
    run.locator("summary").first.click()
    rows = predictions(results, "svm" if "-svm-" in name else "logistic")
    mistakes = rows[rows["true"] != rows["predicted"]]
    cell = mistakes.iloc[0]
    labels = run.locator(".confusion thead th").all_inner_texts()[1:]
    true, predicted = labels.index(cell["true"]), labels.index(cell["predicted"])
    button = run.locator(f"button[data-true='{true}'][data-predicted='{predicted}']")
    expected = mistakes[(mistakes["true"] == cell["true"]) & (mistakes["predicted"] == cell["predicted"])]
    assert button.inner_text() == str(len(expected))
    button.focus()
    page.keyboard.press("Enter")
    listed = run.locator(".behind li").all_inner_texts()
    assert {re.search(r"\d{4}", line)[0] for line in listed} == {name[-4:] for name in expected["clip_id"]}
    run.locator(".behind button").first.click()
    assert wait_for_sound(page) == pytest.approx(length(int(re.search(r"\d{4}", listed[0])[0])) / RATE, abs=0.02)


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_every_chart_is_drawn_and_nothing_is_wider_than_the_window(opened, width, scheme):
    page = opened(width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    charts = page.locator(".chart").count()
    for place in range(charts):
        page.locator(".chart").nth(place).scroll_into_view_if_needed()
        page.wait_for_timeout(100)
    until(page, f"document.querySelectorAll('.chart.js-plotly-plot').length === {charts}")
    assert charts >= 1 + 2 * 4
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


def test_without_embedded_sound_the_clips_play_from_their_files(opened, results, script, tmp_path):
    shutil.copytree(results, tmp_path / "results")
    script("4_evaluation_metrics").main(["--results-dir", str(tmp_path / "results"), "--report-audio", "none"])
    path = tmp_path / "results" / "report.html"
    text = path.read_text()
    assert 'type="text/plain" id="sound-' not in text and "holds no recordings" in text
    page = opened(path=path)
    page.locator("details.run summary").first.click()
    page.locator("details.run tr .play").first.click()
    assert wait_for_sound(page) > 0.2


def test_the_page_says_what_the_tables_say(results):
    text = (results / "report.html").read_text()
    rows = pd.read_csv(results / "comparison.csv")
    assert all(f"{uar:.3f}" in text for uar in rows["uar"])
    best = rows.loc[rows["uar"].idxmax()]
    (verdict,) = re.findall(r'class="verdict">(.*?)</p>', text)
    assert f"UAR of {best['uar']:.3f} (95 % interval {best['uar_low']:.3f} to {best['uar_high']:.3f}" in verdict
    assert "120 recordings of 10 speakers of made" in text
    assert HARM not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


def test_equal_results_are_equal_pages_and_step_5_only_changes_the_map(results, script, tmp_path):
    shutil.copytree(results, tmp_path / "results")
    page = tmp_path / "results" / "report.html"
    before = page.read_text()
    script("4_evaluation_metrics").main(["--results-dir", str(tmp_path / "results"), "--report-audio", "all"])
    command = re.compile(r"<code>python src/4_.*?</code>")
    assert command.sub("", page.read_text()) == command.sub("", before)
    table = pd.read_csv(results / "umap_emotion.csv").assign(x=0.0)
    assert report.refresh_map(tmp_path / "results", table)
    after = page.read_text()
    assert after != before and len(after) < len(before)
    assert report.refresh_map(tmp_path / "results", pd.read_csv(results / "umap_emotion.csv"))
    assert page.read_text() == before or command.sub("", page.read_text()) == command.sub("", before)
    page.write_text("<p>another page")
    assert not report.refresh_map(tmp_path / "results", table) and page.read_text() == "<p>another page"


def test_a_page_of_more_clips_than_it_can_show_says_so(script, tmp_path):
    vectors, labels, speakers = made.planted(effect=0.6)
    n = 10_080 // len(labels)
    npz = made.npz(tmp_path / "e.npz", np.tile(vectors, (n, 1)), np.tile(labels, n), np.tile(speakers, n))
    where = ["--results-dir", str(tmp_path)]
    train = [*where, "--npz-path", str(npz), "--models-dir", str(tmp_path / "models")]
    script("3_train_classifiers").main([*train, "--classifier", "logistic", "--n-folds", "2"])
    script("4_evaluation_metrics").main(where)
    text = (tmp_path / "report.html").read_text()
    assert "Lists and map show 10000 of 10080 clips, drawn at random" in text
