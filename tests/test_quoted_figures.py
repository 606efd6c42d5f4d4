"""Every figure of an experiment that README and docs/reproduction.md quote is found in results/.

The findings of docs/reproduction.md name their experiment; numbers with decimals must be numbers of that experiment's
tables, to the decimals quoted. README's tables are compared cell by cell, but not that of joint models and the
figures of speed, which come from benchmarks that keep no records here.
"""

import json
import re
from dataclasses import asdict
from itertools import dropwhile, takewhile
from pathlib import Path

import pytest

from linmem.experiments import table2_fair
from linmem.experiments.table2 import published
from linmem.storage.atomic import read_lines

ROOT = Path(__file__).parent.parent
RESULTS, PAGE, README = ROOT / "results", ROOT / "docs" / "reproduction.md", ROOT / "README.md"
SETS = ("jsb_chorales", "piano_midi", "nottingham", "muse_data")  # the columns of README's table
ROWS = {
    "persistence": "persistence",
    "RNN": "RNN",
    "GRU": "GRU",
    "LSTM": "LSTM",
    "LMN-A": "LMN-A",
    "LMN-B": "LMN-B",
    "diagonal LMN-B": "LMN-B, diagonal",
    "pretrained LMN-B": "pret-LMN-B",
    "solved memories": "solved",
}
pytestmark = pytest.mark.skipif(not RESULTS.is_dir(), reason="only a checkout has the kept results")


def findings():
    """Experiment and text of every finding."""
    text = PAGE.read_text()
    text = text[text.index("## Findings") : text.index("## Sweeps")]
    return [(re.match(r"\*\*`(\w+)`", one)[1], one) for one in re.split(r"\n- (?=\*\*`)", text)[1:]]


def quoted(text):
    """Numbers with decimals in a text, as they are written."""
    return re.findall(r"(?<![\w.^])\d[\d,]*\.\d+(?![\d.])", text)


def cells(line):
    """Cells of a line of a Markdown table."""
    return [cell.strip().strip("*") for cell in line.strip().strip("|").split("|")]


def as_number(text):
    """The number of a cell, the mean of `mean ± deviation`."""
    return float(text.split(" ")[0].replace(",", ""))


def shown(name):
    """All numbers of an experiment's tables, and how far each error lies above the bound of its row, in per cent."""
    text = (RESULTS / f"{name}.md").read_text()
    numbers = [as_number(one) for one in re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?", text)]
    for table in text.split("\n\n"):
        head, *rows = [cells(line) for line in table.splitlines() if line.startswith("| ")] or [[]]
        if "bound" in head:
            place = head.index("bound")
            numbers += [100 * (as_number(cell) / as_number(row[place]) - 1) for row in rows for cell in row[1:]]
    return numbers


def is_found(number, numbers):
    """Whether a number is among others to its decimals; these are rounded themselves."""
    half = 0.5 * 10.0 ** -len(number.partition(".")[2])
    return any(abs(other - as_number(number)) <= half * (1 + 1e-9) for other in numbers)


@pytest.mark.parametrize("index", range(len(findings())) if PAGE.exists() and RESULTS.is_dir() else [])
def test_every_figure_of_a_finding_is_in_the_tables_of_its_experiment(index):
    name, text = findings()[index]
    numbers = shown(name)
    missing = [number for number in quoted(text) if not is_found(number, numbers)]
    assert not missing, f"{name}: {missing}"


def test_a_figure_that_was_not_measured_is_noticed():
    numbers = shown("table2_fair")
    assert is_found("9.017", numbers)
    assert not is_found("9.019", numbers)
    assert quoted("pretrained LMN-B 35.26 % and 8.252 nats, 47,888 parameters, 10^-2.9") == ["35.26", "8.252", "2.9"]
    assert len([number for _, text in findings() for number in quoted(text)]) > 100


def test_the_cost_of_the_fair_protocol_is_that_of_its_record_and_its_trials():
    records = read_lines(RESULTS / "table2_fair.jsonl")
    small = table2_fair.GRIDS["small"]
    planned = {without_length(asdict(one)) for runs in table2_fair.plan(small, 0).values() for one in runs}
    trained = [
        one
        for one in read_lines(RESULTS / "trials" / "runs-49f0a50618cc9a3c.jsonl")  # those of the recorded code
        if without_length(one["options"]) in planned
    ]
    searches = {search.data: search for search in small.searches}
    short = [
        one for one in trained if one["options"]["training"]["max_epochs"] in searches[one["options"]["data"]].rungs
    ]
    diverged = [one["state"] == "failed" for one in short].count(True)
    in_full = [one["summary"]["epochs"] for one in trained if one["state"] == "complete" and one not in short]
    text = " ".join(PAGE.read_text().split())
    for sentence in (
        f"took {records[-1]['cpu_seconds']:,.0f} CPU seconds",
        f"{len(short)} short runs, of which {diverged} diverged",
        f"{len(trained) - len(short)} in full, {sum(in_full) / len(in_full):.0f} epochs on average",
    ):
        assert sentence in text


def without_length(options):
    """The options of a run as text, without seed and limit of epochs."""
    training = {k: v for k, v in options["training"].items() if k not in ("seed", "max_epochs")}
    return json.dumps(options | {"training": training}, sort_keys=True)


def test_what_is_said_of_the_trials_of_lmn_a_under_l18_s_options_is_in_the_kept_trials():
    trials = [
        one
        for one in read_lines(RESULTS / "trials" / "runs-49f0a50618cc9a3c.jsonl")  # those of the recorded code
        if (one["options"]["model"]["model"], one["options"]["model"]["weight_init"]) == ("lmn-a", "uniform")
        and (one["options"]["training"]["max_epochs"], one["options"]["training"]["patience"]) == (1000, 20)  # L18's
        and not one["options"]["model"]["limit_norms"]
        and one["options"]["training"]["seed"] == 0
    ]
    losses = {
        max(model["hidden_size"], model["memory_size"]): one["valid_loss"]
        for one in sorted(trials, key=lambda one: one["valid_loss"] or 0)  # the largest of every size
        if one["state"] == "complete" and (model := one["options"]["model"])
    }
    complete = [one["valid_loss"] for one in trials if one["state"] == "complete"]
    assert f"{min(complete):.2f}" == "10.97"
    assert f"{max(complete):.0f}" == "24"
    assert max(loss for units, loss in losses.items() if units <= 100) < 11
    text = " ".join(PAGE.read_text().split())
    largest = {one["state"] for one in trials if one["options"]["model"]["memory_size"] == 500}
    assert largest == {"failed"}
    diverged = f"Of the {len(trials)} trials of the LMN-A {len(trials) - len(complete)} diverged"
    diverged += ", among them all of 500 memory units"
    ends = f"the other {len(complete)} end between 10.97 and 24 nats on valid, those of at most 100 units below 11"
    assert f"{diverged}; {ends}" in text
    of_lmn_a = [one["result"] for one in read_lines(RESULTS / "table2_paper.jsonl") if one["result"]["row"] == "LMN-A"]
    assert [one["diverged"] for one in of_lmn_a].count(True) == 1
    assert "one of its three seeds diverged" in text


def measured():
    """Cells of the tables with at most 50,000 weights under the protocol that all models share, by set, row, column."""
    found = {}
    for part in (RESULTS / "table2_fair.md").read_text().split("\n\n**")[1:]:
        title, _, table = part.partition("\n\n")
        columns, *rows = [cells(line) for line in table.split("\n\n")[0].splitlines() if line.startswith("| ")]
        found[title.split("**")[0]] = {row[0]: dict(zip(columns, row, strict=True)) for row in rows}
    return {name: found[f"{name}, fair, at most 50,000 weights protocol"] for name in SETS}


def readme_table(words):
    """Cells of the first table of README after a line with `words`, by the first cell of a row."""
    lines = README.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if words in line)
    table = takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: line[:1] != "|", lines[start:]))
    return {row[0]: row[1:] for row in map(cells, table)}


