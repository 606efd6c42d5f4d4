"""Training options: Adam, batches, early stopping, precision."""

from __future__ import annotations

import math
from dataclasses import dataclass

from linmem.validation import check_fields

PRECISIONS = ("float32", "bfloat16")
SCHEDULES = ("constant", "cosine")
WARM_UP, LAST = 30, 0.02  # of the cosine schedule: steps, and the last learning rate relative to the first


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Parameters
    ----------
    learning_rate : float
        Adam's learning rate.
    batch_size : int
        Sequences per batch; sequences of similar length share a batch.
    max_epochs : int
        Largest number of passes over the training set.
    patience : int
        Epochs without a lower validation loss after which training stops.
    clip : float
        Largest norm of the gradient.
    weight_decay : float
        L2 penalty, added to the gradient as by Adam's own `weight_decay`; relative to a loss in nats per target.
    memory_lr_scale : float
        Learning rate of a linear memory's own weights W_mm, relative to `learning_rate`; 0 freezes them. Adam moves
        all entries by a similar amount, so that a matrix moves far: at 1, the papers' protocol, the spectral radius of
        a memory that was solved on the chorales is 1.04 after one epoch, at 0.1 it is 0.99
        (docs/guide/training_measurements.md).
    ema_decay : float
        Decay per step of an exponential moving average of the weights. With a value above 0 the average is what is
        validated and saved.
    orthogonality : float
        λ of the penalty λ ‖W_mmᵀ W_mm − I‖² on linear memories [S20: 1e-4 … 1e-1].
    truncate : int
        Steps of truncated backpropagation through time, with one Adam step each; the state is carried on. 0 means
        whole sequences.
    transpose : int
        N: move every training piece by a random number of semitones from −N to N, anew in every epoch, within the range
        of the piano roll; 0 for none. Solved models get all transpositions at once, the fits of `pretrain` every piece
        as it is and at one random shift.
    schedule : str
        Learning rate over the steps of all epochs: constant, or cosine, from `learning_rate` down to 2 % of it at
        `max_epochs`, after a linear increase over the first 30 steps.
    precision : str
        float32, or bfloat16 for the matrix products of forward and backward pass.
    seed : int
        Seed of the order of the batches, of transposition and of dropout.

    Examples
    --------
    >>> from linmem.training.options import TrainingOptions
    >>> options = TrainingOptions(learning_rate=3e-3, max_epochs=50, ema_decay=0.98)
    >>> options.batch_size
    16
    """

    learning_rate: float = 1e-3
    batch_size: int = 16
    max_epochs: int = 200
    patience: int = 20
    clip: float = 5.0
    weight_decay: float = 0.0
    memory_lr_scale: float = 0.1
    ema_decay: float = 0.0
    orthogonality: float = 0.0
    truncate: int = 0
    transpose: int = 0
    schedule: str = "constant"
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, infinite=("clip",))
        for name in ("learning_rate", "batch_size", "max_epochs", "patience", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}.")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be at least 0 and below 1, got {self.ema_decay}.")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}.")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}.")
        for name in ("weight_decay", "memory_lr_scale", "orthogonality", "truncate", "transpose", "seed"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}.")

    def rate_factor(self, step: int, steps: int) -> float:
        """Return the learning rate at a step, counted from 0 of `steps` in all, relative to `learning_rate`.

        Examples
        --------
        >>> options = TrainingOptions(schedule="cosine")
        >>> [round(options.rate_factor(step, 1000), 2) for step in (0, 29, 500, 1000)]
        [0.03, 1.0, 0.51, 0.02]
        """
        if self.schedule == "constant":
            return 1.0
        cosine = 0.5 * (1 + math.cos(math.pi * min(step, steps) / steps))
        return min(1.0, (step + 1) / WARM_UP) * (LAST + (1 - LAST) * cosine)
