"""Repeat some kept trials of an experiment's searches with the present code, and compare their losses on valid.

A search takes hours; a few of its runs take minutes and show whether later code still gives its figures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from linmem.experiments.harness.plan import planned
from linmem.experiments.harness.records import require_records
from linmem.experiments.harness.training import TRIALS, train_all, with_seed
from linmem.reporting import tables
from linmem.runs.options import RunOptions
from linmem.storage.atomic import read_lines
from linmem.storage.parsing import parsing


class Kept(NamedTuple):
    """A trial of `results/trials/`: name, fingerprint of its code, options and loss on valid, None if it diverged."""

    name: str
    code: str
    options: RunOptions
    loss: float | None


def repeat_trials(name: str, folder: Path, count: int, *, progress: bool = False) -> str:
    """Train `count` kept trials again and return a Markdown table of both losses on valid; test is not read.

    The trials are those of the grid and seed of the records, of any seed of their own, in order of their names, which
    are hashes of their options.

    Raises
    ------
    ValueError
        The experiment has no records, no plan of its runs, or no kept trial; `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"repeat must be at least 1, got {count}.")
    records = require_records(name, folder)
    kept = list(_kept_trials(name, folder, str(records[-1]["grid"]), int(records[-1]["seed"] or 0)))
    if not kept:
        raise ValueError(
            f"{folder / TRIALS} must have trials of {name}, got none with its options. Run it with --force."
        )
    chosen = sorted({one.options: one.name for one in kept}.items(), key=lambda item: item[1])[:count]
    with TemporaryDirectory() as work:
        again = train_all([options for options, _ in chosen], Path(work), may_diverge=True, progress=progress)
    rows = [_row(one, again[one.options].loss) for one in kept if one.options in again]
    equal = sum(row["equal"] == "yes" for row in rows)
    table = tables.markdown(rows, digits={"valid NLL": 6, "again": 6}, words=("set", "model", "code", "equal"))
    return f"{table}\n\n{equal} of {len(rows)} trials have the same loss on valid, to the last digit."


def _kept_trials(name: str, folder: Path, grid: str, seed: int) -> Iterator[Kept]:
    runs = planned(name, grid, seed).values()
    by_key = {_key(asdict(options)): options for own in runs for options in own}
    for path in sorted((folder / TRIALS).glob("*.jsonl")):
        with parsing(path, "kept trials", "Remove the file."):
            for trial in read_lines(path):
                if (options := by_key.get(_key(trial["options"]))) is not None:
                    own_seed = trial["options"]["training"]["seed"]
                    yield Kept(trial["name"], trial["code"], with_seed(options, own_seed), trial["valid_loss"])


def _key(options: dict[str, Any]) -> str:
    """Options as text, without the seed."""
    return json.dumps(options | {"training": options["training"] | {"seed": None}}, sort_keys=True)


def _row(one: Kept, again: float | None) -> dict[str, Any]:
    return {
        "trial": one.name,
        "set": one.options.data,
        "model": one.options.model.model,
        "seed": one.options.training.seed,
        "code": one.code,
        "valid NLL": one.loss,
        "again": again,
        "equal": "yes" if one.loss == again else "no",
    }
