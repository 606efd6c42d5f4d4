"""Tasks: what is asked of a model, and how an answer is measured. They turn sequences into inputs and targets.

A task knows nothing of models and optimizers: `train` and `evaluate` ask it for examples, a loss, and counts.

Letters: M steps of a batch without padding, o outputs.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from linmem.metrics import FrameCounts, count_frames
from linmem.sequences import check_sequences


class Examples(NamedTuple):
    """What goes in and what should come out, sequence by sequence: lists of (T_i, a) and (T_i, o)."""

    inputs: list[Tensor]
    targets: list[Tensor]


class Task(Protocol):
    """What `train` needs to know of a task."""

    def examples(self, sequences: list[Tensor]) -> Examples:
        """Split sequences into inputs and targets."""
        ...

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Sum the loss of (M, o) model outputs over all steps."""
        ...

    def count(self, outputs: Tensor, targets: Tensor) -> FrameCounts:
        """Count what the metrics are made of."""
        ...


class NextFrame:
    """Predict each frame of a piano roll from all before it [B12; L18 §5]: frames 2..T, a note a Bernoulli variable."""

    def examples(self, sequences: list[Tensor]) -> Examples:
        """Inputs x_1..x_{T-1}, targets x_2..x_T.

        Raises
        ------
        ValueError
            A sequence has a single frame, or an entry that is neither 0 nor 1.
        """
        sequences = check_sequences(sequences, min_length=2)
        for index, roll in enumerate(sequences):
            if not ((roll == 0) | (roll == 1)).all():
                raise ValueError(f"sequence {index} has entries other than 0 and 1: a piano roll was wanted")
        return Examples([roll[:-1] for roll in sequences], [roll[1:] for roll in sequences])

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihood of `targets` (M, o) in nats, summed over notes and frames."""
        return binary_cross_entropy_with_logits(outputs, targets, reduction="sum")

    def count(self, outputs: Tensor, targets: Tensor) -> FrameCounts:
        """Count hits and misses at every threshold, and the likelihood."""
        return count_frames(outputs, targets)


class PairedFrames(NextFrame):
    """Frames to predict that are given, not shifted: each sequence is a pair (inputs (T_i, a), targets (T_i, o))."""

    def examples(self, sequences: list[Tensor]) -> Examples:
        """Take the pairs apart; lengths must agree pair by pair."""
        inputs, targets = (check_sequences(list(part)) for part in zip(*sequences, strict=True))
        for index, (x, y) in enumerate(zip(inputs, targets, strict=True)):
            if len(x) != len(y):
                raise ValueError(f"sequence {index} has {len(x)} input steps but {len(y)} target steps: one a step")
        return Examples(inputs, targets)
