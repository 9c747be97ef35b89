"""The page in a real browser: Chromium without a network, a phone's and a desktop's width, light and dark."""

import shutil

import numpy as np
import pytest
from PIL import Image

from braincog_tmkt.results.report import write_report

from .test_report import SHARES, contrast, records

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]
COLOURS = """() => [getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor,
    getComputedStyle(document.querySelector('svg text')).fill]"""


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on the PATH")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_report(records(), tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture
def visit(browser, file):
    opened = []

    def open_page(width=1200, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
        opened.append(context)
        page = context.new_page()
        page.complaints, page.requests = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in opened:
        context.close()


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_fetched_and_nothing_sticks_out(visit, file, width, tmp_path):
    page = visit(width)
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:")] == [file.as_uri()]
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=tmp_path / "page.png")
    assert np.asarray(Image.open(tmp_path / "page.png").convert("L")).std() > 5


def test_both_schemes_are_legible_and_differ(visit):
    seen = {scheme: visit(scheme=scheme).evaluate(COLOURS) for scheme in ("light", "dark")}
    assert seen["light"] != seen["dark"]
    for text, ground, chart in seen.values():
        assert contrast(hexadecimal(text), hexadecimal(ground)) >= 4.5
        assert chart == text


def hexadecimal(colour):
    return "".join(f"{int(value):02x}" for value in colour.removeprefix("rgb(").removesuffix(")").split(","))


def test_what_is_read_aloud_and_what_is_seen(visit):
    page = visit()
    spoken = page.locator("body").aria_snapshot()
    assert spoken.count('heading "Finished runs" [level=1]') == 1
    assert page.get_by_role("img").count() == page.locator("svg, img").count() > 0
    assert all(chart.get_attribute("aria-label") for chart in page.locator("svg").all())
    share = 100 * np.array(list(SHARES["ncaltech101/tmkt"].values()))
    table = page.get_by_role("region", name="Table 1: Comparison with existing works")
    row = table.last.get_by_role("row").filter(has=page.get_by_role("rowheader", name="TMKT"))
    assert f"{share.mean():.2f} ± {share.std(ddof=1):.2f} (3)" in row.first.inner_text()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
