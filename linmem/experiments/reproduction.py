"""Reproduction: a published table or figure is one file here; what it measures is kept as lines, and shown from them.

An experiment is a module with `TITLE`, `CONFIGS` (by grid: "smoke" takes seconds, "paper" is the published protocol or
as near as the module says), `run(config, seed)` that gives a dictionary of numbers at a time, and `show(lines, folder)`
that makes a Markdown table, and pictures in `folder`, from such dictionaries alone.
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

from linmem import tables
from linmem.run_folder import provenance, write_text

EXPERIMENTS = ("table1", "parameters", "capacity", "figure4")
GRIDS = ("smoke", "paper")


class Experiment(Protocol):
    """What a module of this folder has to have to be listed in `EXPERIMENTS`."""

    TITLE: str
    CONFIGS: Mapping[str, Mapping[str, Any]]
    run: Callable[[Mapping[str, Any], int], Iterator[dict[str, Any]]]
    show: Callable[[Sequence[dict[str, Any]], Path], str]


def reproduce(
    name: str, folder: Path, *, grid: str = "paper", seed: int = 0, force: bool = False, progress: bool = False
) -> str:
    """Run an experiment and return its table; where `folder` holds its lines already, only show those.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.
    folder : Path
        Gets `NAME.jsonl`, `NAME.md` and pictures `NAME*.png`.
    grid : str
        "smoke" or "paper".
    seed : int
        Of whatever is drawn.
    force : bool
        Run again and replace the lines.
    progress : bool
        Count the lines, on a terminal.

    Raises
    ------
    ValueError
        An unknown name or grid, or lines of another grid or seed.
    """
    experiment = _experiment(name)
    if grid not in GRIDS:
        raise ValueError(f"grid is {grid!r}: the known ones are {', '.join(GRIDS)}")
    path = folder / f"{name}.jsonl"
    if force or not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        measured = _measure(name, experiment, grid, seed, progress)
        write_text(path, "".join(json.dumps(line) + "\n" for line in measured))
    lines = read(path)
    if (lines[0]["grid"], lines[0]["seed"]) != (grid, seed):
        raise ValueError(
            f"{path} holds grid {lines[0]['grid']} with seed {lines[0]['seed']}:"
            " ask for those, name another folder (--out), or run again (--force)"
        )
    shown = experiment.show([line["result"] for line in lines], folder)
    text = f"{experiment.TITLE}\n\n{shown}\n\n{_said(lines)}"
    write_text(folder / f"{name}.md", text + "\n")
    return text


def listing(folder: Path) -> str:
    """Return a Markdown table of the experiments and how each of them stands in `folder`."""
    rows = []
    for name in EXPERIMENTS:
        path = folder / f"{name}.jsonl"
        state = _said(read(path)) if path.exists() else "not run"
        rows.append({"experiment": name, "what": _experiment(name).TITLE, "state": state})
    return tables.markdown(rows)


def read(path: Path) -> list[dict[str, Any]]:
    """Lines of an experiment: where they come from, and `result`.

    Raises
    ------
    ValueError
        The file is damaged or empty.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if lines and all("result" in line and "grid" in line for line in lines):
            return lines
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError):
        pass
    raise ValueError(f"{path} holds no results of an experiment: run it again (--force)")


def _experiment(name: str) -> Experiment:
    if name not in EXPERIMENTS:
        raise ValueError(f"unknown experiment {name!r}: the known ones are {', '.join(EXPERIMENTS)}")
    return cast(Experiment, importlib.import_module(f"linmem.experiments.{name}"))


def _measure(name: str, experiment: Experiment, grid: str, seed: int, progress: bool) -> Iterator[dict[str, Any]]:
    config = experiment.CONFIGS[grid]
    source = provenance()
    started = time.perf_counter()
    for result in tqdm(experiment.run(config, seed), unit="line", disable=None if progress else True):
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        head = {"experiment": name, "grid": grid, "seed": seed, "config": config, "finished": now}
        yield head | {"seconds": round(time.perf_counter() - started, 3)} | source | {"result": result}


def _said(lines: Sequence[dict[str, Any]]) -> str:
    last = lines[-1]
    return (
        f"grid {last['grid']}, seed {last['seed']}, {last['finished'][:10]}, {last['seconds']:.0f} s on"
        f" {last['threads']} thread(s), torch {last['versions']['torch']}, commit {(last['commit'] or 'unknown')[:7]}"
    )
