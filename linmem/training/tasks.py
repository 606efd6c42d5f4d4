"""Tasks: how a data set becomes inputs and targets, and which loss and metrics compare outputs with targets.

A task is independent of the optimizer: `train` and `evaluate` call its examples, loss and counts. The n targets of a
sequence belong to its last n steps: every step for next-frame prediction, the last step for a class.

Symbols: T steps, M targets of a batch, a inputs, o outputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss, one_hot

from linmem.data import LabelledSplits, PairedSplits, Splits
from linmem.nn.baselines import Persistence
from linmem.sequences import check_sequences
from linmem.training.metrics import ClassCounts, FrameCounts, ValueCounts, count_classes, count_frames, count_values


class Examples(NamedTuple):
    """Inputs and targets, one entry per sequence."""

    inputs: list[Tensor]  # (T_i, a)
    targets: list[Tensor]  # (n_i, o) numbers or (n_i,) classes, n_i ≤ T_i, for the last n_i steps


class Task(Protocol):
    """Interface between a task and the training loop."""

    title: str  # what is predicted, for messages

    def examples(self, splits: Any, split: str) -> Examples:
        """Turn one split into inputs and targets."""

    def output_size(self, splits: Any) -> int:
        """Number of outputs o that a model needs."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Sum the loss of (M, o) model outputs over all targets."""

    def count(self, outputs: Tensor, targets: Tensor) -> Any:
        """Count what the metrics are computed from: see `metrics.Counts`."""

    def as_outputs(self, targets: Tensor, output_size: int) -> Tensor:
        """Regression targets (M, o) of a readout that is solved by least squares."""

    def constant(self, targets: Tensor, output_size: int) -> Tensor:
        """Constant outputs (o,) with the lowest loss on `targets`."""

    def baseline(self, training: Examples, output_size: int) -> tuple[str, nn.Module]:
        """Name and model of the baseline, built from the training examples."""


class NextFrame:
    """Predict each frame of a piano roll from all before it [B12; L18 §5]: frames 2..T, notes as Bernoulli."""

    title = "next frame of a piano roll"

    def examples(self, splits: Any, split: str) -> Examples:
        """Inputs x_1..x_{T-1}, targets x_2..x_T.

        Raises
        ------
        ValueError
            A sequence has a single frame, or an entry that is neither 0 nor 1.
        """
        sequences = check_sequences(getattr(splits, split), min_length=2)
        for index, roll in enumerate(sequences):
            if not ((roll == 0) | (roll == 1)).all():
                raise ValueError(f"sequence {index} must have entries 0 and 1 as a piano roll, got others.")
        return Examples([roll[:-1] for roll in sequences], [roll[1:] for roll in sequences])

    def output_size(self, splits: Any) -> int:
        """One output per note."""
        return splits.features

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihood of `targets` (M, o) in nats, summed over notes and frames."""
        return binary_cross_entropy_with_logits(outputs, targets, reduction="sum")

    def count(self, outputs: Tensor, targets: Tensor) -> FrameCounts:
        """Count hits and misses at every threshold, and the likelihood."""
        return count_frames(outputs, targets)

    def as_outputs(self, targets: Tensor, output_size: int) -> Tensor:
        """4 (y − ½): the sigmoid linearised at 0, σ(z) ≈ ½ + z/4."""
        return 4 * (targets - 0.5)

    def constant(self, targets: Tensor, output_size: int) -> Tensor:
        """Log-odds of every note, with half a frame added to the counts of frames with and without it."""
        return torch.logit((targets.double().sum(0) + 0.5) / (len(targets) + 1)).float()

    def baseline(self, training: Examples, output_size: int) -> tuple[str, nn.Module]:
        """Copy the last frame."""
        return "persistence", Persistence(*training)


class GivenFrames(NextFrame):
    """Frames of zeros and ones that the data set provides as targets."""

    title = "given frames"

    def examples(self, splits: Any, split: str) -> Examples:
        """Inputs and targets of the pairs."""
        return _given(splits, split)

    def output_size(self, splits: Any) -> int:
        """One output per column of the targets."""
        return splits.targets["train"][0].shape[-1]


class Recall(NextFrame):
    """Sequence autoencoding [S20]: read a whole piano roll, then reproduce it in reverse order.

    Inputs are (2 T, a + 1): x_1 … x_T, then T silent steps in which the additional feature is 1; targets are x_T … x_1.
    The memory must hold the whole sequence at once, like that of a linear autoencoder.
    """

    title = "whole piano roll, in reverse order"

    def examples(self, splits: Any, split: str) -> Examples:
        """Inputs (2 T, a + 1) and targets (T, a) of each (T, a) roll."""
        rolls = check_sequences(getattr(splits, split))
        inputs = [torch.cat([nn.functional.pad(x, (0, 1)), x.new_zeros(len(x), x.shape[1] + 1)]) for x in rolls]
        for x in inputs:
            x[len(x) // 2 :, -1] = 1
        return Examples(inputs, [x.flip(0) for x in rolls])

    def baseline(self, training: Examples, output_size: int) -> tuple[str, nn.Module]:
        """Predict each note's rate in the training set."""
        return "note rates", _Constant(self.constant(torch.cat(training.targets), output_size))


