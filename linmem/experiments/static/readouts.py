"""Solved readouts: what a static memory is worth to a task, without backpropagation through time.

Ridge least squares for every variant and penalty; the validation loss chooses one. Where the answers are not numbers
but notes or classes, the chosen variant then gets a logistic readout, again with the best of several penalties.

    S W + b,   min loss(S W + b, Y) / M + ρ s ‖W‖²    with s the mean squared state

Letters: M answers, p memory units, o outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from linmem.autoencoder.coding import encode
from linmem.data import Splits
from linmem.experiments.static.memories import Memory
from linmem.ridge import AffineMap, ridge_regression
from linmem.training.metrics import Scores
from linmem.training.tasks import GivenValues, Task

RIDGES = (1.0, 1e-2, 1e-4, 1e-6)  # none below what float32 states could bear
PENALTIES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
ITERATIONS = 30  # of L-BFGS for each penalty, each started from the one before


class Read(NamedTuple):
    """The readout that validation chose."""

    memory: Memory
    penalty: float
    valid: Scores
    test: Scores


class Answers(NamedTuple):
    """States where an answer is asked for, and the answers."""

    states: Tensor  # (M, p)
    targets: Tensor  # (M, o) or (M,)


def best(memories: Sequence[Memory], splits: Splits, task: Task) -> Read:
    """Choose variant and penalty on the validation split, and read test once."""
    size = task.output_size(splits)
    found = (
        (_loss(readout, valid, task), penalty, memory, readout)
        for memory in memories
        for train, valid in [tuple(answers(memory, splits, task, split) for split in ("train", "valid"))]
        for penalty, readout in zip(
            RIDGES, ridge_regression(train.states, task.as_outputs(train.targets, size), RIDGES), strict=True
        )
    )
    _, penalty, memory, readout = min(found, key=lambda one: one[0])
    train, valid, test = (answers(memory, splits, task, split) for split in ("train", "valid", "test"))
    if not _numbers(task):
        tried = logistic(train, task, readout)
        _, penalty, readout = min(((_loss(r, valid, task), p, r) for p, r in tried), key=lambda one: one[0])
    counted = task.count(readout(valid.states), valid.targets)
    choice = counted.choice()
    return Read(memory, penalty, counted.scores(choice), task.count(readout(test.states), test.targets).scores(choice))


def answers(memory: Memory, splits: Splits, task: Task, split: str) -> Answers:
    """Run a memory over a split; float64."""
    inputs, targets = task.examples(splits, split)
    states = encode([x.double() for x in inputs], memory.A, memory.B, None)
    asked = torch.cat([s[len(s) - len(y) :] for s, y in zip(states, targets, strict=True)])
    wanted = torch.cat(targets)
    return Answers(asked, wanted.double() if wanted.is_floating_point() else wanted)


def logistic(train: Answers, task: Task, start: AffineMap) -> Iterator[tuple[float, AffineMap]]:
    """Minimise the task's own loss for every one of PENALTIES, the largest first, in coordinates of unit variance."""
    mean, spread = train.states.mean(0), train.states - train.states.mean(0)
    values, vectors = torch.linalg.eigh(spread.T @ spread / len(spread))
    size = values.mean().clamp_min(1e-12)
    scale = (values.clamp_min(0) + PENALTIES[-1] * size).rsqrt()
    S, targets = ((spread @ vectors) * scale).float(), train.targets
    targets = targets.float() if targets.is_floating_point() else targets
    W = torch.linalg.solve(vectors * scale, start.W).float().contiguous().requires_grad_()
    b = (start.b + mean @ start.W).float().requires_grad_()
    for penalty in PENALTIES:
        weight = (penalty * size * scale**2).float()[:, None]
        optimizer = torch.optim.LBFGS([W, b], max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe")

        def objective(weight: Tensor = weight, optimizer: torch.optim.LBFGS = optimizer) -> Tensor:
            optimizer.zero_grad()
            value = task.loss(S @ W + b, targets) / len(S) + (weight * W.square()).sum()
            value.backward()
            return value

        optimizer.step(objective)
        plain = (vectors * scale) @ W.detach().double()
        yield penalty, AffineMap(plain, b.detach().double() - mean @ plain)


def _loss(readout: AffineMap, valid: Answers, task: Task) -> float:
    counted = task.count(readout(valid.states), valid.targets)
    loss: float = counted.scores(counted.choice()).loss
    return loss


def _numbers(task: Task) -> bool:
    return isinstance(getattr(task, "task", task), GivenValues)
