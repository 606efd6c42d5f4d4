"""The report in a real browser, without a network: it fits a phone, asks for nothing, and can be read in the dark."""

import shutil
from pathlib import Path

import pytest

from linmem.experiments.report import page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
pytest.importorskip("markdown_it", reason="the report needs markdown-it-py")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
KEPT = Path(__file__).parent.parent / "results"
SHOWN = (("phone", "light"), ("phone", "dark"), ("tablet", "light"), ("desktop", "dark"))
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1280, 900)}

# Everything folded is opened first. Widths in CSS pixels; a frame may scroll within itself, the page may not.
MEASURE = """() => {
  document.querySelectorAll('details').forEach(one => one.open = true);
  const width = document.documentElement.clientWidth;
  const hex = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = one => { for (; one; one = one.parentElement) {
    const colour = hex(getComputedStyle(one).backgroundColor); if (colour.length < 4 || colour[3] > 0) return colour; }
    return [255, 255, 255]; };
  const contrast = one => { const [a, b] = [light(hex(getComputedStyle(one).color)), light(ground(one))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); };
  const spoken = [...document.querySelectorAll('body *')].filter(one => one.getClientRects().length &&
    [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()));
  return {
    page: document.documentElement.scrollWidth, width,
    wide: [...document.querySelectorAll('main *')].filter(one => !one.parentElement.closest('.frame, pre, thead')
      && one.getBoundingClientRect().right > width + 0.5).map(one => one.outerHTML.slice(0, 200)),
    images: [...document.images].map(one => [one.complete && one.naturalWidth > 0, one.alt.length > 0]),
    faint: spoken.filter(one => contrast(one) < 4.5).map(one => one.outerHTML.slice(0, 200)),
    text: spoken.length,
    headless: [...document.querySelectorAll('table')].filter(one => !one.querySelector('thead th[scope=col]')).length,
    unheard: [...document.querySelectorAll('.frame')].filter(one => one.tabIndex !== 0 || !one.ariaLabel).length,
    headings: [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(one => Number(one.tagName[1])),
    targets: [...document.querySelectorAll('a[href^="#"]')].filter(one => !document.querySelector(one.hash)).length,
    twice: (ids => ids.length - new Set(ids).size)([...document.querySelectorAll('[id]')].map(one => one.id)),
    language: document.documentElement.lang, title: document.title,
    ground: getComputedStyle(document.body).backgroundColor,
  };
}"""


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_of_results(tmp_path_factory):
    if not KEPT.is_dir():
        pytest.skip("only a checkout has the kept results")
    return page.write(KEPT, tmp_path_factory.mktemp("page"))


def seen(browser, page, size, colours="light"):
    """Return what a browser measures on a page, what it requested besides, and its console messages."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, is_mobile=size != "desktop", color_scheme=colours, offline=True
    )
    requested, complaints = [], []
    tab = context.new_page()
    tab.on("request", lambda request: requested.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(page.as_uri())
    found = tab.evaluate(MEASURE)
    context.close()
    return found | {
        "requested": [url for url in requested if url != page.as_uri() and not url.startswith("data:")],
        "complaints": complaints,
    }


@pytest.mark.parametrize(("size", "colours"), SHOWN)
def test_the_page_of_the_kept_results(browser, page_of_results, size, colours):
    found = seen(browser, page_of_results, size, colours)
    assert found["requested"] == found["complaints"] == []
    assert found["width"] == SIZES[size][0]
    assert found["page"] <= found["width"]
    assert found["wide"] == []
    assert found["images"]
    assert all(loaded and told for loaded, told in found["images"])
    assert found["text"] > 100
    assert found["faint"] == []  # WCAG 2, AA: 4.5 to 1
    assert (found["headless"], found["unheard"], found["targets"], found["twice"]) == (0, 0, 0, 0)
    assert found["headings"][0] == 1
    assert found["headings"].count(1) == 1
    assert all(next_ <= level + 1 for level, next_ in zip(found["headings"], found["headings"][1:], strict=False))
    assert found["language"].startswith("en")
    assert found["title"]
    assert (max(map(int, found["ground"].removeprefix("rgb(").rstrip(")").split(","))) < 80) == (colours == "dark")


def test_the_browser_would_notice(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'><main id=a><p id=a style='color: #aaa'>faint"
        "<img src='http://example.org/a.png'><img src='data:image/png;base64,AAAA' alt='broken'>"
        "<table style='width: 900px'><tr><td>wide</td></tr></table><a href='#nowhere'>lost</a></main>"
    )
    found = seen(browser, page, "phone")
    assert found["requested"] == ["http://example.org/a.png"]
    assert found["page"] > 390
    assert found["images"] == [[False, False], [False, True]]
    assert len(found["faint"]) == 1
    assert (found["headless"], found["targets"], found["twice"]) == (1, 1, 1)
    assert found["wide"]
