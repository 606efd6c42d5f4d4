"""The report: one self-contained HTML page of all experiments, generated from their records alone.

It lists what was run, what was not, and what could not be read. A damaged file or an error of one experiment is
reported in one sentence and does not affect the others.
"""

from __future__ import annotations

import inspect
import json
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from linmem.experiments.harness import catalog, targets
from linmem.experiments.harness.catalog import config_record, default_grid, load_experiment
from linmem.experiments.harness.records import Record, Records, bad_record, caveat, is_complete, read_records
from linmem.experiments.harness.reproduce import EQUAL_CODE, OTHER_CODE, code_note
from linmem.experiments.report.markup import Picture, html, picture
from linmem.reporting.output import output_paths
from linmem.storage.atomic import write_text
from linmem.storage.messages import reason_of

PAGE = "index.html"
MADE_BY = '<meta name="generator" content="linmem report">'
STATES = ("complete", "incomplete", "not run", "damaged")
CODE = {
    "": "this version of linmem",
    EQUAL_CODE: "an earlier version of linmem, with equal results on the smallest grid",
    OTHER_CODE: "other than this version of linmem",
}


@dataclass(frozen=True)
class Part:
    """One experiment on the page."""

    name: str
    title: str
    about: str  # HTML
    state: str  # of STATES
    problem: str  # a sentence, empty without a problem
    facts: Mapping[str, str]
    body: str  # HTML
    pictures: Sequence[Picture]
    targets: Sequence[Mapping[str, str]]
    commands: Mapping[str, str]  # effect: command line
    grids: Mapping[str, str]  # name: configuration

    @property
    def can_run_more(self) -> bool:
        """Whether a grid is left to run."""
        return self.state != "complete" or any(effect.startswith("runs grid") for effect in self.commands)


def write(results: Path, folder: Path, *, force: bool = False, progress: bool = False) -> Path:
    """Write the report of `results` to `folder` and return the page's path.

    Parameters
    ----------
    results : Path
        What `reproduce` wrote; only its `NAME.jsonl` are read.
    folder : Path
        Gets `index.html`; an earlier report is replaced.
    force : bool
        Whether to replace any other `index.html`.
    progress : bool
        Whether to show a progress bar on a terminal.

    Raises
    ------
    ValueError
        The folder `results` does not exist.
    FileExistsError
        `folder` holds an `index.html` that is no report, and `force` is false.
    ImportError
        jinja2, markdown-it-py or matplotlib is not installed.
    """
    if not results.is_dir():
        raise ValueError(
            f"results must be an existing folder, got {results}. Create it: `linmem reproduce NAME --out {results}`."
        )
    page = folder / PAGE
    own = page.is_file() and MADE_BY in page.read_text(encoding="utf-8", errors="replace")
    output_paths(folder, [PAGE], force or own)
    write_text(page, rendered(results, progress=progress))
    return page


def rendered(results: Path, *, progress: bool = False) -> str:
    """Return the page for the records in `results`; equal records give equal pages."""
    names = tqdm(catalog.EXPERIMENTS, unit="experiment", disable=None if progress else True)
    parts = [part(name, results) for name in names]
    known = {f"{name}.jsonl" for name in catalog.EXPERIMENTS}
    return _template().render(
        made_by=MADE_BY,
        parts=parts,
        states=Counter(one.state for one in parts),
        order=STATES,
        reached=Counter("caveat" if "," in row["reached"] else row["reached"] for one in parts for row in one.targets),
        unknown=sorted(path.name for path in results.glob("*.jsonl") if path.name not in known),
        results=str(results),
    )


def part(name: str, folder: Path) -> Part:
    """Return one experiment's part of the page; an exception of its module becomes a sentence about the problem."""
    module, records = load_experiment(name), read_records(name, folder)
    state = "damaged" if records.problem else "not run"
    if records.valid and not records.problem:
        state = "complete" if is_complete(records.valid) else "incomplete"
    stated, target_problem = _targets(module, records)
    body, pictures, body_problem = _body(module, records)
    if state == "complete" and (target_problem or body_problem):
        state = "damaged"
    return Part(
        name=name,
        title=module.TITLE,
        about=html(inspect.cleandoc(_description(module)), module.TITLE),
        state=state,
        problem="; ".join(filter(None, (records.problem, target_problem, body_problem))),
        facts=_facts(name, records.valid, folder) if records.valid else {},
        body=body,
        pictures=pictures,
        targets=stated,
        commands=_commands(name, state, records.valid, module, folder),
        grids={grid: json.dumps(config_record(config)) for grid, config in module.GRIDS.items()},
    )


