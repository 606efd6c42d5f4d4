"""Metrics: counts first, ratios after. Frames of notes, classes, and numbers.

With TP, FP, FN counted at one threshold over all notes of all frames of a split,

    frame accuracy     = Σ_t TP_t / Σ_t (TP_t + FP_t + FN_t)            pooled [Bay et al. 2009]
    expected accuracy  = the same ratio of the expected counts when every note is drawn with its own probability [B12]
    NLL                = −Σ_t Σ_j log p(x_tj) / frames                  nats a frame, summed over the notes

For classes: the share of right answers, and NLL in nats an answer; for real numbers: mean squared error and R².

Counts add up, so a split is measured batch by batch. Letters: M frames or answers, a notes, K thresholds, o outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

THRESHOLDS = (
    torch.arange(1, 100, dtype=torch.float64) / 100
)  # K = 99: 0.01 … 0.99; a note is predicted where its probability exceeds it
HALF = 49  # THRESHOLDS[HALF] is 0.5


@dataclass(frozen=True)
class FrameCounts:
    """What a split's frames add up to; `+` joins two parts. Counts are (K,), one an entry of `THRESHOLDS`."""

    true_positive: Tensor
    false_positive: Tensor
    false_negative: Tensor
    frame_ratio: Tensor  # Σ_t TP_t / (TP_t + FP_t + FN_t), a frame with nothing to find and nothing found counted as 1
    expected_true_positive: float
    expected_union: float
    nll: float
    frames: int

    def __add__(self, other: FrameCounts) -> FrameCounts:
        mine, theirs = vars(self), vars(other)
        return FrameCounts(**{name: mine[name] + theirs[name] for name in mine})

    def accuracy(self) -> Tensor:
        """Pooled frame accuracy at every threshold, (K,); 1 where there was nothing to find and nothing was found."""
        union = self.true_positive + self.false_positive + self.false_negative
        return torch.where(union > 0, self.true_positive.double() / union.clamp(min=1), 1.0)

    def choice(self) -> int:
        """Index of the threshold with the highest pooled accuracy; the one nearest 0.5 among equals."""
        accuracy = self.accuracy()
        best = torch.nonzero(accuracy == accuracy.max()).flatten()
        return int(best[(best - HALF).abs().argmin()])

    def scores(self, choice: int) -> FrameScores:
        """Turn counts into metrics, with the accuracy taken at `THRESHOLDS[choice]`."""
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
    """The metrics of one model on one split of piano rolls; accuracies in [0, 1], NLL in nats a frame."""

    accuracy: float  # at `threshold`, which is to be chosen on the validation split
    threshold: float
    accuracy_at_half: float
    mean_frame_accuracy: float  # the mean of the frames' own ratios, at `threshold`
    expected_accuracy: float
    nll: float
    frames: int

    @property
    def loss(self) -> float:
        """What training lowers: the NLL."""
        return self.nll

    def row(self) -> dict[str, float]:
        """Return the metrics under the headings of a table."""
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
    """Answers that name one of several classes; `+` joins two parts."""

    correct: int
    nll: float
    answers: int

    def __add__(self, other: ClassCounts) -> ClassCounts:
        return ClassCounts(self.correct + other.correct, self.nll + other.nll, self.answers + other.answers)

    def choice(self) -> None:
        """Nothing is left to be chosen on the validation split."""

    def scores(self, choice: None) -> ClassScores:
        """Turn counts into metrics."""
        answers = max(self.answers, 1)
        return ClassScores(self.correct / answers, self.nll / answers, self.answers)


@dataclass(frozen=True)
class ClassScores:
    """The metrics of one model on one split of a classification; NLL in nats an answer."""

    accuracy: float
    nll: float
    answers: int

    @property
    def loss(self) -> float:
        """What training lowers: the NLL."""
        return self.nll

    def row(self) -> dict[str, float]:
        """Return the metrics under the headings of a table."""
        return {"accuracy %": 100 * self.accuracy, "NLL": self.nll}


