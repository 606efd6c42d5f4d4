"""The plan of an experiment's searches with their cost in core-hours, measured by one epoch of training per model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from linmem.experiments.harness.catalog import default_grid, load_experiment
from linmem.experiments.harness.training import read_history
from linmem.reporting import tables
from linmem.runs import runner
from linmem.runs.options import RunOptions
from linmem.training.loop import DivergenceError

HOUR, EPOCHS = 3600.0, 100


def plan_table(name: str, grid: str | None = None, seed: int = 0) -> str:
    """Return a Markdown table of the training runs of an experiment's searches and of their cost; test is not read.

    One run per data set and model, of the middle size, is trained for one epoch; where it diverges, the next ones in
    order of size that do not. The column "diverged" counts runs that diverged in this epoch. Runs with a lower limit of
    epochs than `EPOCHS`, such as those of a pruner, count with their limit.

    Raises
    ------
    ValueError
        The experiment has no plan, or the grid is unknown.
    """
    rows: list[dict[str, Any]] = [_row(data, row, runs) for (data, row), runs in planned(name, grid, seed).items()]
    total = {key: sum(row[key] or 0 for row in rows) for key in rows[0] if key.startswith(("runs", "core-hours"))}
    empty = {"set": "all", "model": "", "runs": 0, "diverged": None, "CPU s once": None, "CPU s per epoch": None}
    rows.append(empty | total)
    text = "Core-hours at this machine's speed now, without the other seeds of the chosen runs:"
    return f"{text}\n\n{tables.markdown(rows, words=('model',))}"


def planned(name: str, grid: str | None, seed: int) -> Mapping[tuple[str, str], Sequence[RunOptions]]:
    """Return the training runs of an experiment's searches by data set and model.

    Raises
    ------
    ValueError
        The experiment has no plan, or the grid is unknown.
    """
    experiment = load_experiment(name)
    grid = grid or default_grid(experiment)
    plan = getattr(experiment, "plan", None)
    if plan is None:
        raise ValueError(f"name must be an experiment with a plan of its runs, got {name!r}. Run it as a whole.")
    if grid not in experiment.GRIDS:
        raise ValueError(f"grid must be one of {', '.join(experiment.GRIDS)}, got {grid!r}. Choose one of these.")
    found: Mapping[tuple[str, str], Sequence[RunOptions]] = plan(experiment.GRIDS[grid], seed)
    return found


def _row(data: str, row: str, runs: Sequence[RunOptions]) -> dict[str, Any]:
    diverged, cost = 0, None
    for options in _from_the_middle(runs):
        try:
            cost = measure_epoch(options)
            break
        except DivergenceError:
            diverged += 1
    limits = [options.training.max_epochs for options in runs]
    return {
        "set": data,
        "model": row,
        "runs": len(runs),
        "diverged": diverged,
        "CPU s once": cost and cost.once,
        "CPU s per epoch": cost and cost.per_epoch,
        f"core-hours at {EPOCHS} epochs": cost and cost.hours(len(runs), sum(min(limit, EPOCHS) for limit in limits)),
        "core-hours at the limit of epochs": cost and cost.hours(len(runs), sum(limits)),
    }


def _from_the_middle(runs: Sequence[RunOptions]) -> list[RunOptions]:
    """Return the runs in order of the distance of their size from the middle one."""
    by_size = sorted(runs, key=lambda one: (one.model.hidden_size, one.model.memory_size))
    order = sorted(range(len(runs)), key=lambda i: abs(i - len(runs) // 2))
    return [by_size[i] for i in order]


class Cost(NamedTuple):
    """CPU seconds of a run: once, for loading, validation, the solver and an epoch of pretraining; and per epoch."""

    once: float
    per_epoch: float

    def hours(self, runs: int, epochs: int) -> float:
        """Return the core-hours of so many runs with so many epochs in all."""
        return (runs * self.once + epochs * self.per_epoch) / HOUR


def measure_epoch(options: RunOptions) -> Cost:
    """Train a run for one epoch and return its cost.

    Raises
    ------
    DivergenceError
        The loss is not finite.
    """
    short = replace(options.training, max_epochs=1)
    options = replace(options, training=short, pretraining=replace(options.pretraining, pretrain_epochs=1))
    with TemporaryDirectory() as folder:
        began = time.process_time()
        runner.run(options, Path(folder) / "run")
        per_epoch = read_history(Path(folder) / "run").epochs[0]["cpu_seconds"]
        return Cost(time.process_time() - began - per_epoch, per_epoch)
