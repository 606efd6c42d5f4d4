"""Histories of which only the Gram matrix or a factor of it is known: sums over chunks, workers, or one pass.

Symbols: L lags, a features, γ lag decay, k rows of a factor R.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from linmem.autoencoder.history import gram_matrix
from linmem.autoencoder.history.fourier import product
from linmem.autoencoder.history.operator import HistoryOperator, lag_weights


class GramHistory(HistoryOperator):
    """Ξ through its Gram matrix.

    Parameters
    ----------
    gram : (L·a, L·a) float64 tensor
        ΞᵀΞ with its lag weights.
    lags : int
        L.
    rows : int
        N.
    decay : float
        γ, with which the matrix is weighted.
    """

    provides = frozenset({"gram"})
    block = 32

    def __init__(self, gram: Tensor, lags: int, rows: int, decay: float) -> None:
        self._gram, self.lags, self.features = gram, lags, len(gram) // lags
        self.rows, self.decay, self.device = rows, decay, gram.device
        self.energy = float(gram.diagonal().sum())

    def gram(self) -> Tensor:
        """Return ΞᵀΞ."""
        return self._gram

    def precompute(self) -> "GramHistory":
        """Return this history."""
        return self

    def gram_matvec(self, block: Tensor) -> Tensor:
        """Return ΞᵀΞ Z, as Zᵀ times the symmetric matrix: three times as fast as the matrix times 32 columns."""
        return product(block.flatten(0, 1).T.contiguous(), self._gram).T.reshape(block.shape)

    def unweighted(self) -> "UnweightedHistory":
        """Return the history of the same lags with γ = 1."""
        return UnweightedHistory(self)

    def lag_energy(self) -> Tensor:
        """(L,) squared norm of each lag's columns."""
        return self._gram.diagonal().view(self.lags, self.features).sum(1)


class UnweightedHistory(HistoryOperator):
    """Ξ with γ = 1 on the lags of a weighted history: the weights are divided out of its products."""

    provides = frozenset({"gram"})

    def __init__(self, weighted: GramHistory) -> None:
        self.weighted, self.weights = weighted, lag_weights(weighted.lags, weighted.decay, weighted.device)
        self.lags, self.features, self.rows = weighted.lags, weighted.features, weighted.rows
        self.device, self.block = weighted.device, weighted.block
        self.energy = float(self.lag_energy().sum())

    def gram(self) -> Tensor:
        """Return ΞᵀΞ."""
        return gram_matrix.weight_lags_(self.weighted.gram().clone(), self.lags, 1 / self.weighted.decay)

    def gram_matvec(self, block: Tensor) -> Tensor:
        """Return ΞᵀΞ Z."""
        scale = self.weights[:, None, None]
        return self.weighted.gram_matvec(block / scale) / scale

    def lag_energy(self) -> Tensor:
        """(L,) squared norm of each lag's columns."""
        return self.weighted.lag_energy() / self.weights.square()


class FactorHistory(HistoryOperator):
    """Ξ through a factor R, (k, L·a), with RᵀR = ΞᵀΞ; `energy` is that of Ξ, of which R may hold less."""

    provides = frozenset({"dense"})
    block = 64

    def __init__(self, factor: Tensor, lags: int, rows: int, energy: float, decay: float) -> None:
        self._factor, self.lags, self.features = factor, lags, factor.shape[1] // lags
        self.rows, self.energy, self.decay, self.device = rows, energy, decay, factor.device

    def dense(self) -> Tensor:
        """Return R."""
        return self._factor

    def gram_matvec(self, block: Tensor) -> Tensor:
        """Return RᵀR Z."""
        return (self._factor.T @ (self._factor @ block.flatten(0, 1))).view_as(block)

    def lag_energy(self) -> Tensor:
        """(L,) squared norm of each lag's columns."""
        return self._factor.square().sum(0).view(self.lags, self.features).sum(1)

    def unweighted(self) -> "FactorHistory":
        """Return the history of the same lags with γ = 1."""
        weights = lag_weights(self.lags, self.decay, self.device).repeat_interleave(self.features)
        factor = self._factor / weights
        return FactorHistory(factor, self.lags, self.rows, float(factor.square().sum()), 1.0)


class SummedHistory(HistoryOperator):
    """The rows of several histories together."""

    def __init__(self, parts: Sequence[HistoryOperator]) -> None:
        self.parts = parts
        self.lags, self.features, self.device = parts[0].lags, parts[0].features, parts[0].device
        self.rows, self.block = sum(part.rows for part in parts), max(part.block for part in parts)
        self.energy, self.decay = sum(part.energy for part in parts), parts[0].decay

    def gram_matvec(self, block: Tensor) -> Tensor:
        """Return the sum of the parts' Ξᵀ Ξ Z."""
        total = self.parts[0].gram_matvec(block)
        for part in self.parts[1:]:
            total += part.gram_matvec(block)
        return total

    def lag_energy(self) -> Tensor:
        """(L,) squared norm of each lag's columns."""
        return torch.stack([part.lag_energy() for part in self.parts]).sum(0)


def pad_lags(gram: Tensor, features: int, lags: int) -> Tensor:
    """Append lags without energy."""
    new = lags * features - len(gram)
    return torch.nn.functional.pad(gram, (0, new, 0, new)) if new else gram
