"""Sequences with targets as users give them: checked before training, converted to the dtype of the model.

Symbols: T steps, a inputs, o outputs, n targets of the last n steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from linmem.data import PairedSplits
from linmem.sequences import check_sequences, tensor_of
from linmem.storage.parsing import parsing
from linmem.training.tasks import Classes, Examples, GivenFrames, NextFrame, NextValue, Task

Pairs = list[tuple[Tensor, Tensor]]  # of one sequence and its targets


def checked_pairs(sequences: Any, targets: Any, features: int, readout: nn.Linear, task: Task) -> Pairs:
    """Check sequences and their targets, and convert them to tensors of the readout's dtype and device.

    Parameters
    ----------
    sequences : list of (T_i, a) arrays or tensors
    targets : list of (n_i, o) arrays or tensors, or of (n_i,) classes
        Those of the last n_i steps. The task `Classes` has classes, as integers; a user's own may have other shapes.
    features : int
        a.
    readout : Linear
        Gives o, dtype and device.
    task : Task
        Frames have targets 0 and 1.

    Raises
    ------
    ValueError
        The pairs do not fit each other or the sizes, or hold other numbers than the task needs.
    """
    inputs, targets = check_sequences(sequences, features=features), list(targets)
    if len(inputs) != len(targets):
        raise ValueError(f"targets must have one entry per sequence ({len(inputs)}), got {len(targets)}.")
    checked = [_target(y, index, readout.out_features, task) for index, y in enumerate(targets)]
    for index, (x, y) in enumerate(zip(inputs, checked, strict=True)):
        if not 1 <= len(y) <= len(x):
            raise ValueError(f"targets[{index}] must have 1 to {len(x)} rows, at most one per step, got {len(y)}.")
    like = readout.weight
    return [
        (x.to(like), y.to(like if y.is_floating_point() else like.device)) for x, y in zip(inputs, checked, strict=True)
    ]


def as_splits(training: Pairs, valid: Pairs | None) -> PairedSplits:
    """Return a data set of both; without `valid` every tenth pair is held out for it.

    Raises
    ------
    ValueError
        There is a single pair to hold out from.
    """
    if valid is None:
        if len(training) < 2:
            raise ValueError(
                f"sequences must have at least 2 entries to hold one out, got {len(training)}. Pass valid=."
            )
        valid = training[::10]
        training = [pair for index, pair in enumerate(training) if index % 10]
    (x, y), (x_valid, y_valid) = unzipped(training), unzipped(valid)
    return PairedSplits("pairs", x, x_valid, [], targets={"train": y, "valid": y_valid})


def unzipped(pairs: Pairs) -> Examples:
    """Sequences and targets as two lists."""
    return Examples([x for x, _ in pairs], [y for _, y in pairs])


def _target(values: Any, index: int, outputs: int, task: Task) -> Tensor:
    """Return finite numbers: (n, o) of frames and values, (n,) classes, any of a user's own task."""
    name = f"targets[{index}]"
    with parsing(name, "an array or tensor of real numbers", "Convert it."):
        y = values if isinstance(values, Tensor) else tensor_of(values)
        if y.is_complex():
            raise ValueError(f"numbers of {y.dtype}")
        if (
            not isinstance(values, Tensor) and np.asarray(values).dtype.kind in "iu"
        ):  # classes, which `tensor_of` makes floats
            y = y.long()
    if y.ndim == 0:
        raise ValueError(f"{name} must have a row per target, got a single number.")
    if isinstance(task, Classes) and y.ndim == 1 and not y.is_floating_point():
        if y.numel() and not 0 <= int(y.min()) <= int(y.max()) < outputs:
            raise ValueError(f"{name} must hold classes from 0 to {outputs - 1}, got {int(y.min())} to {int(y.max())}.")
        return y.long()
    if isinstance(task, NextFrame | NextValue):  # of other tasks outputs and targets may differ in number
        if y.ndim != 2 or y.shape[1] != outputs:
            raise ValueError(f"{name} must have shape (n, {outputs}), o = readout.out_features, got {tuple(y.shape)}.")
        y = y if y.is_floating_point() else y.double()
    if not torch.isfinite(y).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity. Leave out such steps.")
    if isinstance(task, GivenFrames) and not ((y == 0) | (y == 1)).all():
        raise ValueError(f"{name} must have entries 0 and 1, got others. Pass task=GivenValues() for other numbers.")
    return y