@dataclass(frozen=True)
class ValueCounts:
    """Answers that are real numbers; `+` joins two parts."""

    squared_error: float
    total: float
    squared_total: float
    answers: int

    def __add__(self, other: ValueCounts) -> ValueCounts:
        mine, theirs = vars(self), vars(other)
        return ValueCounts(**{name: mine[name] + theirs[name] for name in mine})

    def choice(self) -> None:
        """Nothing is left to be chosen on the validation split."""

    def scores(self, choice: None) -> ValueScores:
        """Turn counts into metrics."""
        answers = max(self.answers, 1)
        variance = self.squared_total / answers - (self.total / answers) ** 2
        error = self.squared_error / answers
        return ValueScores(error, 1 - error / variance if variance > 1e-12 else 0.0, self.answers)


@dataclass(frozen=True)
class ValueScores:
    """The metrics of one model on one split of a regression."""

    mse: float  # mean squared error of a number
    accuracy: float  # R², the share of the variance that is explained; 0 where there is none
    answers: int

    @property
    def loss(self) -> float:
        """What training lowers: the mean squared error."""
        return self.mse

    def row(self) -> dict[str, float]:
        """Return the metrics under the headings of a table."""
        return {"R² %": 100 * self.accuracy, "MSE": self.mse}


class Counts(Protocol):
    """What a task counts: it adds up, chooses on the validation split what is left open, and becomes scores."""

    def choice(self) -> Any:
        """What only the validation split may decide."""

    def scores(self, choice: Any) -> Scores:
        """Turn counts into metrics."""


Scores: TypeAlias = FrameScores | ClassScores | ValueScores


def count_frames(logits: Tensor, targets: Tensor) -> FrameCounts:
    """Count what (M, a) `logits` predict of (M, a) `targets` (0 or 1), at every threshold at once.

    Cost: O(M a), by a histogram of the probabilities, plus O(M K) for the frames' own ratios.
    """
    probabilities = torch.sigmoid(logits.double())
    on = targets > 0.5
    levels = torch.bucketize(probabilities, THRESHOLDS.to(probabilities))  # how many thresholds it exceeds
    found, sounding = _above(levels, on), on.sum(1, keepdim=True)
    predicted = _above(levels, torch.ones_like(on))
    union = predicted + sounding - found
    ratio = torch.where(union > 0, found.double() / union.clamp(min=1), 1.0)
    expected = (probabilities * on).sum()
    return FrameCounts(
        true_positive=found.sum(0).cpu(),
        false_positive=(predicted - found).sum(0).cpu(),
        false_negative=(sounding - found).sum(0).cpu(),
        frame_ratio=ratio.sum(0).cpu(),
        expected_true_positive=float(expected),
        expected_union=float(probabilities.sum() + on.sum() - expected),
        nll=float(binary_cross_entropy_with_logits(logits.double(), targets.double(), reduction="sum")),
        frames=len(logits),
    )


def count_classes(outputs: Tensor, targets: Tensor) -> ClassCounts:
    """Count what (M, o) logits say of (M,) classes."""
    nll = float(cross_entropy(outputs.double(), targets, reduction="sum"))
    return ClassCounts(int((outputs.argmax(1) == targets).sum()), nll, len(targets))


def count_values(outputs: Tensor, targets: Tensor) -> ValueCounts:
    """Count what (M, o) numbers say of (M, o) numbers."""
    outputs, targets = outputs.double(), targets.double()
    squared_error = float((outputs - targets).square().sum())
    return ValueCounts(squared_error, float(targets.sum()), float(targets.square().sum()), targets.numel())


def _above(levels: Tensor, keep: Tensor) -> Tensor:
    """Count, for each frame and threshold, the kept notes whose probability exceeds it: (M, a) → (M, K) int64."""
    histogram = levels.new_zeros(len(levels), len(THRESHOLDS) + 1)
    histogram.scatter_add_(1, levels, keep.to(levels.dtype))
    return histogram.flip(1).cumsum(1).flip(1)[:, 1:]
