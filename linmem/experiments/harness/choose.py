"""Choose training runs by their loss on valid, repeat them with other seeds, and evaluate them on test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from linmem.experiments.harness.reads_of_test import read_test
from linmem.experiments.harness.summarize import Result
from linmem.experiments.harness.training import read_history, train_all, with_epochs, with_seed
from linmem.nn.sequence_model import parameter_count
from linmem.runs import runner
from linmem.runs.directory import HISTORY, load_run
from linmem.runs.options import RunOptions
from linmem.runs.queue import run_jobs
from linmem.runs.sweep.run_sweep import Outcome
from linmem.storage.atomic import read_lines
from linmem.training.metrics import Scores

Plans = Mapping[str, Sequence[RunOptions]]  # the trials of every row


def search_and_evaluate(plans: Plans, seeds: Sequence[int], folder: Path, work: Path) -> Iterator[Result]:
    """Train the trials of every row with the first seed, and yield the best one on valid, once per seed.

    Parameters
    ----------
    plans : mapping from row to RunOptions
        The trials.
    seeds : sequence of int
    folder : Path
        Holds the training runs.
    work : Path
        Keeps the scores on test.
    """
    first = {row: [with_seed(options, seeds[0]) for options in plan] for row, plan in plans.items()}
    yield from evaluate_best(search(first, folder), seeds, folder, work)


def search(plans: Plans, folder: Path) -> dict[str, list[Outcome]]:
    """Train every trial of every row, the first trials of all rows first; test is not read."""
    in_order = [options for trial in zip_longest(*plans.values()) for options in trial if options]
    done = train_all(in_order, folder, may_diverge=True) if in_order else {}
    return {row: [done[options] for options in plan] for row, plan in plans.items()}


def search_by_halving(plans: Plans, rungs: Sequence[int], folder: Path) -> dict[str, list[Outcome]]:
    """Train every trial for `rungs[0]` epochs, the best quarter of a row for `rungs[1]`, …, the last in full.

    A trial that goes on starts again from its first epoch. Without `rungs` every trial is trained in full.
    """
    for epochs in rungs:
        outcomes = search({row: [with_epochs(o, epochs) for o in plan] for row, plan in plans.items()}, folder)
        plans = {row: best_quarter(plan, outcomes[row]) for row, plan in plans.items()}
    return search(plans, folder)


def best_quarter(plan: Sequence[RunOptions], outcomes: Sequence[Outcome]) -> list[RunOptions]:
    """Return a quarter of the trials, by the lowest loss on valid; one that diverged is the last."""
    order = sorted(range(len(plan)), key=lambda i: loss_of(outcomes[i]))
    return [plan[i] for i in order[: quarter(len(plan))]]


def quarter(trials: int) -> int:
    """Return a quarter of a number of trials, rounded up: how many go on after a rung."""
    return math.ceil(trials / 4)


def loss_of(one: Outcome) -> float:
    """Return the loss on valid, infinity for a run that diverged."""
    return math.inf if one.loss is None else one.loss


def best_of(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the run with the lowest loss on valid, the first one if all diverged."""
    return min(outcomes, key=loss_of)


def evaluate_best(
    trials: Mapping[str, Sequence[Outcome]],
    seeds: Sequence[int],
    folder: Path,
    work: Path,
    counts: Mapping[str, int] | None = None,
) -> Iterator[Result]:
    """Yield the best trial of every row on valid, once per seed; rows without trials are left out.

    `counts` are the numbers of trials where `trials` are only those that were trained in full.
    """
    counts = counts or {row: len(outcomes) for row, outcomes in trials.items()}
    best = {row: best_of(outcomes).options for row, outcomes in trials.items() if outcomes}
    final = {(row, seed): with_seed(options, seed) for row, options in best.items() for seed in seeds}
    yield from evaluate_chosen(final, counts, folder, work)


def evaluate_chosen(
    final: Mapping[tuple[str, int], RunOptions], trials: Mapping[str, int], folder: Path, work: Path
) -> Iterator[Result]:
    """Train the chosen options of every row and seed, and yield their scores on valid and test.

    Parameters
    ----------
    final : mapping from (row, seed) to RunOptions
    trials : mapping from row to int
        Number of trials that the options were chosen from.
    folder : Path
        Holds the training runs.
    work : Path
        Keeps the scores on test, which is read once for every run; not for one that diverged at once.
    """
    if not final:
        return
    done = train_all(final.values(), folder, may_diverge=True)  # two rows may have chosen the same run
    outcomes = {case: done[options] for case, options in final.items()}
    jobs = {
        one.name: partial(evaluate_on_test, row, one.options.data, folder / one.name)
        for (row, _), one in outcomes.items()
        if has_best_epoch(folder / one.name)
    }
    tested = run_jobs(work, jobs)
    for (row, _), one in outcomes.items():
        yield describe_run(row, trials[row], one, folder) | {"test": tested.get(one.name)}


def describe_run(row: str, trials: int, one: Outcome, folder: Path) -> Result:
    """Return options, size, epochs and scores on valid of a run that was chosen among `trials`.

    A run that diverged at once has no scores: "valid" is None.
    """
    summary = summarize_run(one, folder / one.name)
    return {
        "row": row,
        "trials": trials,
        "seed": one.options.training.seed,
        "model": asdict(one.options.model),
        "training": asdict(one.options.training),
        "pretraining": asdict(one.options.pretraining),
        "parameters": summary["parameters"],
        "epochs": summary["epochs"],
        "best_epoch": summary.get("best_epoch"),
        "diverged": one.loss is None,
        "cpu_seconds": round(read_history(folder / one.name).cpu_seconds, 1),
        "valid": summary["scores"],
    }


def has_best_epoch(folder: Path) -> bool:
    """Return whether a run finished an epoch with a finite loss on valid; one that diverged at once did not."""
    return any(math.isfinite(row["valid_loss"]) for row in read_history(folder).epochs)


def summarize_run(one: Outcome, folder: Path) -> Mapping[str, Any]:
    """Return the summary of a run; of one that diverged, that of its best epoch before, where it finished one."""
    if one.loss is not None:
        return one.result
    if not has_best_epoch(folder):
        return {"parameters": None, "epochs": 0, "scores": None}
    scores = list(runner.evaluate_run(folder, "valid").values())[-1]
    epochs = len(read_lines(folder / HISTORY))
    return {"parameters": parameter_count(load_run(folder)[1]), "epochs": epochs, "scores": asdict(scores)}


def evaluate_on_test(row: str, name: str, folder: Path) -> Result:
    """Return a run's test scores at its epoch of best loss on valid, and its accuracy at its epoch of best accuracy."""

    def evaluate(best_by: str) -> Scores:
        return list(runner.evaluate_run(folder, "test", best_by).values())[-1]

    by_loss, by_accuracy = read_test(lambda: (evaluate("loss"), evaluate("accuracy")), model=row, data=name)
    return asdict(by_loss) | {"accuracy_of_its_best_epoch": by_accuracy.accuracy}
