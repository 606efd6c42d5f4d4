"""Tasks: what is asked of a model, and how an answer is measured. They turn sequences into inputs and targets.

A task knows nothing of optimizers: `train` and `evaluate` ask it for examples, a loss, and counts. A sequence with n
targets is asked for them in its last n steps: all of them frame by frame, the last one for a class.

Letters: T steps, M answers of a batch, o outputs.
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
    """What goes in and what should come out, sequence by sequence."""

    inputs: list[Tensor]  # (T_i, a)
    targets: list[Tensor]  # (n_i, o) numbers or (n_i,) classes, n_i ≤ T_i, for the last n_i steps


class Task(Protocol):
    """What `train` needs to know of a task."""

    def examples(self, splits: Any, split: str) -> Examples:
        """Turn one split into inputs and targets."""

    def output_size(self, splits: Any) -> int:
        """How many outputs, o, a model needs."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Sum the loss of (M, o) model outputs over all answers."""

    def count(self, outputs: Tensor, targets: Tensor) -> Any:
        """Count what the metrics are made of: see `metrics.Counts`."""

    def as_outputs(self, targets: Tensor, output_size: int) -> Tensor:
        """What a readout solved by least squares should give, (M, o)."""

    def constant(self, targets: Tensor, output_size: int) -> Tensor:
        """Outputs (o,) that answer all `targets` alike with the least loss."""

    def simplest(self, splits: Any) -> tuple[str, nn.Module]:
        """Name and build, from the training split, the model that every other has to beat."""


class NextFrame:
    """Predict each frame of a piano roll from all before it [B12; L18 §5]: frames 2..T, a note a Bernoulli variable."""

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
                raise ValueError(f"sequence {index} has entries other than 0 and 1: a piano roll was wanted")
        return Examples([roll[:-1] for roll in sequences], [roll[1:] for roll in sequences])

    def output_size(self, splits: Any) -> int:
        """One output a note."""
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
        """Log-odds of every note, half a frame with it and half a frame without it added to those seen."""
        return torch.logit((targets.double().sum(0) + 0.5) / (len(targets) + 1)).float()

    def simplest(self, splits: Any) -> tuple[str, nn.Module]:
        """Copy the last frame."""
        return "persistence", Persistence(*self.examples(splits, "train"))


class GivenFrames(NextFrame):
    """Frames of zeros and ones that are given beside the inputs, not their future."""

    def examples(self, splits: Any, split: str) -> Examples:
        """Take the pairs apart."""
        return _given(splits, split)

    def output_size(self, splits: Any) -> int:
        """One output a column of the targets."""
        return splits.targets["train"][0].shape[-1]


