"""Exact sums over steps that precede every product: sizes, mean, energy, active features.

A step x_s of a sequence of T steps is in min(T − s + 1, K) rows of Ξ, at lags 0, 1, … with weight γ^i, so ‖Ξ‖² and its
change under centring are weighted sums over steps, additive over sequences, chunks and workers:
    ‖Ξ − mean‖² = Σ w ‖x‖² − 2 ⟨mean, Σ w x⟩ + ‖mean‖² Σ w,    w = Σ_{i < min(T − s + 1, K)} γ^{2i}.

Symbols: a features, N steps of all sequences, T steps of one, K lags that count, γ lag decay.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

NEGLECTED = 1e-7  # share of a stationary signal's weighted energy beyond K lags, equal to the tolerance of Randomized


class LagWeights(NamedTuple):
    """γ, and the number of lags K beyond which weights are neglected (None: all lags count)."""

    decay: float = 1.0
    lags: int | None = None

    @classmethod
    def of(cls, decay: float) -> "LagWeights":
        """K = ⌈log ε / log γ⌉ with ε² = 1e-7: lags from K on hold γ^{2K} ≤ ε² of a stationary signal's energy."""
        return cls() if decay == 1 else cls(decay, max(1, math.ceil(math.log(NEGLECTED) / (2 * math.log(decay)))))

    def count(self, longest: int) -> int:
        """Lags of the history of sequences of at most `longest` steps."""
        return longest if self.lags is None else min(self.lags, longest)

    def step_weights(self, length: int, device: torch.device) -> Tensor:
        """(T,) w of the steps of one sequence."""
        rows = torch.arange(length, 0, -1, dtype=torch.float64, device=device)
        if self.lags is None:
            return rows
        twice = 2 * math.log(self.decay)
        return torch.expm1(twice * rows.clamp_max(self.lags)) / math.expm1(twice)


UNWEIGHTED = LagWeights()


@dataclass(frozen=True)
class Survey:
    """Sums over the steps of some sequences."""

    longest: int
    rows: int  # N
    sequences: int
    weight: float  # Σ w
    total: Tensor  # (a,) float64, Σ x
    weighted: Tensor  # (a,) float64, Σ w x
    squares: Tensor  # (a,) float64, Σ w x²
    largest: Tensor  # (a,) float64, max |x|
    weights: LagWeights

    @classmethod
    def empty(cls, features: int, device: torch.device, weights: LagWeights = UNWEIGHTED) -> "Survey":
        """Return the survey of no sequences."""
        zero = torch.zeros(features, dtype=torch.float64, device=device)
        return cls(1, 0, 0, 0.0, zero, zero, zero, zero, weights)

    @classmethod
    def of(
        cls, sequences: Iterable[Tensor], features: int, device: torch.device, weights: LagWeights = UNWEIGHTED
    ) -> "Survey":
        """Survey checked (T_i, a) sequences."""
        found = cls.empty(features, device, weights)
        total, weighted, squares, largest = (torch.zeros_like(found.total) for _ in range(4))
        longest, rows, count, weight = 1, 0, 0, 0.0
        for sequence in sequences:
            values, length = sequence.to(torch.float64), len(sequence)
            w = weights.step_weights(length, device)
            total += values.sum(0)
            weighted += w @ values
            squares += w @ values.square()
            largest = torch.maximum(largest, values.abs().amax(0))
            longest, rows, count = max(longest, length), rows + length, count + 1
            weight += length * (length + 1) / 2 if weights.lags is None else float(w.sum())
        return cls(longest, rows, count, weight, total, weighted, squares, largest, weights)

    def __add__(self, other: "Survey") -> "Survey":
        """Survey of both sets of sequences."""
        return Survey(
            max(self.longest, other.longest),
            self.rows + other.rows,
            self.sequences + other.sequences,
            self.weight + other.weight,
            self.total + other.total,
            self.weighted + other.weighted,
            self.squares + other.squares,
            torch.maximum(self.largest, other.largest),
            self.weights,
        )

    def scaled(self, factor: Tensor) -> "Survey":
        """Survey of the sequences with their features multiplied by `factor`, (a,)."""
        return replace(
            self,
            total=self.total * factor,
            weighted=self.weighted * factor,
            squares=self.squares * factor * factor,
            largest=self.largest * factor.abs(),
        )

    @property
    def lags(self) -> int:
        """The number of lags of the history, min(longest, K)."""
        return self.weights.count(self.longest)

    @property
    def mean(self) -> Tensor:
        """(a,) mean step."""
        return self.total / max(self.rows, 1)

    def energy(self, mean: Tensor | None = None) -> float:
        """‖Ξ‖², or that of the centred history."""
        if mean is None:
            return float(self.squares.sum())
        change = self.squares - 2 * mean * self.weighted + self.weight * mean.square()
        return float(change.clamp_min(0).sum())

    def active(self) -> list[int]:
        """Features that are not zero throughout: a piano has 88 keys, the chorales use 51 of them."""
        return [int(feature) for feature in self.largest.nonzero()[:, 0]] or [0]
