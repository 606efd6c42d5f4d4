"""The built site in a real browser, at desktop and phone width, light and dark, without a network.

`make docs` builds the site; without it, or without Chromium, the tests are skipped.
"""

import os
import shutil
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SITE = Path(os.environ.get("LINMEM_SITE", Path(__file__).parent.parent / "docs" / "_build" / "html"))
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
GENERATED = ("genindex.html", "search.html", "py-modindex.html")

# Text that is larger than the window must scroll in its own frame; pictures must have loaded.
MEASURE = """() => ({
  page: document.documentElement.scrollWidth,
  width: document.documentElement.clientWidth,
  broken: [...document.images].filter(one => !(one.complete && one.naturalWidth > 0)).map(one => one.src),
  nameless: [...document.querySelectorAll('article img')].filter(one => !one.hasAttribute('alt')).map(one => one.src),
  dark: getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).slice(0, 3).every(v => Number(v) < 80),
  // A picture with transparent or white ground stands on a light card, so that dark labels stay legible.
  cards: [...document.querySelectorAll('article img')].map(one => getComputedStyle(one).backgroundColor),
})"""


def site_pages():
    """Pages of the site by their path; a sample of the API pages, which all have one form."""
    if not SITE.is_dir():
        return []
    paths = [path.relative_to(SITE).as_posix() for path in sorted(SITE.rglob("*.html"))]
    api = [path for path in paths if path.startswith("api/generated/")]
    return [path for path in paths if path not in api and path not in GENERATED] + api[::10]


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    if not SITE.is_dir():
        pytest.skip(f"no site at {SITE}: make docs")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.mark.parametrize(("size", "colours"), [("desktop", "light"), ("phone", "dark")])
def test_the_site_fits_the_window_and_complains_of_nothing(browser, size, colours):
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, is_mobile=size == "phone", color_scheme=colours, offline=True
    )
    tab = context.new_page()
    complaints, foreign, wide, pictures = [], [], [], []
    tab.on("console", lambda message: complaints.append((tab.url, message.text)))
    tab.on("pageerror", lambda error: complaints.append((tab.url, str(error))))
    tab.on("request", lambda request: foreign.append(request.url) if request.url[:4] == "http" else None)
    for page in site_pages():
        tab.goto((SITE / page).as_uri())
        found = tab.evaluate(MEASURE)
        if found["page"] > found["width"]:
            wide.append((page, found["page"], found["width"]))
        pictures += [(page, source) for source in found["broken"] + found["nameless"]]
        assert found["dark"] == (colours == "dark")
        if colours == "dark":
            assert all(card == "rgb(255, 255, 255)" for card in found["cards"]), page
    context.close()
    assert (complaints, foreign, wide, pictures) == ([], [], [], [])


def test_the_browser_would_notice(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'><article><img src='missing.png'>"
        "<div style='width: 900px'>wide</div></article><script>console.error('no')</script>"
    )
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True)
    tab, complaints = context.new_page(), []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.goto(page.as_uri())
    found = tab.evaluate(MEASURE)
    context.close()
    assert found["page"] > 390
    assert len(found["broken"]) == len(found["nameless"]) == 1
    assert "no" in complaints
