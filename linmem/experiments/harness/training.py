"""Training runs of an experiment: plans of runs that processes share, and training that may diverge."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from linmem.experiments.harness.fingerprint import code_fingerprint
from linmem.runs.directory import HISTORY, read_pretraining
from linmem.runs.options import RunOptions
from linmem.runs.sweep.run_sweep import Outcome, sweep
from linmem.storage.atomic import read_lines, write_text
from linmem.training.checkpoint import TrainingState
from linmem.training.loop import DivergenceError, train
from linmem.training.options import TrainingOptions
from linmem.training.tasks import Task

WORK = "work"  # folder of intermediate work, beside the records
TRIALS = "trials"  # folder of all trained runs, beside the records
LONGEST_WAIT = 60.0  # seconds between two checks for the runs of other processes


def shared_runs(work: Path) -> Path:
    """Return the folder of training runs that experiments share: one per version of the code that trains."""
    return work.parent / f"runs-{code_fingerprint('linmem.runs.runner')}"


def with_seed(options: RunOptions, seed: int) -> RunOptions:
    """Return the same run with another seed."""
    return replace(options, training=replace(options.training, seed=seed))


def with_epochs(options: RunOptions, epochs: int) -> RunOptions:
    """Return the same run with another limit of epochs."""
    return replace(options, training=replace(options.training, max_epochs=epochs))


def train_all(
    plan: Iterable[RunOptions],
    folder: Path,
    *,
    may_diverge: bool = False,
    progress: bool = False,
    interval: float = 2.0,
) -> dict[RunOptions, Outcome]:
    """Train all runs of `plan` in `folder` and return their outcomes; several processes may share the work.

    Parameters
    ----------
    plan : iterable of RunOptions
        The runs; equal ones are trained once.
    folder : Path
        Holds the study and one folder per run.
    may_diverge : bool
        Whether a run with a non-finite loss is an outcome ("failed") instead of an error.
    progress : bool
        Whether to show a progress bar.
    interval : float
        Seconds between two checks for the runs of other processes; more where a check takes long.

    Raises
    ------
    RuntimeError
        A run failed; the message holds its traceback.
    """
    runs = list(dict.fromkeys(plan))
    while True:
        started = time.process_time()
        outcomes = sweep(runs, folder, progress=progress)
        for one in outcomes:
            if one.state == "failed" and not (may_diverge and one.diverged):
                raise RuntimeError(f"run {one.name} in {folder} failed; its options are {one.options}\n{one.error}")
        if all(one.state in ("complete", "failed") for one in outcomes):
            _keep_trials(outcomes, folder)
            return {one.options: one for one in outcomes}
        time.sleep(max(interval, min(10 * (time.process_time() - started), LONGEST_WAIT)))


def _keep_trials(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Add all runs, also those that a search did not choose, to `trials/` beside the work folder.

    Each line has the fingerprint of the code that trains, options, state, validation loss, and the summary of the run:
    scores on valid, epochs and seconds.
    """
    work = next((parent for parent in folder.parents if parent.name == WORK), None)
    if work is None:
        return
    path = work.parent / TRIALS / f"{'-'.join(folder.relative_to(work).parts)}.jsonl"
    path.parent.mkdir(exist_ok=True)
    code = code_fingerprint("linmem.runs.runner")
    trials = {row["name"]: row for row in read_lines(path)} if path.exists() else {}
    for one in outcomes:
        loss = {"state": one.state, "valid_loss": one.loss}
        options = {"name": one.name, "code": code, "options": asdict(one.options)}
        trials[one.name] = options | loss | {"summary": one.result}
    write_text(path, "".join(json.dumps(row) + "\n" for row in trials.values()))


class RunHistory(NamedTuple):
    """The epochs of a finished run and the CPU seconds of its pretraining, 0 without one."""

    epochs: list[dict[str, Any]]
    pretraining_seconds: float

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds of pretraining and training."""
        return self.pretraining_seconds + sum(float(row["cpu_seconds"]) for row in self.epochs)


def read_history(folder: Path) -> RunHistory:
    """Read the history of the run in `folder`; it is empty if no epoch was finished."""
    path, seconds = folder / HISTORY, read_pretraining(folder)["cpu_seconds"]
    return RunHistory(read_lines(path) if path.exists() else [], float(seconds))


class Training(NamedTuple):
    """How far a training went; the model has the weights of its best epoch on valid, if it finished one."""

    best_epoch: int  # 0: no epoch was finished
    epochs: int
    diverged: bool
    out_of_time: bool  # whether the CPU time was spent before anything else ended it


class _OutOfTimeError(Exception):
    pass


def train_until_divergence(
    model: nn.Module, splits: Any, task: Task, options: TrainingOptions, cpu_seconds: float = math.inf
) -> Training:
    """Train like `linmem.training.loop.train`, but return normally if the loss becomes non-finite.

    Training ends after the epoch in which its epochs have taken `cpu_seconds`.

    Raises
    ------
    ValueError
        The data do not fit the task.
    """
    best = [0]

    def after_epoch(state: TrainingState) -> None:
        best.append(state.best["loss"].epoch)
        if sum(row.cpu_seconds or 0.0 for row in state.history) >= cpu_seconds:
            state.model.load_state_dict(state.best["loss"].weights or state.model.state_dict())
            raise _OutOfTimeError

    diverged = out_of_time = False
    try:
        train(model, splits, task, options, after_epoch=after_epoch)
    except DivergenceError:
        diverged = True
    except _OutOfTimeError:
        out_of_time = True
    return Training(best[-1], len(best) - 1, diverged, out_of_time)
