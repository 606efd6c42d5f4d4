"""Standardization of features: mean 0 and standard deviation 1 on the training split, kept for later data.

    x̂_t = (x_t − μ) / σ,   μ and σ over all steps of all training sequences

Symbols: a features, T steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from linmem.scales import is_constant


class Standardization(NamedTuple):
    """Statistics of the training split.

    Examples
    --------
    >>> statistics = Standardization.fit([torch.tensor([[0.0, 5.0], [2.0, 5.0]])])
    >>> statistics.apply(torch.tensor([[4.0, 6.0]]))
    tensor([[3., 1.]])
    >>> statistics.invert(torch.tensor([[3.0, 1.0]]))
    tensor([[4., 6.]])
    """

    mean: Tensor  # (a,) float32
    scale: Tensor  # (a,) float32, positive; 1 for a constant feature

    @classmethod
    def fit(cls, sequences: Sequence[Tensor]) -> Standardization:
        """Compute the statistics of (T_i, a) sequences in float64; a constant feature is only centred."""
        steps = torch.cat(list(sequences)).double()
        mean, deviation = steps.mean(0), steps.std(0, correction=0)
        constant = is_constant(deviation, steps.abs().amax(0))
        return cls(mean.float(), torch.where(constant, 1.0, deviation).float())

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> Standardization | None:
        """The statistics in a `Splits.description()`, None where the data were not standardized."""
        stored = description.get("standardization")
        return cls(**{name: torch.tensor(values) for name, values in stored.items()}) if stored else None

    def apply(self, sequence: Tensor) -> Tensor:
        """Standardize a (T, a) sequence."""
        return (sequence - self.mean) / self.scale

    def invert(self, sequence: Tensor) -> Tensor:
        """Return a standardized (T, a) sequence to the original units."""
        return sequence * self.scale + self.mean