class NextValue:
    """Predict each step of a series of real numbers from all before it: mean squared error."""

    title = "next step of a series"

    def examples(self, splits: Any, split: str) -> Examples:
        """Inputs x_1..x_{T-1}, targets x_2..x_T."""
        sequences = check_sequences(getattr(splits, split), min_length=2)
        return Examples([x[:-1] for x in sequences], [x[1:] for x in sequences])

    def output_size(self, splits: Any) -> int:
        """One output per feature."""
        return splits.features

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared error, averaged over outputs and summed over steps."""
        return mse_loss(outputs, targets, reduction="sum") / targets.shape[-1]

    def count(self, outputs: Tensor, targets: Tensor) -> ValueCounts:
        """Count squared errors and the moments behind the variance."""
        return count_values(outputs, targets)

    def as_outputs(self, targets: Tensor, output_size: int) -> Tensor:
        """The numbers themselves."""
        return targets

    def constant(self, targets: Tensor, output_size: int) -> Tensor:
        """Mean of the targets."""
        return targets.mean(0)

    def baseline(self, training: Examples, output_size: int) -> tuple[str, nn.Module]:
        """Copy the last step."""
        return "persistence", _Constant(torch.zeros(output_size), keep=1.0)


class GivenValues(NextValue):
    """Real numbers that the data set provides as targets: after every step, or after the last one."""

    title = "given numbers"

    def examples(self, splits: Any, split: str) -> Examples:
        """Inputs and targets of the pairs."""
        return _given(splits, split)

    def output_size(self, splits: Any) -> int:
        """One output per column of the targets."""
        return splits.targets["train"][0].shape[-1]

    def baseline(self, training: Examples, output_size: int) -> tuple[str, nn.Module]:
        """Predict the mean."""
        return "mean", _Constant(self.constant(torch.cat(training.targets), output_size))


class Classes:
    """Predict the class of a sequence after its last step, or the class of every step."""

    title = "classes"

    def examples(self, splits: Any, split: str) -> Examples:
        """Sequences with their labels, or with the class of every step if the targets are one-hot."""
        if isinstance(splits, LabelledSplits):
            return Examples(check_sequences(getattr(splits, split)), list(splits.labels[split].reshape(-1, 1)))
        inputs, targets = _given(splits, split)
        return Examples(inputs, [y.argmax(-1) for y in targets])

    def output_size(self, splits: Any) -> int:
        """One output per class."""
        if isinstance(splits, LabelledSplits):
            return splits.classes
        return splits.targets["train"][0].shape[-1]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihood of the classes `targets` (M,) in nats, summed."""
        return cross_entropy(outputs, targets, reduction="sum")

    def count(self, outputs: Tensor, targets: Tensor) -> ClassCounts:
        """Count correct predictions, and the likelihood."""
        return count_classes(outputs, targets)

    def as_outputs(self, targets: Tensor, output_size: int) -> Tensor:
        """4 (one-hot − ½): each class against the rest."""
        return 4 * (one_hot(targets, output_size) - 0.5)

    def constant(self, targets: Tensor, output_size: int) -> Tensor:
        """Log-frequency of every class, with half a target added to each count."""
        rates = one_hot(targets, output_size).double().sum(0) + 0.5
        return (rates / rates.sum()).log().float()

    def baseline(self, training: Examples, output_size: int) -> tuple[str, nn.Module]:
        """Predict the class frequencies of the training set."""
        return "most frequent", _Constant(self.constant(torch.cat(training.targets), output_size))


def task_of(splits: Splits) -> Task:
    """Choose the task by the kind of data set: labels, targets, piano rolls or series."""
    if isinstance(splits, LabelledSplits):
        return Classes()
    if isinstance(splits, PairedSplits):
        first = torch.cat([y.reshape(-1, y.shape[-1]) for y in splits.targets["train"]])
        one_hot_rows = ((first == 0) | (first == 1)).all(1) & (first.sum(1) == 1)
        return Classes() if first.shape[1] > 1 and bool(one_hot_rows.all()) else GivenValues()
    return NextFrame() if splits.kind == "piano_roll" else NextValue()


class _Constant(nn.Module):
    """A constant output, plus `keep` times the input."""

    def __init__(self, output: Tensor, keep: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("output", output)
        self.output: Tensor
        self.keep = keep

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        output = self.output.expand(*x.shape[:-1], -1)
        return (output + self.keep * x if self.keep else output), state


def _given(splits: PairedSplits, split: str) -> Examples:
    """Inputs, and targets as (n_i, o): n_i = T_i, or 1 if the only target follows the last step."""
    inputs = check_sequences(getattr(splits, split))
    targets = check_sequences([y.reshape(-1, y.shape[-1]) for y in splits.targets[split]])
    if len(inputs) != len(targets):
        raise ValueError(f"targets must have one entry per sequence ({len(inputs)}), got {len(targets)}.")
    for index, (x, y) in enumerate(zip(inputs, targets, strict=True)):
        if len(y) not in (1, len(x)):
            raise ValueError(f"sequence {index} must have 1 target or one per step ({len(x)}), got {len(y)}.")
    return Examples(inputs, targets)
