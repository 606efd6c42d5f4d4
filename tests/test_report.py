"""The report: the page shows what the records hold, tolerates damaged ones, and loads nothing from the network."""

import json
import runpy
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from linmem import cli
from linmem.experiments import capacity, parameters
from linmem.experiments.harness import catalog, reproduce
from linmem.experiments.harness.catalog import load_experiment
from linmem.experiments.harness.records import require_records
from linmem.experiments.report import page
from linmem.experiments.report.markup import html, picture
from linmem.reporting import figures
from linmem.reporting.output import figure

pytest.importorskip("markdown_it", reason="the report needs markdown-it-py")
pytest.importorskip("jinja2", reason="the report needs jinja2")

KEPT = Path(__file__).parent.parent / "results"
NAMES = ("table1", "parameters", "capacity")  # quick, with and without pictures; table1 is not run here


class Page(HTMLParser):
    """Sections by id of their heading, cells of their tables, and every address on the page."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.addresses, self.images, self.scripts, self.section = {}, [], [], 0, ""
        self._cell = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.addresses += [attributes[name] for name in ("src", "href", "srcset", "action") if name in attributes]
        self.scripts += tag == "script"
        if tag == "section":
            self.section = attributes["aria-labelledby"]
        if tag == "img":
            self.images.append((self.section, attributes["alt"]))
        if tag in ("td", "th"):
            self._cell = []

    def handle_data(self, data):
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cells.setdefault(self.section, []).append("".join(self._cell).strip())
            self._cell = None


def set_experiments(monkeypatch, names):
    """Let the catalogue hold these experiments alone."""
    for module in (catalog, reproduce):
        monkeypatch.setattr(module, "EXPERIMENTS", names)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """Results of two quick experiments."""
    folder = tmp_path_factory.mktemp("smoke")
    for name in NAMES[1:]:
        reproduce.reproduce(name, folder, grid="smoke")
    return folder


@pytest.fixture
def results(smoke, tmp_path, monkeypatch):
    """A copy of them, of which only the lines are there."""
    set_experiments(monkeypatch, NAMES)
    for path in smoke.glob("*.jsonl"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.fixture
def without_pictures(results, monkeypatch):
    """The same without the experiment that draws, which takes most of the time."""
    set_experiments(monkeypatch, NAMES[:2])
    (results / "capacity.jsonl").unlink()
    return results


@pytest.fixture(scope="module")
def kept_page():
    if not KEPT.is_dir():
        pytest.skip("only a checkout has the kept results")
    return page.rendered(KEPT)


def cells_of_markdown(text):
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [cell.strip() for row in rows for cell in row.strip("|").split("|")]


def test_a_markdown_table_keeps_its_cells():
    text = "of *this*:\n\n| a | b < c |\n|---|--:|\n| x & y | 1.0 |\n| ü | – |"
    found = html(text, "a table")
    assert Page(found).cells == {"": ["a", "b < c", "x & y", "1.0", "ü", "–"]}
    assert "<caption>of <em>this</em>:</caption>" in found
    assert found.count('scope="col"') == found.count('scope="row"') == 2


def test_markdown_cannot_fetch_or_inject():
    found = Page(html("![seen](http://example.org/x.png) <img src=y> <script>z</script>\n\n# head", "a text"))
    assert not found.images
    assert not found.scripts


def test_a_heading_goes_below_the_experiment_s():
    assert html("# a", "a text") == "<h3>a</h3>\n"


def test_names_of_classes_may_hold_dollar_signs(tmp_path):
    with figure(tmp_path / "matrix.png", 1) as (axes,):
        figures.confusion_matrix(axes, np.eye(2, dtype=int), ["$^$", "b"])
    assert (tmp_path / "matrix.png").stat().st_size > 0


def test_a_picture_says_what_it_shows(tmp_path):
    with figure(tmp_path / "seen.png", 2) as (left, right):
        left.plot([1, 2], [0.5, 0.25], label="ours")
        left.set(title="“ρ²”", xlabel="lag", ylabel="error")
        right.plot([1], [1])
    seen = picture(tmp_path / "seen.png", "unused")
    assert seen.words == "“ρ²”: error against lag: ours from 0.5 to 0.25. values against index"
    assert seen.source.startswith("data:image/png;base64,")
    assert (seen.width, seen.height) == (1800, 600)


def test_the_page_has_every_cell_of_the_tables_and_needs_only_the_lines(results):
    rendered = page.rendered(results)
    found = Page(rendered)
    for name in NAMES[1:]:
        shown = cells_of_markdown(reproduce.show(name, results).split("\n\nTargets:")[0])
        assert found.cells[name] == shown
        assert [row["target"] for row in page.part(name, results).targets] == [
            one.statement
            for one in load_experiment(name).targets([r["result"] for r in require_records(name, results)])
        ]
    assert page.rendered(results) == rendered  # now that there are tables and pictures beside the lines
    assert [section for section, _ in found.images] == ["parameters", "capacity"]
    assert "independent, 6 units: ρ² against lag" in found.images[1][1]


def test_nothing_on_the_page_has_an_address_elsewhere(kept_page):
    found = Page(kept_page)
    assert not found.scripts
    assert all(address.startswith(("#", "data:")) for address in found.addresses)
    assert "@import" not in kept_page
    assert "url(" not in kept_page
    assert all(alt.strip() for _, alt in found.images)


def test_every_experiment_says_where_it_stands(results):
    lines = (results / "capacity.jsonl").read_text().splitlines(keepends=True)
    (results / "capacity.jsonl").write_text("".join(lines[:-1]))
    parts = {name: page.part(name, results) for name in NAMES}
    assert {name: one.state for name, one in parts.items()} == {
        "table1": "not run",
        "parameters": "complete",
        "capacity": "incomplete",
    }
    assert all(
        "incomplete run" in row["reached"] for row in parts["capacity"].targets if row["reached"] != "not measured"
    )
    assert f"linmem reproduce table1 --out {results}" in parts["table1"].commands.values()
    assert f"linmem reproduce capacity --out {results}" in parts["capacity"].commands.values()
    assert parts["parameters"].facts["grid"] == "smoke"
    assert parts["parameters"].facts["seeds"] == "0"
    rendered = page.rendered(results)
    assert "1 complete, 1 incomplete, 1 not run" in rendered
    assert "0 reached, 0 not reached, 5 not measured, 9 of incomplete or smoke runs" in rendered


def test_commands_of_the_usual_folder_need_no_folder():
    lines = [{"grid": "small"}]
    found = page._commands("multiscale", "complete", lines, load_experiment("multiscale"), Path("results"))
    assert list(found.values()) == [
        "linmem reproduce multiscale",
        "linmem reproduce multiscale --force",
        "linmem reproduce multiscale --grid paper --out results-paper",
    ]


@pytest.mark.parametrize("broken", ["no json", '{"other": 1}', '{"grid": "smoke"', "\xff"])
def test_a_damaged_line_takes_a_line_of_the_page_and_no_more(without_pictures, broken):
    results = without_pictures
    path = results / "parameters.jsonl"
    whole = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([whole[0], broken.encode("latin-1"), *whole[1:]]) + b"\n")
    one = page.part("parameters", results)
    assert one.state == "damaged"
    problem = f"invalid lines 2 of {len(whole) + 1}"
    assert one.problem == f"parameters.jsonl is damaged: {problem}"
    assert "--force" in " ".join(one.commands.values())
    rendered = page.rendered(results)
    assert rendered.count(problem) == 2  # in the overview, and with the experiment
    assert Page(rendered).cells["parameters"] == cells_of_markdown(
        parameters.show([json.loads(line)["result"] for line in whole], results)
    )
    assert "1 not run, 1 damaged" in rendered


@pytest.mark.parametrize("content", [b"", b"no json\n", b"\xff\xfe"])
def test_a_file_without_any_line_is_named(results, content):
    (results / "capacity.jsonl").write_bytes(content)
    one = page.part("capacity", results)
    assert (one.state, one.problem) == ("damaged", "capacity.jsonl is damaged: it has no valid record")
    assert all(row["reached"] == "not measured" for row in one.targets)
    assert "capacity.jsonl is damaged" in reproduce.list_experiments(results)


def test_lines_that_the_module_cannot_show_are_given_as_they_are(results, monkeypatch):
    monkeypatch.setattr(capacity, "show", lambda *_: {}["gone"])
    monkeypatch.setattr(capacity, "targets", lambda *_: {}["gone, too"])
    one = page.part("capacity", results)
    assert one.state == "damaged"
    first = f"record 1 of {len(require_records('capacity', results))}"
    assert one.problem == (
        f"its targets cannot be computed ({first}, KeyError: 'gone, too'); "
        f"its records cannot be shown ({first}, KeyError: 'gone')"
    )
    assert one.body.count("&quot;capacity&quot;") == len(require_records("capacity", results))
    assert "resonant noise" in page.rendered(results)


def test_lines_of_an_experiment_that_is_not_known_are_named(without_pictures):
    (without_pictures / "tomorrow.jsonl").write_text("{}\n")
    assert "tomorrow.jsonl belongs to no experiment" in page.rendered(without_pictures)


def test_the_command_replaces_its_own_page_and_no_other(without_pictures, tmp_path, capsys):
    folder = tmp_path / "page"
    arguments = ["report", "--results", str(without_pictures), "--out", str(folder)]
    for _ in range(2):
        assert cli.main(arguments) == 0
        assert capsys.readouterr().out == f"{folder / 'index.html'}\n"
    (folder / "index.html").write_text("another page")
    assert cli.main(arguments) == 2
    assert "--force" in capsys.readouterr().err
    assert cli.main([*arguments, "--force"]) == 0
    assert page.MADE_BY in (folder / "index.html").read_text()


def test_the_docs_have_the_tables_of_the_kept_lines():
    if not KEPT.is_dir():
        pytest.skip("only a checkout has the docs and the kept results")
    changed = subprocess.run(["git", "status", "--porcelain", str(KEPT)], cwd=KEPT, capture_output=True, text=True)
    if changed.stdout.strip():
        pytest.skip("results/ has lines that are not committed: an experiment is running, or was")
    page = KEPT.parent / "docs" / "reproduction.md"
    tool = runpy.run_path(str(KEPT.parent / "tools" / "reproduction_page.py"))
    made = tool["with_tables"](page.read_text(), KEPT)
    assert made == page.read_text(), "results/ has changed: run python tools/reproduction_page.py"


def test_without_results_there_is_one_line(tmp_path, capsys):
    assert cli.main(["report", "--results", str(tmp_path / "nowhere"), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("linmem report: results must be an existing folder")
    assert not list(tmp_path.iterdir())
