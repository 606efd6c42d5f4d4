"""Frame metrics: counts first, ratios after.

With TP, FP, FN counted at one threshold over all notes of all frames of a split,

    frame accuracy     = Σ_t TP_t / Σ_t (TP_t + FP_t + FN_t)            pooled [Bay et al. 2009]
    expected accuracy  = the same ratio of the expected counts when every note is drawn with its own probability [B12]
    NLL                = −Σ_t Σ_j log p(x_tj) / frames                  nats a frame, summed over the notes

Counts add up, so a split is measured batch by batch. Letters: M frames, a notes, K thresholds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

THRESHOLDS = torch.arange(1, 100, dtype=torch.float64) / 100  # K = 99: 0.01 … 0.99; a note is predicted where its probability exceeds it
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

    def best_threshold(self) -> int:
        """Index of the threshold with the highest pooled accuracy; the one nearest 0.5 among equals."""
        accuracy = self.accuracy()
        best = torch.nonzero(accuracy == accuracy.max()).flatten()
        return int(best[(best - HALF).abs().argmin()])


@dataclass(frozen=True)
class Scores:
    """The metrics of one model on one split; accuracies in [0, 1], NLL in nats a frame."""

    accuracy: float  # at `threshold`, which is to be chosen on the validation split
    threshold: float
    accuracy_at_half: float
    mean_frame_accuracy: float  # the mean of the frames' own ratios, at `threshold`
    expected_accuracy: float
    nll: float
    frames: int

    def to_dict(self) -> dict[str, float]:
        """Return the metrics by name."""
        return asdict(self)


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


def score(counts: FrameCounts, threshold: int) -> Scores:
    """Turn counts into metrics, with the accuracy taken at `THRESHOLDS[threshold]`."""
    accuracy = counts.accuracy()
    return Scores(
        accuracy=float(accuracy[threshold]),
        threshold=round(float(THRESHOLDS[threshold]), 2),
        accuracy_at_half=float(accuracy[HALF]),
        mean_frame_accuracy=float(counts.frame_ratio[threshold]) / max(counts.frames, 1),
        expected_accuracy=counts.expected_true_positive / max(counts.expected_union, 1e-12),
        nll=counts.nll / max(counts.frames, 1),
        frames=counts.frames,
    )


def _above(levels: Tensor, keep: Tensor) -> Tensor:
    """Count, for each frame and threshold, the kept notes whose probability exceeds it: (M, a) → (M, K) int64."""
    histogram = levels.new_zeros(len(levels), len(THRESHOLDS) + 1)
    histogram.scatter_add_(1, levels, keep.to(levels.dtype))
    return histogram.flip(1).cumsum(1).flip(1)[:, 1:]
