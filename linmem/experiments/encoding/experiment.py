"""Encoding: does a memory that was fitted to the data serve a task better than one that was not, at p units? [E21.]

Solved: a static linear memory m_t = A x_t + B m_{t-1} and a readout without backpropagation. "LAES as solved" is the
papers' memory without any variant; LAES, orthogonal, delay line and LMU are each the best of seven variants on valid
(`linmem.experiments.static_memories`). Trained: the same memories in networks trained by Adam, beside RNN and LSTM,
until their loss on valid stops falling or a limit of epochs ends them; the learning rate is the one with the lowest
loss on valid for the first seed. E21's figures are not available to us. Scores are frame accuracy, recall accuracy or
R² on test, in per cent.

Symbol: p memory units.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from linmem.experiments.encoding.grids import Config, TaskPlan
from linmem.experiments.encoding.models import ROWS, train_row
from linmem.experiments.harness.jobs import run_cases
from linmem.experiments.harness.reads_of_test import read_test
from linmem.experiments.harness.summarize import Result
from linmem.experiments.static_memories.memories import KINDS, RANDOM_KINDS, candidates, generators
from linmem.experiments.static_memories.readouts import choose, score
from linmem.training.loop import evaluate
from linmem.training.metrics import Scores

TITLE = "Encoding: fitted and unfitted memories at equal size"


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """One result per task, size, memory and seed, solved; then one per task, row and seed, trained."""
    seeds = range(seed, seed + config.seeds)
    for plan in config.tasks:
        cases = [
            (p, kind, s)
            for p in plan.units
            for kind in KINDS
            for s in seeds
            if s == seed or kind in RANDOM_KINDS or plan.task.random
        ]
        yield from run_cases(work / "solved", _solve, [(plan, *case) for case in cases])
    for plan in config.tasks:
        if plan.networks is not None:
            yield from _train_all(plan, config.learning_rates, seeds, work / "trained")


def _solve(plan: TaskPlan, p: int, kind: str, seed: int) -> Result:
    problem, began = plan.task.draw(plan.name, seed), time.process_time()
    if problem.waveform is not None:
        memories = generators(kind, problem.waveform, p, seed)
    else:
        memories = candidates(kind, problem.task.examples(problem.linear_splits, "train").inputs, p, seed)
    chosen = choose(memories, problem.linear_splits, problem.task)

    def evaluate() -> Scores:
        drawn = plan.task.draw(plan.name, seed)
        return score(chosen, drawn.linear_splits, drawn.task)

    test = read_test(evaluate, model=kind, data=plan.name)
    return {
        "part": "solved",
        "set": plan.name,
        "units": p,
        "memory": kind,
        "seed": seed,
        "variant": chosen.memory.label,
        "penalty": chosen.penalty,
        "variants": len(memories),
        "cpu_seconds": round(time.process_time() - began, 2),
        "valid": asdict(chosen.valid) | {"loss": chosen.valid.loss},
        "test": asdict(test) | {"loss": test.loss},
    }


def _train_all(plan: TaskPlan, rates: Sequence[float], seeds: Sequence[int], work: Path) -> Iterator[Result]:
    for label in ROWS:
        tried = run_cases(work, _train, [(plan, label, rate, seeds[0]) for rate in rates])
        best_rate = min(tried, key=lambda result: result["valid"]["loss"])["learning_rate"]
        yield from run_cases(work, _train, [(plan, label, best_rate, s) for s in seeds])


def _train(plan: TaskPlan, label: str, rate: float, seed: int) -> Result:
    assert plan.networks is not None
    head = {"part": "trained", "set": plan.name, "units": plan.networks.units, "memory": label, "seed": seed}
    trained = train_row(ROWS[label], plan.task.draw(plan.name, seed), plan.networks, rate, seed)

    def evaluate_test() -> Scores:
        drawn = plan.task.draw(plan.name, seed)
        return evaluate(trained.model, drawn.splits, drawn.task, "test")

    test = read_test(evaluate_test, model=label, data=plan.name)
    return head | {"learning_rate": rate} | trained.summary | {"test": asdict(test) | {"loss": test.loss}}
