"""Reproduction: a published table or figure is one file here; what it measures is kept as lines, and shown from them.

An experiment is a module with `TITLE`, `CONFIGS` (by grid: "smoke" takes seconds, "small" what two cores finish
overnight, "paper" is the published protocol or as near as the module says), `run(config, seed, work)` that gives a
dictionary of numbers at a time and may keep unfinished work in the folder `work`, and `show(lines, folder)` that makes
a Markdown table, and pictures in `folder`, from such dictionaries alone.

A line is kept as soon as it is there. A run that was cut goes on: `run` gives the same lines in the same order, quickly
where it finds its work done, and those that are kept already stay as they are.

A module may have `targets(lines)` as well: what the experiment was to show, computed from its lines (`targets.py`).
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol, cast

from tqdm import tqdm

from linmem.experiments.harness import targets
from linmem.experiments.harness.records import caveat, finished, read, said, salvaged
from linmem.reporting import tables
from linmem.runs.directory import (
    provenance,
)
from linmem.storage.atomic import write_text

EXPERIMENTS = (
    "table1",
    "table2",
    "figure3",
    "parameters",
    "capacity",
    "figure4",
    "gradients",
    "time",
    "encoding",
    "reconstruction",
    "smnist",
    "psmnist",
)
WORK = "work"  # folder of what is not finished, beside the results


class Experiment(Protocol):
    """What a module of this folder has to have to be listed in `EXPERIMENTS`."""

    TITLE: str
    CONFIGS: Mapping[str, Mapping[str, Any]]
    run: Callable[[Mapping[str, Any], int, Path], Iterator[dict[str, Any]]]
    show: Callable[[Sequence[dict[str, Any]], Path], str]


def reproduce(
    name: str,
    folder: Path,
    *,
    grid: str | None = None,
    seed: int | None = None,
    force: bool = False,
    progress: bool = False,
) -> str:
    """Run an experiment and return its table; what `folder` holds of it already is not run again.

    Several processes may run the same experiment in the same folder: those that train share the work.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.
    folder : Path
        Gets `NAME.jsonl`, `NAME.md`, pictures `NAME*.png`, and in `work/` what is not finished.
    grid : str, optional
        One of the module's `CONFIGS`; by default that of the kept lines, or else "small", or "paper" if that is quick.
    seed : int, optional
        Of whatever is drawn; by default that of the kept lines, or else 0.
    force : bool
        Run again and replace the lines. Work that is kept is used again: delete `work/` to do that anew, too.
    progress : bool
        Count the lines, on a terminal.

    Raises
    ------
    ValueError
        An unknown name or grid, or lines of another grid or seed, or of the grid as it was before.
    """
    experiment = experiment_named(name)
    path = folder / f"{name}.jsonl"
    kept = read(path) if path.exists() and not force else []
    grid = grid or (kept[0]["grid"] if kept else "small" if "small" in experiment.CONFIGS else "paper")
    seed = seed if seed is not None else kept[0]["seed"] if kept else 0
    if grid not in experiment.CONFIGS:
        raise ValueError(f"grid is {grid!r}: those of {name} are {', '.join(experiment.CONFIGS)}")
    if kept and (kept[0]["grid"], kept[0]["seed"]) != (grid, seed):
        raise ValueError(
            f"{path} holds grid {kept[0]['grid']} with seed {kept[0]['seed']}:"
            " ask for those, name another folder (--out), or run again (--force)"
        )
    if kept and not finished(kept) and kept[-1]["config"] != json.loads(json.dumps(experiment.CONFIGS[grid])):
        raise ValueError(
            f"{path} was begun when grid {grid} of {name} was another: run again (--force; work that is kept is used"
            " again), or name another folder (--out)"
        )
    if not finished(kept):
        folder.mkdir(parents=True, exist_ok=True)
        if force:
            path.unlink(missing_ok=True)
        for line in _measure(name, experiment, grid, seed, folder / WORK, kept, progress):
            kept = [*kept, line]
            if not path.exists() or len(kept) > len(read(path)):  # else another process is ahead
                _write(path, kept)
        _write(path, [*kept[:-1], kept[-1] | {"last": True}])
    return shown(name, folder)


def shown(name: str, folder: Path) -> str:
    """Return the table of what `folder` holds of an experiment, finished or not; nothing is run.

    Raises
    ------
    ValueError
        An unknown name, or no lines that can be read.
    """
    experiment, lines = experiment_named(name), read(folder / f"{name}.jsonl")
    parts = [experiment.TITLE, experiment.show([line["result"] for line in lines], folder)]
    if wanted := targets_of(name, lines):
        parts.append(f"Targets:\n\n{targets.table(wanted, caveat(lines))}")
    text = "\n\n".join([*parts, said(lines)])
    write_text(folder / f"{name}.md", text + "\n")
    return text


def targets_of(name: str, lines: Sequence[Mapping[str, Any]]) -> list[targets.Target]:
    """What the experiment was to show, and what these lines say to it; nothing where its module names no targets."""
    stated = getattr(experiment_named(name), "targets", None)
    return list(stated([line["result"] for line in lines])) if stated else []


def listing(folder: Path) -> str:
    """Return a Markdown table of the experiments and how each of them stands in `folder`."""
    rows = []
    for name in EXPERIMENTS:
        lines, trouble = salvaged(name, folder)
        state = "; ".join(part for part in (trouble, said(lines) if lines else "") if part) or "not run"
        rows.append({"experiment": name, "what": experiment_named(name).TITLE, "state": state})
    return tables.markdown(rows, words=("what", "state"))


def targets_listing(folder: Path) -> str:
    """Return a Markdown table of all targets of all experiments, by what `folder` holds of them."""
    rows = []
    for name in EXPERIMENTS:
        lines, trouble = salvaged(name, folder)
        rows += [{"experiment": name} | row for row in targets.rows(targets_of(name, lines), caveat(lines, trouble))]
    return tables.markdown(rows, words=targets.WORDS)


def experiment_named(name: str) -> Experiment:
    """Return the module of an experiment.

    Raises
    ------
    ValueError
        An unknown name.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"unknown experiment {name!r}: the known ones are {', '.join(EXPERIMENTS)}")
    return cast(Experiment, importlib.import_module(f"linmem.experiments.{name}"))


def _measure(
    name: str,
    experiment: Experiment,
    grid: str,
    seed: int,
    work: Path,
    kept: Sequence[Mapping[str, Any]],
    progress: bool,
) -> Iterator[dict[str, Any]]:
    """Give the lines that are not kept yet; `seconds` are those since the line before."""
    config, source = experiment.CONFIGS[grid], provenance()
    results = experiment.run(config, seed, work / f"{name}-{grid}-{seed}")
    started = time.perf_counter()
    for index, result in enumerate(tqdm(results, unit="line", disable=None if progress else True)):
        now, seconds = datetime.now(timezone.utc).isoformat(timespec="seconds"), time.perf_counter() - started
        head = {"experiment": name, "grid": grid, "seed": seed, "config": config, "finished": now}
        if index >= len(kept):
            yield head | {"seconds": round(seconds, 3)} | source | {"result": result}
        started = time.perf_counter()


def _write(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
