"""Metrics: counts first, ratios after. Frames of notes, classes, and numbers.

With TP, FP, FN counted at one threshold over all notes of all frames of a split,

    frame accuracy     = Σ_t TP_t / Σ_t (TP_t + FP_t + FN_t)            pooled [Bay et al. 2009]
    expected accuracy  = the same ratio of the expected counts when every note is drawn with its own probability [B12]
    NLL                = −Σ_t Σ_j log p(x_tj) / frames                  nats per frame, summed over the notes

For classes: the proportion of correct predictions, and NLL in nats per target. For real numbers: mean squared error and
R² = 1 − Σ (y − x)² / Σ (x − x̄)², with the mean x̄ of each output. Counts of two batches are added, so that a split is
measured batch by batch.

Symbols: M frames or targets, a notes, K thresholds, o outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from linmem.scales import is_constant
from linmem.validation import check_tensor

THRESHOLDS = (
    torch.arange(1, 100, dtype=torch.float64) / 100
)  # K = 99: 0.01 … 0.99; a note is predicted where its probability exceeds it
HALF = 49  # THRESHOLDS[HALF] is 0.5


@dataclass(frozen=True)
class FrameCounts:
    """Counts over the frames of a split; `+` adds two parts. Tensors are (K,), one entry per entry of `THRESHOLDS`."""

    true_positive: Tensor
    false_positive: Tensor
    false_negative: Tensor
    frame_ratio: Tensor  # Σ_t TP_t / (TP_t + FP_t + FN_t), where an empty frame that is predicted empty counts as 1
    expected_true_positive: float
    expected_union: float
    nll: float
    frames: int

    def __add__(self, other: FrameCounts) -> FrameCounts:
        return type(self)(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def accuracy(self) -> Tensor:
        """Pooled frame accuracy at every threshold, (K,); 1 if there are neither notes nor predictions."""
        union = self.true_positive + self.false_positive + self.false_negative
        return torch.where(union > 0, self.true_positive.double() / union.clamp(min=1), 1.0)

    def choice(self) -> int:
        """Index of the threshold with the highest pooled accuracy; among equals the one nearest 0.5."""
        accuracy = self.accuracy()
        best = torch.nonzero(accuracy == accuracy.max()).flatten()
        return int(best[(best - HALF).abs().argmin()])

    def scores(self, choice: int) -> FrameScores:
        """Compute the metrics, with the accuracy at `THRESHOLDS[choice]`."""
        accuracy, frames = self.accuracy(), max(self.frames, 1)
        return FrameScores(
            accuracy=float(accuracy[choice]),
            threshold=round(float(THRESHOLDS[choice]), 2),
            accuracy_at_half=float(accuracy[HALF]),
            mean_frame_accuracy=float(self.frame_ratio[choice]) / frames,
            expected_accuracy=self.expected_true_positive / max(self.expected_union, 1e-12),
            nll=self.nll / frames,
            frames=self.frames,
        )


@dataclass(frozen=True)
class FrameScores:
    """The metrics of one model on one split of piano rolls; accuracies in [0, 1], NLL in nats per frame."""

    accuracy: float  # at `threshold`, which the validation split decides
    threshold: float
    accuracy_at_half: float
    mean_frame_accuracy: float  # mean over frames of the ratio of each frame, at `threshold`
    expected_accuracy: float
    nll: float
    frames: int

    @property
    def loss(self) -> float:
        """The quantity that training minimizes: the NLL."""
        return self.nll

    def row(self) -> dict[str, float]:
        """The metrics by the column headings of a table."""
        return {
            "accuracy %": 100 * self.accuracy,
            "at threshold": self.threshold,
            "accuracy % at 0.5": 100 * self.accuracy_at_half,
            "expected %": 100 * self.expected_accuracy,
            "mean of frames %": 100 * self.mean_frame_accuracy,
            "NLL": self.nll,
        }


@dataclass(frozen=True)
class ClassCounts:
    """Counts of predicted classes; `+` adds two parts."""

    correct: int
    nll: float
    num_targets: int

    def __add__(self, other: ClassCounts) -> ClassCounts:
        return ClassCounts(self.correct + other.correct, self.nll + other.nll, self.num_targets + other.num_targets)

    def choice(self) -> None:
        """No threshold to choose."""

    def scores(self, choice: None) -> ClassScores:
        """Compute the metrics."""
        targets = max(self.num_targets, 1)
        return ClassScores(self.correct / targets, self.nll / targets, self.num_targets)


@dataclass(frozen=True)
class ClassScores:
    """The metrics of one model on one split of a classification; NLL in nats per target."""

    accuracy: float
    nll: float | None  # None for a model without probabilities
    num_targets: int

    @property
    def loss(self) -> float:
        """The quantity that training minimizes: the NLL; without probabilities, the proportion of errors."""
        return 1 - self.accuracy if self.nll is None else self.nll

    def row(self) -> dict[str, float]:
        """The metrics by the column headings of a table."""
        return {"accuracy %": 100 * self.accuracy} | ({} if self.nll is None else {"NLL": self.nll})


@dataclass(frozen=True)
class ValueCounts:
    """Sums over predicted real numbers; `+` adds two parts. Tensors are (o,) float64, one entry per output."""

    squared_error: float
    mean: Tensor
    squares: Tensor  # Σ (x − mean)²
    largest: Tensor  # max |x|
    num_targets: int  # M · o

    def __add__(self, other: ValueCounts) -> ValueCounts:
        """Merge means and squares without cancellation [Chan, Golub & LeVeque 1983]."""
        together = self.num_targets + other.num_targets
        share, between = other.num_targets / max(together, 1), other.mean - self.mean
        rows = self.num_targets // len(self.mean)
        return ValueCounts(
            self.squared_error + other.squared_error,
            self.mean + share * between,
            self.squares + other.squares + rows * share * between.square(),
            torch.maximum(self.largest, other.largest),
            together,
        )

    def choice(self) -> None:
        """No threshold to choose."""

    def scores(self, choice: None) -> ValueScores:
        """Compute the metrics."""
        rows = max(self.num_targets // len(self.mean), 1)
        varies = ~is_constant((self.squares / rows).sqrt(), self.largest)
        squares = float(self.squares[varies].sum())
        explained = 1 - self.squared_error / squares if squares else 0.0
        return ValueScores(self.squared_error / max(self.num_targets, 1), explained, self.num_targets)


@dataclass(frozen=True)
class ValueScores:
    """The metrics of one model on one split of a regression."""

    mse: float  # mean squared error per number
    accuracy: float  # R² of all outputs together, each about its own mean; 0 if every output is constant
    num_targets: int

    @property
    def loss(self) -> float:
        """The quantity that training minimizes: the mean squared error."""
        return self.mse

    def row(self) -> dict[str, float]:
        """The metrics by the column headings of a table."""
        return {"R² %": 100 * self.accuracy, "MSE": self.mse}


class Counts(Protocol):
    """Counts of a task: they are added, decide on the validation split, and give scores."""

    def choice(self) -> Any:
        """What the validation split decides, e.g. the threshold."""

    def scores(self, choice: Any) -> Scores:
        """Compute the metrics."""


Scores: TypeAlias = FrameScores | ClassScores | ValueScores


def count_frames(logits: Tensor, targets: Tensor) -> FrameCounts:
    """Compare (M, a) `logits` with (M, a) `targets` (0 or 1) at every threshold.

    A logit that is NaN predicts no note, and makes the NLL NaN.

    Cost: O(M a), by a histogram of the probabilities, plus O(M K) for the ratios of the frames.

    Raises
    ------
    TypeError
        An argument is not a tensor.
    ValueError
        The shapes differ, or a target is not between 0 and 1.
    """
    _check_pair(logits, targets)
    if not ((targets >= 0) & (targets <= 1)).all():
        raise ValueError("targets must be from 0 to 1, got other values. Pass the piano roll.")
    probabilities = torch.sigmoid(logits.double())
    on = targets > 0.5
    levels = torch.bucketize(probabilities.nan_to_num(0.0), THRESHOLDS.to(probabilities))  # thresholds below each
    hits, sounding = _above(levels, on), on.sum(1, keepdim=True)
    predicted = _above(levels, torch.ones_like(on))
    union = predicted + sounding - hits
    ratio = torch.where(union > 0, hits.double() / union.clamp(min=1), 1.0)
    expected = (probabilities * on).sum()
    return FrameCounts(
        true_positive=hits.sum(0).cpu(),
        false_positive=(predicted - hits).sum(0).cpu(),
        false_negative=(sounding - hits).sum(0).cpu(),
        frame_ratio=ratio.sum(0).cpu(),
        expected_true_positive=float(expected),
        expected_union=float(probabilities.sum() + on.sum() - expected),
        nll=float(binary_cross_entropy_with_logits(logits.double(), targets.double(), reduction="sum")),
        frames=len(logits),
    )


def count_classes(outputs: Tensor, targets: Tensor) -> ClassCounts:
    """Compare (M, o) logits with (M,) classes; a row with NaN is not correct, and makes the NLL NaN.

    Raises
    ------
    TypeError
        An argument is not a tensor.
    ValueError
        The numbers of rows differ, or a target is not a class from 0 to o − 1.
    """
    check_tensor("outputs", outputs, 2, finite=False)
    check_tensor("targets", targets, 1)
    if targets.dtype != torch.int64 or len(targets) != len(outputs):
        raise ValueError(
            f"targets must be {len(outputs)} classes in int64, got {len(targets)} values in {targets.dtype}."
        )
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < outputs.shape[1]:
        raise ValueError(f"targets must be classes from 0 to {outputs.shape[1] - 1}, got others.")
    nll = float(cross_entropy(outputs.double(), targets, reduction="sum"))
    correct = (outputs.argmax(1) == targets) & ~outputs.isnan().any(1) if len(targets) else targets
    return ClassCounts(int(correct.sum()), nll, len(targets))


def count_values(outputs: Tensor, targets: Tensor) -> ValueCounts:
    """Compare (M, o) outputs with (M, o) targets.

    Raises
    ------
    TypeError
        An argument is not a tensor.
    ValueError
        The shapes differ, or a target is NaN or infinite.
    """
    _check_pair(outputs, targets)
    outputs, targets = outputs.double(), targets.double()
    empty = targets.new_zeros(1, targets.shape[1])
    mean = (targets if len(targets) else empty).mean(0)
    return ValueCounts(
        squared_error=float((outputs - targets).square().sum()),
        mean=mean.cpu(),
        squares=(targets - mean).square().sum(0).cpu(),
        largest=torch.cat([targets, empty]).abs().amax(0).cpu(),
        num_targets=targets.numel(),
    )


def _check_pair(outputs: Tensor, targets: Tensor) -> None:
    check_tensor("outputs", outputs, 2, finite=False)
    check_tensor("targets", targets, 2)
    if outputs.shape != targets.shape:
        raise ValueError(
            f"targets must have the shape of the outputs {tuple(outputs.shape)}, got {tuple(targets.shape)}."
        )


def _above(levels: Tensor, keep: Tensor) -> Tensor:
    """Number of selected notes above each threshold, per frame: (M, a) → (M, K) int64."""
    histogram = levels.new_zeros(len(levels), len(THRESHOLDS) + 1)
    histogram.scatter_add_(1, levels, keep.to(levels.dtype))
    return histogram.flip(1).cumsum(1).flip(1)[:, 1:]
