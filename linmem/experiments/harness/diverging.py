"""Training that may diverge: the best epoch before that counts, and the line says so."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from linmem.training.loop import DivergenceError, TrainingOptions, train
from linmem.training.tasks import Task


class Endured(NamedTuple):
    """How far training went; the model has the weights of its best epoch on valid, if there was one."""

    best_epoch: int  # 0: none was finished
    epochs: int
    diverged: bool


def train_while_finite(model: nn.Module, splits: Any, task: Task, options: TrainingOptions) -> Endured:
    """`train`, until the loss is no longer finite at the latest.

    Raises
    ------
    ValueError
        The data do not fit the task.
    """
    best = [0]
    try:
        train(model, splits, task, options, after_epoch=lambda state: best.append(state.best["loss"].epoch))
    except DivergenceError:
        return Endured(best[-1], len(best) - 1, True)
    return Endured(best[-1], len(best) - 1, False)
