"""All of ΞᵀΞ and its eigendecomposition: for many short sequences, and for lag weights that leave few columns.

One matrix product of n (L·a)² multiplications and one eigendecomposition of L·a columns, for any p. As in the
matrix-free solver the spectrum is squared: σ below 3e-7 of the largest one is rounding. The history keeps ΞᵀΞ for the
products of the decoders.

Symbols: n sequences, a features, L lags. Sperduti 2013.
"""

import torch

from linmem.autoencoder.history.operator import HistoryOperator
from linmem.autoencoder.solvers.block_krylov import NEGLIGIBLE
from linmem.autoencoder.solvers.spectrum import Spectrum, fix_signs


def correlated(history: HistoryOperator, size: int, generator: torch.Generator | None = None) -> Spectrum:
    """Return all directions of Ξ distinguishable from zero; `size` and `generator` have no effect."""
    values, vectors = torch.linalg.eigh(history.gram())
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    rank = int((values > NEGLIGIBLE * values[:1]).sum())
    right = vectors[:, :rank].reshape(history.lags, history.features, rank)
    return Spectrum(values[:rank].sqrt(), fix_signs(right), 0.0, True, True)
