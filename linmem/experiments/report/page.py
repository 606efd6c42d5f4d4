"""The report: one HTML page of all experiments, made from the kept lines alone, that needs nothing from anywhere.

What was run stands beside what was not, and what could not be read beside both: whatever is wrong with one experiment
takes a line of the page, and leaves the rest as it is.
"""

from __future__ import annotations

import inspect
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from linmem.experiments.harness import reproduction, targets
from linmem.experiments.harness.records import caveat, finished, salvaged
from linmem.experiments.report.markup import Picture, html, picture
from linmem.reporting.output import output_paths
from linmem.storage.atomic import write_text

PAGE = "index.html"
MADE_BY = '<meta name="generator" content="linmem report">'
STATES = ("finished", "not finished", "not run", "damaged")


@dataclass(frozen=True)
class Part:
    """One experiment on the page."""

    name: str
    title: str
    about: str  # HTML
    state: str  # of STATES
    trouble: str  # a sentence, where something is wrong
    facts: Mapping[str, str]
    body: str  # HTML
    pictures: Sequence[Picture]
    targets: Sequence[Mapping[str, str]]
    commands: Mapping[str, str]  # what it does: command line
    grids: Mapping[str, str]  # name: what is in it

    @property
    def left(self) -> bool:
        """Whether there is something to run that was not."""
        return self.state != "finished" or any(what.startswith("runs grid") for what in self.commands)


def write(results: Path, folder: Path, *, force: bool = False, progress: bool = False) -> Path:
    """Write the report of `results` to `folder`, and return the page's path.

    Parameters
    ----------
    results : Path
        What `reproduce` wrote; only its `NAME.jsonl` are read.
    folder : Path
        Gets `index.html`; a report that is there already is replaced.
    force : bool
        Replace any other `index.html`, too.
    progress : bool
        Count the experiments, on a terminal.

    Raises
    ------
    ValueError
        There is no folder `results`.
    FileExistsError
        `folder` holds an `index.html` that is no report.
    ImportError
        jinja2, markdown-it-py or matplotlib is not installed.
    """
    if not results.is_dir():
        raise ValueError(f"there is no folder {results}: `linmem reproduce NAME --out {results}` makes it")
    page = folder / PAGE
    own = page.is_file() and MADE_BY in page.read_text(encoding="utf-8", errors="replace")
    output_paths(folder, [PAGE], force or own)
    write_text(page, rendered(results, progress=progress))
    return page


def rendered(results: Path, *, progress: bool = False) -> str:
    """Return the page of what `results` holds. The same lines give the same page."""
    names = tqdm(reproduction.EXPERIMENTS, unit="experiment", disable=None if progress else True)
    parts = [part(name, results) for name in names]
    known = {f"{name}.jsonl" for name in reproduction.EXPERIMENTS}
    return _template().render(
        made_by=MADE_BY,
        parts=parts,
        states=Counter(one.state for one in parts),
        order=STATES,
        reached=Counter("caveat" if "," in row["reached"] else row["reached"] for one in parts for row in one.targets),
        strange=sorted(path.name for path in results.glob("*.jsonl") if path.name not in known),
        results=str(results),
    )


def part(name: str, folder: Path) -> Part:
    """Return what the page says about one experiment; nothing that its lines do to the module's code stops the page."""
    module = reproduction.experiment_named(name)
    lines, trouble = salvaged(name, folder)
    state = "damaged" if trouble else "not run" if not lines else "finished" if finished(lines) else "not finished"
    body, pictures, wanted, failed = "", [], [], []
    results = [line["result"] for line in lines]
    try:
        wanted = targets.rows(reproduction.targets_of(name, lines), caveat(lines, trouble))
    except Exception as error:  # lines of another version of the module, or half a run that it cannot take
        failed.append(f"its targets cannot be computed ({type(error).__name__}: {error})")
    try:
        with TemporaryDirectory() as drawn:
            body = html(module.show(results, Path(drawn)), module.TITLE) if results else ""
            pictures = [picture(path, module.TITLE) for path in sorted(Path(drawn).glob("*.png"))]
    except ImportError:
        raise
    except Exception as error:
        failed.append(f"its lines cannot be shown ({type(error).__name__}: {error})")
        body = "<pre>" + escape("\n".join(map(json.dumps, results))) + "</pre>"
    if failed and state == "finished":
        state = "damaged"
    return Part(
        name=name,
        title=module.TITLE,
        about=html(inspect.cleandoc(inspect.getdoc(module) or ""), module.TITLE),
        state=state,
        trouble="; ".join(filter(None, (trouble, *failed))),
        facts=_facts(lines) if lines else {},
        body=body,
        pictures=pictures,
        targets=wanted,
        commands=_commands(name, state, lines, module.CONFIGS, folder),
        grids={grid: _said(config) for grid, config in module.CONFIGS.items()},
    )


def _facts(lines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Where the lines come from; more than one value where they were made at several times or places."""
    days = [str(line["finished"])[:10] for line in lines]
    seeds = {str(line["result"].get("seed", line["seed"])) for line in lines} - {"None"}
    return {
        "grid": _each(line["grid"] for line in lines),
        "seeds": ", ".join(sorted(seeds, key=lambda seed: (len(seed), seed))),
        "lines": str(len(lines)),
        "date": min(days) if min(days) == max(days) else f"{min(days)} to {max(days)}",
        "time": _duration(sum(float(line["seconds"]) for line in lines)),
        "machine": _each(f"{line.get('machine', 'unknown')}, {_threads(line['threads'])}" for line in lines),
        "commit": _each(str(line["commit"] or "unknown")[:7] for line in lines),
        "versions": _each(", ".join(f"{name} {v}" for name, v in line["versions"].items()) for line in lines),
    }


def _commands(
    name: str, state: str, lines: Sequence[Mapping[str, Any]], configs: Mapping[str, Any], results: Path
) -> dict[str, str]:
    """Command lines that show, finish, repeat or enlarge what there is."""
    place = "" if str(results) == "results" else f" --out {shlex.quote(str(results))}"
    command = f"linmem reproduce {name}"
    if state == "not run":
        found = {f"runs grid {_default(configs)}": command + place}
    elif state == "damaged":
        found = {"runs again, and replaces what is there": f"{command}{place} --force"}
    elif state == "not finished":
        found = {"goes on where it was": command + place}
    else:
        found = {"shows it again": command + place, "runs it again": f"{command}{place} --force"}
    grid = str(lines[-1]["grid"]) if lines else _default(configs)
    larger = [] if grid == "paper" else [other for other in ("small", "paper") if other in configs and other != grid]
    return found | {
        f"runs grid {other}, in a folder of its own": f"{command} --grid {other} --out results-{other}"
        for other in larger
    }


def _default(configs: Mapping[str, Any]) -> str:
    return "small" if "small" in configs else "paper"


def _each(values: Any) -> str:
    return "; ".join(dict.fromkeys(values))


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else "below 1 s"


def _said(config: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in config.items())


def _template() -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise ImportError("the report needs jinja2: pip install 'linear-memory-networks[report]'") from None
    text = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        text
    )