class Recall(NextFrame):
    """Sequence autoencoding [S20]: hear a piano roll whole, then give it back, the last frame first.

    Inputs are (2 T, a + 1): x_1 … x_T, then T silent steps in which the additional feature is 1; targets are x_T … x_1.
    So the memory must hold all of the sequence at once, as that of a linear autoencoder does.
    """

    def examples(self, splits: Any, split: str) -> Examples:
        """Turn each (T, a) roll into what is heard and what is to be given back."""
        rolls = check_sequences(getattr(splits, split))
        heard = [torch.cat([nn.functional.pad(x, (0, 1)), x.new_zeros(len(x), x.shape[1] + 1)]) for x in rolls]
        for x in heard:
            x[len(x) // 2 :, -1] = 1
        return Examples(heard, [x.flip(0) for x in rolls])

    def simplest(self, splits: Any) -> tuple[str, nn.Module]:
        """Answer with each note's rate in the training set."""
        frames = torch.cat(splits.train).double()
        rates = (frames.sum(0) + 0.5) / (len(frames) + 1)
        return "note rates", _Constant(torch.logit(rates).float())


class NextValue:
    """Predict each step of a series of real numbers from all before it: mean squared error."""

    def examples(self, splits: Any, split: str) -> Examples:
        """Inputs x_1..x_{T-1}, targets x_2..x_T."""
        sequences = check_sequences(getattr(splits, split), min_length=2)
        return Examples([x[:-1] for x in sequences], [x[1:] for x in sequences])

    def output_size(self, splits: Any) -> int:
        """One output a feature."""
        return splits.features

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared error, a mean over outputs, summed over steps."""
        return mse_loss(outputs, targets, reduction="sum") / targets.shape[-1]

    def count(self, outputs: Tensor, targets: Tensor) -> ValueCounts:
        """Count squared errors, and what the variance is made of."""
        return count_values(outputs, targets)

    def as_outputs(self, targets: Tensor, output_size: int) -> Tensor:
        """Give the numbers themselves."""
        return targets

    def constant(self, targets: Tensor, output_size: int) -> Tensor:
        """Return their mean."""
        return targets.mean(0)

    def simplest(self, splits: Any) -> tuple[str, nn.Module]:
        """Copy the last step."""
        return "persistence", _Constant(torch.zeros(splits.features), keep=1.0)


class GivenValues(NextValue):
    """Real numbers that are given: after every step, or after the last one."""

    def examples(self, splits: Any, split: str) -> Examples:
        """Take the pairs apart."""
        return _given(splits, split)

    def output_size(self, splits: Any) -> int:
        """One output a column of the targets."""
        return splits.targets["train"][0].shape[-1]

    def simplest(self, splits: Any) -> tuple[str, nn.Module]:
        """Answer the mean."""
        seen = torch.cat(self.examples(splits, "train").targets)
        return "mean", _Constant(self.constant(seen, self.output_size(splits)))


class Classes:
    """Name the class of a sequence after its last step, or of every step."""

    def examples(self, splits: Any, split: str) -> Examples:
        """Sequences with their labels, or with the class of every step where the targets are one-hot."""
        if isinstance(splits, LabelledSplits):
            return Examples(check_sequences(getattr(splits, split)), list(splits.labels[split].reshape(-1, 1)))
        inputs, targets = _given(splits, split)
        return Examples(inputs, [y.argmax(-1) for y in targets])

    def output_size(self, splits: Any) -> int:
        """One output a class."""
        if isinstance(splits, LabelledSplits):
            return splits.classes
        return splits.targets["train"][0].shape[-1]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihood of the classes `targets` (M,) in nats, summed."""
        return cross_entropy(outputs, targets, reduction="sum")

    def count(self, outputs: Tensor, targets: Tensor) -> ClassCounts:
        """Count right answers, and the likelihood."""
        return count_classes(outputs, targets)

    def as_outputs(self, targets: Tensor, output_size: int) -> Tensor:
        """4 (one-hot − ½), each class against the rest."""
        return 4 * (one_hot(targets, output_size) - 0.5)

    def constant(self, targets: Tensor, output_size: int) -> Tensor:
        """Log-frequency of every class, half an answer added to those seen."""
        rates = one_hot(targets, output_size).double().sum(0) + 0.5
        return (rates / rates.sum()).log().float()

    def simplest(self, splits: Any) -> tuple[str, nn.Module]:
        """Answer the most frequent class, with the certainty seen in training."""
        seen = torch.cat(self.examples(splits, "train").targets)
        return "most frequent", _Constant(self.constant(seen, self.output_size(splits)))


def task_of(splits: Splits) -> Task:
    """Return the task that a data set sets by its kind."""
    if isinstance(splits, LabelledSplits):
        return Classes()
    if isinstance(splits, PairedSplits):
        first = torch.cat([y.reshape(-1, y.shape[-1]) for y in splits.targets["train"]])
        choice = first.shape[1] > 1 and bool((((first == 0) | (first == 1)).all(1) & (first.sum(1) == 1)).all())
        return Classes() if choice else GivenValues()
    return NextFrame() if splits.kind == "piano_roll" else NextValue()


class _Constant(nn.Module):
    """Always the same answer, plus `keep` times the input."""

    def __init__(self, answer: Tensor, keep: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("answer", answer)
        self.answer: Tensor
        self.keep = keep

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        answer = self.answer.expand(*x.shape[:-1], -1)
        return (answer + self.keep * x if self.keep else answer), state


def _given(splits: PairedSplits, split: str) -> Examples:
    """Inputs, and targets as (n_i, o): n_i = T_i, or 1 where there is one answer after the last step."""
    inputs = check_sequences(getattr(splits, split))
    targets = check_sequences([y.reshape(-1, y.shape[-1]) for y in splits.targets[split]])
    if len(inputs) != len(targets):
        raise ValueError(f"{len(inputs)} sequences came with {len(targets)} targets: one for each was wanted")
    for index, (x, y) in enumerate(zip(inputs, targets, strict=True)):
        if len(y) not in (1, len(x)):
            raise ValueError(f"sequence {index} has {len(x)} steps but {len(y)} targets: one a step or one was wanted")
    return Examples(inputs, targets)
