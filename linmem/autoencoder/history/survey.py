"""The exact sums over steps that come before any product: sizes, mean, energy, which features sound at all.

A step x_s of a sequence of T steps stands in T − s + 1 rows of Ξ, so ‖Ξ‖² and its change under centring are weighted
sums over steps, additive over sequences, chunks and workers:
    ‖Ξ − mean‖² = Σ w ‖x‖² − 2 ⟨mean, Σ w x⟩ + ‖mean‖² Σ w,    w = T − s + 1.

Letters: a features, N steps of all sequences, L the longest length.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Survey:
    """Sums over the steps of some sequences."""

    lags: int  # L
    rows: int  # N
    sequences: int
    weight: float  # Σ w
    total: Tensor  # (a,) float64, Σ x
    weighted: Tensor  # (a,) float64, Σ w x
    squares: Tensor  # (a,) float64, Σ w x²
    sounding: Tensor  # (a,) float64, 1 where a feature is not always zero

    @classmethod
    def empty(cls, features: int, device: torch.device) -> "Survey":
        """Return the survey of nothing."""
        zero = torch.zeros(features, dtype=torch.float64, device=device)
        return cls(1, 0, 0, 0.0, zero, zero, zero, zero)

    @classmethod
    def of(cls, sequences: Iterable[Tensor], features: int, device: torch.device) -> "Survey":
        """Survey checked (T_i, a) sequences."""
        found = cls.empty(features, device)
        total, weighted, squares, sounding = (torch.zeros_like(found.total) for _ in range(4))
        lags, rows, count, weight = 1, 0, 0, 0.0
        for sequence in sequences:
            values, length = sequence.to(torch.float64), len(sequence)
            weights = torch.arange(length, 0, -1, dtype=torch.float64, device=device)
            total += values.sum(0)
            weighted += weights @ values
            squares += weights @ values.square()
            sounding = torch.maximum(sounding, (values != 0).any(0).to(torch.float64))
            lags, rows, count = max(lags, length), rows + length, count + 1
            weight += length * (length + 1) / 2
        return cls(lags, rows, count, weight, total, weighted, squares, sounding)

    def __add__(self, other: "Survey") -> "Survey":
        """Survey of both sets of sequences."""
        return Survey(
            max(self.lags, other.lags),
            self.rows + other.rows,
            self.sequences + other.sequences,
            self.weight + other.weight,
            self.total + other.total,
            self.weighted + other.weighted,
            self.squares + other.squares,
            torch.maximum(self.sounding, other.sounding),
        )

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

    def heard(self) -> list[int]:
        """Features that are not zero throughout: a piano has 88 keys, four voices sing 51 notes."""
        return [int(feature) for feature in self.sounding.nonzero()[:, 0]] or [0]
