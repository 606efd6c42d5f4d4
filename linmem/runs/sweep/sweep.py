"""Sweep: many runs, one study. Any number of processes, on one machine or several, share it until nothing is left.

The folder of a run is named by a hash of its options: the same run has the same name everywhere, so nothing runs twice.
Two things are written down, in this order: the run's own folder, whole after every epoch, then its state in the study.
So whoever dies loses the epoch at hand at most.

A process holds the lock `locks/NAME` while it runs NAME. A run that counts as running while its lock is free has lost
its process, and the next that comes by goes on with it. Locks speak for one folder only; so a run that is claimed bears
the folder's own identity, and what runs in a folder elsewhere is left alone unless it is to be taken over.
"""

from __future__ import annotations

import hashlib
import json
import traceback
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from linmem import data
from linmem.reporting import tables
from linmem.runs import runner
from linmem.runs.directory import (
    SCORES,
    RunOptions,
)
from linmem.runs.sweep.study import ERROR, RESULT, Study
from linmem.storage.atomic import write_text
from linmem.storage.locks import held

JOURNAL, RESULTS, TABLE, IDENTITY = "study.journal", "results.jsonl", "table.md", "identity"
_STATES = {"COMPLETE": "complete", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}


class Outcome(NamedTuple):
    """How one run of a study stands."""

    name: str  # of its folder
    options: RunOptions
    state: str  # complete, failed, running or waiting
    loss: float | None  # what training lowers, on the validation split; None unless complete
    result: dict[str, Any]  # what the run's scores.json holds; empty unless complete
    error: str  # traceback; empty unless failed


def sweep(
    plan: Sequence[RunOptions],
    folder: Path,
    *,
    storage: str | None = None,
    study: str = "sweep",
    device: str = "cpu",
    take_over: bool = False,
    progress: bool = False,
) -> list[Outcome]:
    """Do what of `plan` is not done yet; returns all of it, as it stands in the study at the end.

    A run that fails is noted with its traceback, and the next one is done. Validation split only: nothing reads test.

    Parameters
    ----------
    plan : sequence of RunOptions
        See `space.plan`. The study may hold more runs than these; they are left alone.
    folder : Path
        Gets a folder a run, `results.jsonl`, `table.md` and, without `storage`, the study itself.
    storage : str, optional
        Path of a journal file or URL of a database, as Optuna takes it; by default `folder/study.journal`.
    study : str
        Its name in the storage.
    device : str
        Where to train.
    take_over : bool
        Do anew what counts as running in other folders: for when their machine is lost.
    progress : bool
        Show what is done and how long the rest will take, on a terminal.

    Raises
    ------
    ImportError
        Optuna is not installed.
    ValueError
        The plan is empty, a data set unknown or damaged, or the storage cannot be opened.
    """
    if not plan:
        raise ValueError("the plan is empty: at least one run was wanted")
    by_name = {name_of(options): options for options in plan}
    for name in sorted({options.data for options in plan}):
        data.load(name)  # complain before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    shared = Study(storage or str(folder / JOURNAL), study, _identity(folder))
    shared.add({name: _flat(options) for name, options in by_name.items()})
    done = shared.finished(by_name)
    with tqdm(total=len(by_name), initial=done, unit="run", disable=None if progress else True) as bar:
        for name, options in by_name.items():
            with held(folder / "locks" / name, wait=False) as mine:
                if mine and shared.claim(name, take_over):
                    _run(shared, name, options, folder / name, device)
            bar.update(shared.finished(by_name) - bar.n)
    outcomes = _outcomes(shared, by_name)
    write_text(folder / RESULTS, "".join(json.dumps(_row(one)) + "\n" for one in outcomes))
    write_text(folder / TABLE, table(outcomes) + "\n")
    return outcomes


def name_of(options: RunOptions) -> str:
    """Name of a run: 16 hexadecimal digits of a hash of all its options."""
    return hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode()).hexdigest()[:16]


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a Markdown table of the validation scores, the best run first; then what failed, a line each."""
    flat = {one.name: _flat(one.options) for one in outcomes}
    varied = [name for name, value in flat[outcomes[0].name].items() if any(o[name] != value for o in flat.values())]
    rows = [
        {"run": one.name}
        | {name: str(flat[one.name][name]) for name in varied}
        | {name: value for name, value in one.result["scores"].items() if isinstance(value, float)}
        | {name: one.result[name] for name in ("parameters", "best_epoch", "epochs", "seconds_per_epoch")}
        for one in sorted((one for one in outcomes if one.loss is not None), key=lambda one: one.loss or 0.0)
    ]
    lines = [tables.markdown(rows, dict.fromkeys(rows[0], 4)), ""] if rows else []
    counts = {state: sum(one.state == state for one in outcomes) for state in _STATES.values()}
    lines.append(f"{len(outcomes)} runs: " + ", ".join(f"{n} {state}" for state, n in counts.items() if n))
    lines += [f"{one.name} failed: {one.error.strip().splitlines()[-1]}" for one in outcomes if one.error]
    return "\n".join(lines)


def _run(shared: Study, name: str, options: RunOptions, folder: Path, device: str) -> None:
    try:
        if not (folder / SCORES).exists():  # else its process died between the last file and the study
            runner.run(options, folder, resume=True, device=device)
        result = json.loads((folder / SCORES).read_text(encoding="utf-8"))
        shared.complete(name, _loss(result["scores"]), result)
    except Exception:
        shared.fail(name, traceback.format_exc())


def _loss(scores: dict[str, float]) -> float:
    return scores["nll"] if "nll" in scores else scores["mse"]


def _outcomes(shared: Study, plan: dict[str, RunOptions]) -> list[Outcome]:
    trials = shared.trials()
    return [
        Outcome(
            name,
            options,
            _STATES[(trial := trials[name]).state.name],
            trial.value,
            trial.user_attrs.get(RESULT, {}) if trial.value is not None else {},
            trial.user_attrs.get(ERROR, ""),
        )
        for name, options in plan.items()
    ]


def _row(one: Outcome) -> dict[str, Any]:
    return one._asdict() | {"options": asdict(one.options)}


def _flat(options: RunOptions) -> dict[str, Any]:
    """All options of a run under their own names."""
    return {"data": options.data} | asdict(options.model) | asdict(options.training) | asdict(options.pretraining)


def _identity(folder: Path) -> str:
    """Who this folder is, on whatever machine it is seen; drawn on its first use."""
    path = folder / IDENTITY
    with held(folder / "locks" / IDENTITY):
        if not path.exists():
            write_text(path, uuid.uuid4().hex + "\n")
    return path.read_text(encoding="utf-8").strip()
