"""Journals of Optuna, which hold the studies of sweeps."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.doors import material
from tests.fuzz.mutations import choose, mutated_bytes, mutated_json
from tests.fuzz.oracle import Door


def prepare() -> None:
    """Write a valid journal."""
    material.journal()


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """A journal with mutated, missing, repeated or exchanged lines."""
    lines = [line.encode() for line in material.journal().splitlines()]
    for _ in range(rng.randint(1, 2)):
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        kind = rng.randrange(6)
        if kind <= 2:
            lines[at] = mutated_json(rng, json.loads(material.journal().splitlines()[at % 8]))
        elif kind == 3:
            lines[at] = mutated_bytes(rng, lines[at])
        elif kind == 4 and len(lines) > 1:
            del lines[at]
        else:
            lines[at], lines[other] = lines[other], lines[at]
    content = b"\n".join(lines) + choose(rng, (b"\n", b"\n", b"\n", b""))
    (folder / "study.journal").write_bytes(content if rng.random() < 0.95 else mutated_bytes(rng, content))
    return {}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Open the study, list its trials, and do one more run."""
    from linmem.runs.options import RunOptions
    from linmem.runs.sweep import run_sweep as sweep
    from linmem.runs.sweep.study import Study

    path = out / "study.journal"
    path.write_bytes((folder / "study.journal").read_bytes())
    study = Study(str(path), "sweep", "owner")
    study.finished()
    outcomes = sweep._outcomes(study, {name: RunOptions("chorales") for name in "abc"})
    assert all(one.state in sweep.STATES for one in outcomes)
    sweep.table(outcomes)
    if study.start("d", {"model": "lstm"}):
        study.complete("d", 0.1, {"scores": {"mse": 0.1}})
        assert "d" in Study(str(path), "sweep", "owner").finished()


DOOR = Door("journal", make, use, prepare, names_file=False)
