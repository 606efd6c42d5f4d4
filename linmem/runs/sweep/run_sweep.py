"""Sweep: many runs in one study. Any number of processes, on one machine or several, share the work.

The directory of a run is named by a hash of its options, so that no run is done twice. A run writes its directory after
every epoch, and the study when it ends: a killed process loses at most the current epoch. The locks of `runs.queue`
hold within one folder; the study also names the folder in which each run was started, so that processes in other
folders leave it alone.
"""

from __future__ import annotations

import hashlib
import json
import traceback
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from errno import EDQUOT, EFBIG, EIO, ENOSPC, EROFS
from pathlib import Path
from typing import Any, NamedTuple

from linmem.reporting import tables
from linmem.runs import runner
from linmem.runs.directory import SCORES, check_summary, read_scores
from linmem.runs.locks import lock
from linmem.runs.options import RunOptions, flatten
from linmem.runs.queue import LOCKS, work_through
from linmem.runs.sweep.study import ERROR, ERROR_TYPE, RESULT, Study, is_finished
from linmem.storage.atomic import write_text
from linmem.training.loop import DivergenceError

JOURNAL, RESULTS, TABLE, IDENTITY = "study.journal", "results.jsonl", "table.md", "identity"
OF_THE_MACHINE = (ENOSPC, EDQUOT, EFBIG, EROFS, EIO)  # errors of a write that say nothing about the run
STATES = ("complete", "failed", "running", "waiting")


class Outcome(NamedTuple):
    """The state of one run of a study."""

    name: str  # of its directory
    options: RunOptions
    state: str  # complete, failed, running or waiting
    loss: float | None  # the validation loss; None unless complete
    result: dict[str, Any]  # the content of scores.json; empty unless complete
    error: str  # traceback; empty unless failed
    diverged: bool = False  # failed because the loss was no longer finite


def sweep(
    plan: Sequence[RunOptions],
    folder: Path,
    *,
    storage: str | None = None,
    study: str = "sweep",
    device: str = "cpu",
    take_over: bool = False,
    wait: bool = False,
    progress: bool = False,
) -> list[Outcome]:
    """Do the runs of `plan` that are not done yet; returns the state of all of them at the end.

    A run that fails is recorded with its traceback, and the next one starts. The test split is never read.

    Parameters
    ----------
    plan : sequence of RunOptions
        See `space.plan`. Other runs of the study are left alone.
    folder : Path
        Gets one directory per run, `results.jsonl`, `table.md` and, without `storage`, the study itself.
    storage : str, optional
        Path of a journal file or URL of a database, in Optuna's form; by default `folder/study.journal`.
    study : str
        Name of the study in the storage.
    device : str
        Where to train.
    take_over : bool
        Repeat the runs that count as running in other folders, whose machine was lost.
    wait : bool
        Wait at the end for the runs of other processes in the same folder.
    progress : bool
        Show a progress bar on a terminal.

    Raises
    ------
    ImportError
        Optuna is not installed.
    ValueError
        The plan is empty, a data set unknown or damaged, or the storage cannot be opened.
    """
    if not plan:
        raise ValueError("plan must have at least one run, got none.")
    by_name = {name_of(options): options for options in plan}
    for options in {(options.data, options.files): options for options in plan}.values():
        options.load_data()  # before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    shared = Study(storage or str(folder / JOURNAL), study, _identity(folder))

    def run(name: str) -> None:
        options = by_name[name]
        if shared.start(name, {key: value for key, value in flatten(options).items() if value is not None}, take_over):
            _run(shared, name, options, folder / name, device)

    work_through(
        folder,
        list(by_name),
        run,
        shared.finished,
        wait=wait,
        progress=progress,
        unit="run",
    )
    outcomes = _outcomes(shared, by_name)
    write_text(folder / RESULTS, "".join(json.dumps(_row(one)) + "\n" for one in outcomes))
    write_text(folder / TABLE, table(outcomes) + "\n")
    return outcomes


def name_of(options: RunOptions) -> str:
    """Name of a run: 16 hexadecimal digits of a hash of all its options."""
    return hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode()).hexdigest()[:16]


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a Markdown table of the validation scores, the best run first, then one line per failed run."""
    flat = {one.name: flatten(one.options) for one in outcomes}
    varied = [name for name, value in flat[outcomes[0].name].items() if any(o[name] != value for o in flat.values())]
    rows = [
        {"run": one.name}
        | {name: str(flat[one.name][name]) for name in varied}
        | {name: value for name, value in one.result["scores"].items() if isinstance(value, float)}
        | {name: one.result[name] for name in ("parameters", "best_epoch", "epochs", "seconds_per_epoch")}
        for one in sorted((one for one in outcomes if one.loss is not None), key=lambda one: one.loss or 0.0)
    ]
    lines = [tables.markdown(rows, dict.fromkeys(rows[0], 4)), ""] if rows else []
    counts = {state: sum(one.state == state for one in outcomes) for state in STATES}
    lines.append(f"{len(outcomes)} runs: " + ", ".join(f"{n} {state}" for state, n in counts.items() if n))
    lines += [f"{one.name} failed: {_last_line(one.error)}" for one in outcomes if one.error]
    return "\n".join(lines)


def _last_line(error: str) -> str:
    """The last line of a traceback: the exception and its message."""
    return (error.strip() or "unknown error").splitlines()[-1]


def _run(shared: Study, name: str, options: RunOptions, folder: Path, device: str) -> None:
    try:
        if not (folder / SCORES).exists():  # it exists if the process was killed before it wrote to the study
            runner.run(options, folder, resume=True, device=device)
        result = read_scores(folder)
        shared.complete(name, _loss(result["scores"]), result)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
            raise  # the run is repeated when the sweep is started again
        shared.fail(name, traceback.format_exc(), type(error).__name__)


def _loss(scores: dict[str, float]) -> float:
    return scores["nll"] if "nll" in scores else scores["mse"]


def _outcomes(shared: Study, plan: dict[str, RunOptions]) -> list[Outcome]:
    trials = shared.trials()
    return [_outcome(name, options, trials.get(name)) for name, options in plan.items()]


def _outcome(name: str, options: RunOptions, trial: Any) -> Outcome:
    if trial is None or (trial.state.is_finished() and not is_finished(trial)):
        return Outcome(name, options, "waiting", None, {}, "", False)
    if not trial.state.is_finished():
        return Outcome(name, options, "running", None, {}, "", False)
    if trial.value is None:
        diverged = trial.user_attrs.get(ERROR_TYPE) == DivergenceError.__name__
        return Outcome(name, options, "failed", None, {}, str(trial.user_attrs[ERROR]), diverged)
    result = check_summary(trial.user_attrs.get(RESULT), f"the result of run {name} in the study")
    return Outcome(name, options, "complete", trial.value, result, "", False)


def _row(one: Outcome) -> dict[str, Any]:
    return one._asdict() | {"options": asdict(one.options)}


def _identity(folder: Path) -> str:
    """Random identifier of this folder, the same on every machine that sees it; written when first used."""
    path = folder / IDENTITY
    with lock(folder / LOCKS / IDENTITY):
        if not path.exists():
            write_text(path, uuid.uuid4().hex + "\n")
    return path.read_text(encoding="utf-8").strip()