def test_readme_s_table_of_equal_weights_is_that_of_the_results():
    rows, page = readme_table("by `linmem reproduce parameters`"), (RESULTS / "parameters.md").read_text()
    limits = [int(cell.replace(",", "")) for cell in rows["at most … weights"]]
    for name in ("LSTM", "GRU", "LMN-B", "pretrained LMN-B"):
        line = next(one for one in page.splitlines() if one.startswith(f"| {ROWS.get(name, name)} "))
        assert rows[name] == [cell.split(" / ")[1].split(" ")[0] for cell in cells(line)[1:]]
    header = next(one for one in page.splitlines() if one.startswith("| model ") and "12500" in one)
    assert limits == [int(cell) for cell in cells(header)[1:]]


def test_readme_s_table_of_limits_on_norms_is_that_of_the_results():
    rows, page = (
        readme_table("the trial chosen on the validation split for each column"),
        (RESULTS / "table2_fair.md").read_text(),
    )
    for name in ("LMN-A", "LMN-B", "pretrained LMN-B", "GRU", "LSTM"):
        found = []
        for data in ("jsb_chorales", "piano_midi"):
            part = page[page.index(f"**{data}, fair, at most 50,000 weights protocol**") :].split("\n\n")[1]
            columns, *lines = [cells(line) for line in part.splitlines() if line.startswith("| ")]
            nll = {line[0]: line[columns.index("NLL")] for line in lines}
            row = ROWS.get(name, name)
            found += [nll[row], nll.get(f"{row}, limited norms", "–")]
        assert rows[name] == found, name


def test_readme_s_table_is_that_of_the_results():
    rows, results = readme_table("by `linmem reproduce table2`"), measured()
    for name, row in ROWS.items():
        for data, cell in zip(SETS, rows[name], strict=True):
            accuracy, nll = (part.strip().strip("*") for part in cell.split("/"))
            found = results[data][row]
            assert accuracy == found["accuracy %"].split(" ")[0], (name, data)
            decimals = len(nll.partition(".")[2])
            mean = float(found["NLL"].split(" ")[0])
            assert abs(float(nll) - mean) <= 0.5 * 10**-decimals + 1e-9, (name, data)
            if name != "persistence":
                assert int(found["parameters"].replace(",", "")) <= 50_000
    for name in ("LSTM", "pretrained LMN-B"):
        for data, cell in zip(SETS, rows[f"published: {name} [L18]"], strict=True):
            assert cell == f"{published.ACCURACY[data][ROWS[name]]:.2f}"
