"""What a solver returns: the leading singular values and right singular vectors of Ξ, with fixed signs.

Symbols: k directions, Ξ = V Σ Uᵀ; only the right factor U is ever needed, B = Uᵀ R U.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from linmem.autoencoder.history.operator import HistoryOperator


@dataclass(frozen=True)
class Spectrum:
    """Leading singular values and right vectors."""

    singular_values: Tensor  # (k,) float64, falling
    right_vectors: Tensor  # (L, a, k) float64, orthonormal columns when flattened to (L·a, k)
    residual: float  # estimated energy still missing from the k directions, as a share of ‖Ξ‖²
    converged: bool
    complete: bool  # no further direction has a singular value distinguishable from zero


class Solver(Protocol):
    """Anything that finds the leading singular triplets of a history."""

    def __call__(self, history: HistoryOperator, size: int, generator: torch.Generator) -> Spectrum:
        """Return the `size` leading directions, fewer if the rank is lower; more may come and are of use to `joint`."""
        ...


def fix_signs(vectors: Tensor) -> Tensor:
    """Turn each column so that its entry of largest magnitude is positive: then results can be compared."""
    flat = vectors.flatten(0, -2)
    largest = flat.gather(0, flat.abs().argmax(0, keepdim=True))
    return vectors * torch.where(largest < 0, -1.0, 1.0)
