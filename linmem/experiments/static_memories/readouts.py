"""Solved readouts of a static memory, without backpropagation through time.

Ridge regression for every variant and penalty; the validation loss chooses one. For targets that are notes or classes,
the chosen variant then gets a logistic readout, again with the best of several penalties.

    S W + b,   min loss(S W + b, Y) / M + ρ s ‖W‖²    with s the mean squared state

Symbols: M targets, p memory units, o outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from linmem.autoencoder.coding import encode
from linmem.data import Splits
from linmem.experiments.static_memories.memories import Memory
from linmem.ridge import AffineMap, ridge_regression
from linmem.training.metrics import Scores
from linmem.training.tasks import GivenValues, Task

RIDGES = (1.0, 1e-2, 1e-4, 1e-6)  # smaller ones would exceed the precision of float32 states
PENALTIES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
ITERATIONS = 30  # of L-BFGS for each penalty, each started from the solution before


class Chosen(NamedTuple):
    """The memory, readout and threshold that validation chose, with the scores on valid."""

    memory: Memory
    penalty: float
    readout: AffineMap
    threshold: int | None  # its index; None for tasks without one
    valid: Scores


class StatesAndTargets(NamedTuple):
    """The states at all steps that have a target, and the targets."""

    states: Tensor  # (M, p)
    targets: Tensor  # (M, o) or (M,)


def choose(memories: Sequence[Memory], splits: Splits, task: Task) -> Chosen:
    """Choose variant and penalty by the validation loss."""
    size = task.output_size(splits)
    tried = (
        (_loss(readout, valid, task), penalty, memory, readout)
        for memory in memories
        for train, valid in [tuple(encode_split(memory, splits, task, split) for split in ("train", "valid"))]
        for penalty, readout in zip(
            RIDGES, ridge_regression(train.states, task.as_outputs(train.targets, size), RIDGES), strict=True
        )
    )
    _, penalty, memory, readout = min(tried, key=lambda one: one[0])
    train, valid = (encode_split(memory, splits, task, split) for split in ("train", "valid"))
    if not _is_regression(task):
        logistics = logistic(train, task, readout)
        _, penalty, readout = min(((_loss(r, valid, task), p, r) for p, r in logistics), key=lambda one: one[0])
    counts = task.count(readout(valid.states), valid.targets)
    threshold = counts.choice()
    return Chosen(memory, penalty, readout, threshold, counts.scores(threshold))


def score(chosen: Chosen, splits: Splits, task: Task, split: str = "test") -> Scores:
    """Evaluate the chosen readout on a split."""
    found = encode_split(chosen.memory, splits, task, split)
    return task.count(chosen.readout(found.states), found.targets).scores(chosen.threshold)


def encode_split(memory: Memory, splits: Splits, task: Task, split: str) -> StatesAndTargets:
    """Run a memory over a split; float64."""
    inputs, targets = task.examples(splits, split)
    states = encode([x.double() for x in inputs], memory.A, memory.B, None)
    with_target = torch.cat([s[len(s) - len(y) :] for s, y in zip(states, targets, strict=True)])
    y = torch.cat(targets)
    return StatesAndTargets(with_target, y.double() if y.is_floating_point() else y)


def logistic(train: StatesAndTargets, task: Task, start: AffineMap) -> Iterator[tuple[float, AffineMap]]:
    """Minimise the task's loss for every one of PENALTIES, the largest first, in coordinates of unit variance."""
    mean, centred = train.states.mean(0), train.states - train.states.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    size = values.mean().clamp_min(1e-12)
    scale = (values.clamp_min(0) + PENALTIES[-1] * size).rsqrt()
    S, targets = ((centred @ vectors) * scale).float(), train.targets
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
        original = (vectors * scale) @ W.detach().double()
        yield penalty, AffineMap(original, b.detach().double() - mean @ original)


def _loss(readout: AffineMap, valid: StatesAndTargets, task: Task) -> float:
    counts = task.count(readout(valid.states), valid.targets)
    loss: float = counts.scores(counts.choice()).loss
    return loss


def _is_regression(task: Task) -> bool:
    return isinstance(getattr(task, "task", task), GivenValues)