def _description(module: Any) -> str:
    """Return what an experiment measures: the docstring of the file that has its `run`."""
    return inspect.getdoc(sys.modules[module.run.__module__]) or ""


def _targets(module: catalog.Experiment, records: Records) -> tuple[list[dict[str, str]], str]:
    try:
        return targets.target_rows(module.targets(records.results), caveat(records)), ""
    except Exception as error:  # records of another version of the module
        return [], f"its targets cannot be computed ({_where(records, module.targets, error)})"


def _body(module: catalog.Experiment, records: Records) -> tuple[str, list[Picture], str]:
    """Return tables and pictures; the records themselves where the module cannot show them."""
    if not records.valid:
        return "", [], ""
    try:
        with TemporaryDirectory() as drawn:
            body = html(module.show(records.results, Path(drawn)), module.TITLE)
            return body, [picture(path, module.TITLE) for path in sorted(Path(drawn).glob("*.png"))], ""
    except ImportError:
        raise
    except Exception as error:
        with TemporaryDirectory() as drawn:
            where = _where(records, lambda results: module.show(results, Path(drawn)), error)
        problem = f"its records cannot be shown ({where})"
        return "<pre>" + escape("\n".join(map(json.dumps, records.results))) + "</pre>", [], problem


def _where(records: Records, show: Callable[[Sequence[Mapping[str, Any]]], object], error: Exception) -> str:
    """Name the record that cannot be shown, and the reason."""
    number = bad_record(records.results, show)
    return f"record {number} of {len(records.results)}, {type(error).__name__}: {reason_of(error)}"


def _facts(name: str, records: Sequence[Record], folder: Path) -> dict[str, str]:
    """Return the provenance of the records; several values where they were measured at several times or places."""
    days = [str(one["finished"])[:10] for one in records]
    seeds = {str(one["result"].get("seed", one["seed"])) for one in records} - {"None"}
    return {
        "grid": _distinct(one["grid"] for one in records),
        "seeds": ", ".join(sorted(seeds, key=lambda seed: (len(seed), seed))),
        "records": str(len(records)),
        "date": min(days) if min(days) == max(days) else f"{min(days)} to {max(days)}",
        "time": _duration(sum(float(one["seconds"]) for one in records)),
        "machine": _distinct(f"{one.get('machine', 'unknown')}, {_threads(one['threads'])}" for one in records),
        "commit": _distinct(str(one["commit"] or "unknown")[:7] for one in records),
        "code": CODE[code_note(name, records, folder)],
        "versions": _distinct(", ".join(f"{name} {v}" for name, v in one["versions"].items()) for one in records),
    }


def _commands(
    name: str, state: str, records: Sequence[Record], module: catalog.Experiment, results: Path
) -> dict[str, str]:
    """Return the command lines that show, continue, repeat or enlarge an experiment, by their effect."""
    out = "" if str(results) == "results" else f" --out {shlex.quote(str(results))}"
    command = f"linmem reproduce {name}"
    default = default_grid(module)
    commands = {
        "not run": {f"runs grid {default}": command + out},
        "damaged": {"runs again and replaces the records": f"{command}{out} --force"},
        "incomplete": {"continues the run": command + out},
        "complete": {"shows it again": command + out, "runs it again": f"{command}{out} --force"},
    }[state]
    grid = str(records[-1]["grid"]) if records else default
    larger = [] if grid == "paper" else [one for one in ("small", "paper") if one in module.GRIDS and one != grid]
    return commands | {
        f"runs grid {one}, in another folder": f"{command} --grid {one} --out results-{one}" for one in larger
    }


def _distinct(values: Any) -> str:
    return "; ".join(dict.fromkeys(values))


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else "below 1 s"


def _template() -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise ImportError(
            "the report requires jinja2. Install it with pip install 'linear-memory-networks[report]'."
        ) from None
    text = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        text
    )
