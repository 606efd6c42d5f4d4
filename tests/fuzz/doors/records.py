"""JSONL files of results, as `reproduce` and `report` read them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutations import choose, mutated_bytes, mutated_json
from tests.fuzz.oracle import Door

NAMES = ("parameters", "table1") * 10 + ("time",)  # the last one draws figures, which takes a hundred times as long
RESULTS = Path(__file__).parents[3] / "results"


@cache
def lines(name: str) -> list[str]:
    """The first records of an experiment."""
    return (RESULTS / f"{name}.jsonl").read_text().splitlines()[:6]


def prepare() -> None:
    """Import what the page needs."""
    from linmem.experiments.report import page

    for name in sorted(set(NAMES)):
        page.part(name, RESULTS)  # keeps the fingerprints of the code, too
        lines(name)


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """A file of results with one mutated line."""
    name = choose(rng, NAMES)
    content = [line.encode() for line in lines(name)]
    at = rng.randrange(len(content))
    content[at] = mutated_json(rng, json.loads(content[at])) if rng.random() < 0.8 else mutated_bytes(rng, content[at])
    (folder / f"{name}.jsonl").write_bytes(b"\n".join(content) + b"\n")
    return {"name": name, "action": choose(rng, ("part", "show", "reproduce"))}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Show the records: as a part of the page, which never raises, and as tables."""
    from linmem.experiments.harness import reproduce
    from linmem.experiments.report import page

    name = arguments["name"]
    if arguments["action"] == "part":
        part = page.part(name, folder)
        assert part.state in page.STATES
        assert "\n" not in part.problem
    else:
        (out / f"{name}.jsonl").write_bytes((folder / f"{name}.jsonl").read_bytes())
        function = reproduce.show if arguments["action"] == "show" else reproduce.list_experiments
        assert function(*((name, out) if arguments["action"] == "show" else (out,)))


DOOR = Door("jsonl", make, use, prepare, names_file=False)
