"""The history matrix as a linear operator: the interface between solvers and the place where the data are stored.

Row t of the history matrix Ξ (N × L·a) is [x_t, γ x_{t-1}, …, γ^{L-1} x_{t-L+1}], with zeros before the start.
Solvers and decoders call only the methods below. A history lists in `provides` what it can do beyond `gram_matvec`.

Symbols: N steps of all sequences, a features, L lags, γ lag decay, q columns of a block Z (L, a, q). [P14] sec. 3.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor


class HistoryOperator(ABC):
    """Ξ as an operator that is not built.

    Attributes
    ----------
    lags : int
        L.
    features : int
        a.
    rows : int
        N.
    energy : float
        ‖Ξ‖²_F.
    device : torch.device
        Device of blocks.
    block : int
        Number of columns for which a product is most efficient: few in memory, more where each product costs a pass
        over the data or a message.
    decay : float
        γ.
    provides : frozenset of str
        Which of "dense", "gram", "matvec" (with "rematvec" and "columns") and "sequences" are available.
    """

    lags: int
    features: int
    rows: int
    energy: float
    device: torch.device
    block: int = 16
    decay: float = 1.0
    provides: frozenset[str] = frozenset()

    @abstractmethod
    def gram_matvec(self, block: Tensor) -> Tensor:
        """Return Ξᵀ(Ξ Z) of Z (L, a, q), float64, in the same shape."""

    def gram(self) -> Tensor:
        """Return ΞᵀΞ, (L·a, L·a) float64."""
        raise self._unsupported("gram")

    def precompute(self) -> "HistoryOperator":
        """Return a history with the same Gram matrix, computed as a whole, that needs no further pass over the data."""
        raise self._unsupported("gram")

    def dense(self) -> Tensor:
        """Return a matrix with L·a columns that has the singular values and right singular vectors of Ξ."""
        raise self._unsupported("dense")

    def matvec(self, block: Tensor) -> Tensor:
        """Return Ξ Z, (N, q), of Z (L, a, q)."""
        raise self._unsupported("matvec")

    def rematvec(self, states: Tensor) -> Tensor:
        """Return Ξᵀ Y, (L, a, q), of Y (N, q)."""
        raise self._unsupported("rematvec")

    def columns(self, start: int, stop: int) -> Tensor:
        """Return the columns of lags start … stop − 1, (N, (stop − start)·a)."""
        raise self._unsupported("matvec")

    def sequences(self) -> Iterator[Tensor]:
        """Yield the (T_i, a) float64 sequences, centred and with the active features only."""
        raise self._unsupported("sequences")

    @abstractmethod
    def lag_energy(self) -> Tensor:
        """(L,) squared norm of each lag's columns."""

    def unweighted(self) -> "HistoryOperator | None":
        """Return the history of the same lags with γ = 1, if that is available."""
        return None

    def _unsupported(self, capability: str) -> ValueError:
        return ValueError(
            f"the history must provide {capability!r} for this operation, got a {type(self).__name__} "
            f"with {sorted(self.provides)}. Pass the sequences as a list or use solver='randomized'."
        )


def lag_weights(lags: int, decay: float, device: torch.device) -> Tensor:
    """(L,) float64 γ^i."""
    return decay ** torch.arange(lags, dtype=torch.float64, device=device)
