"""Matrix-free: randomized block Krylov iteration on Z ↦ Ξᵀ(Ξ Z), with Rayleigh–Ritz on everything seen so far.

A music set's spectrum is flat (JSB: σ_99 / σ_100 = 1.003), so power iterations with a fixed block stall; a Krylov
space of small blocks reaches the same energy with a fifth of the products. The basis is kept orthonormal by two
passes of Gram–Schmidt, the projected matrix H = Qᵀ Ξᵀ Ξ Q is measured, not inferred, and the iteration stops when the
*energy of the leading directions* no longer changes; past `basis_limit` columns it restarts from the best Ritz vectors.

Symbols: n = L·a columns of Ξ, K columns of the basis Q, b block size. Golub & Underwood 1977; Musco & Musco 2015;
thick restart: Wu & Simon 2000.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from linmem.autoencoder.history.fourier import product
from linmem.autoencoder.history.operator import HistoryOperator
from linmem.autoencoder.solvers.spectrum import Spectrum, fix_signs

NEGLIGIBLE = (
    1e-13  # a direction with less than this share of σ_1² (1e-6.5 of σ_1) is rounding: ΞᵀΞ squares the spectrum
)


@dataclass(frozen=True)
class Randomized:
    """Block Krylov solver.

    Parameters
    ----------
    tolerance : float
        Stop when the energy estimated to be missing from the requested directions is below this share of ‖Ξ‖².
    block : int, optional
        Columns of one product; by default what the history takes at best.
    spare : int
        Ritz vectors returned beyond the requested number; they are accurate to a few digits only.
    basis_limit : int, optional
        Restart when the basis has this number of columns; by default four times the requested number plus 200.
    products : int
        Give up after so many products with a block; the result then says `converged=False`.
    """

    tolerance: float = 1e-7
    block: int | None = None
    spare: int = 0
    basis_limit: int | None = None
    products: int = 2000

    def __call__(self, history: HistoryOperator, size: int, generator: torch.Generator) -> Spectrum:
        """Find the `size` leading directions; O(N log L) a column, L·a numbers a basis vector."""
        width = history.lags * history.features
        block = min(self.block or history.block, width)
        limit = max(self.basis_limit or 4 * size + 200, size + 2 * block)
        basis = Basis(history, min(width, limit), block, generator)
        captured, change, checked, missing = 0.0, math.inf, 0, 1.0
        for step in range(max(self.products, 2 * size // block + 2)):
            grown = basis.grow()
            if not grown or (basis.size >= size and basis.size - checked >= max(basis.block, size // 10)):
                values = basis.values()[:size]
                before, captured, checked = captured, float(values.sum()), basis.size
                change, last = (captured - before if before else math.inf), change
                ratio = min(max(change / last, 0.0), 0.9) if 0 < last < math.inf else 0.9
                missing = change * ratio / (1 - ratio) / max(history.energy, torch.finfo(torch.float64).tiny)
                if not grown or (step > 2 and missing < self.tolerance):
                    return basis.spectrum(size + self.spare, 0.0 if not grown else missing, True, not grown)
            if basis.full:
                basis.restart(size + (limit - size) // 3)
                checked = basis.size
        return basis.spectrum(size + self.spare, missing, False, False)


class Basis:
    """Orthonormal Q, one vector a row, and H = Q ΞᵀΞ Qᵀ; `grow` multiplies the newest rows and appends what is new.

    Rows, because the two products of Gram–Schmidt run twice as fast on them as on columns (263,000 × 300 numbers).
    """

    def __init__(self, history: HistoryOperator, limit: int, block: int, generator: torch.Generator) -> None:
        self.history, self.block, self.generator = history, block, generator
        self.shape = (history.lags, history.features)
        self.width = history.lags * history.features
        self.vectors = torch.zeros(limit + block, self.width, dtype=torch.float64, device=history.device)
        self.projected = torch.zeros(limit + block, limit + block, dtype=torch.float64, device=history.device)
        self.limit, self.size = limit, 0
        self.scale = 0.0  # the largest ‖ΞᵀΞ q‖ seen, about σ_1²
        self.newest = self._fresh()

    @property
    def full(self) -> bool:
        """Whether the next block would pass the limit."""
        return self.size + len(self.newest) > self.limit

    def grow(self) -> bool:
        """Take in the newest block; False when ΞᵀΞ has no further direction distinguishable from rounding."""
        block = self.newest
        if len(block) == 0:
            return False
        start, stop = self.size, self.size + len(block)
        self.vectors[start:stop] = block
        image, weights = orthogonalize(self.vectors[:stop], self._image(block))
        self.projected[:stop, start:stop] = weights
        self.projected[start:stop, :stop] = weights.T
        self.size = stop
        self.newest = self._independent(image)
        if len(self.newest) == 0 and stop < self.width:
            self.newest = self._unseen()
        return True

    def values(self) -> Tensor:
        """All Ritz values, the squared singular values as seen from the basis, falling."""
        return torch.linalg.eigvalsh(self._matrix()).flip(0).clamp_min(0)

    def spectrum(self, size: int, residual: float, converged: bool, complete: bool) -> Spectrum:
        """Ritz pairs as singular values and right vectors."""
        values, rotation = torch.linalg.eigh(self._matrix())
        values, rotation = values.flip(0)[:size], rotation.flip(1)[:, :size]
        kept = int((values > max(NEGLIGIBLE * float(values[0]), 0.0)).sum())
        vectors = product(rotation[:, :kept].T, self.vectors[: self.size]).T.reshape(*self.shape, kept)
        return Spectrum(values[:kept].sqrt(), fix_signs(vectors), residual, converged, complete and kept < size)

    def restart(self, kept: int) -> None:
        """Keep the best Ritz vectors; the newest block still spans what their images lack."""
        values, rotation = torch.linalg.eigh(self._matrix())
        values, rotation = values.flip(0)[:kept], rotation.flip(1)[:, :kept]
        self.vectors[:kept] = product(rotation.T, self.vectors[: self.size])
        self.projected.zero_()
        self.projected[:kept, :kept] = torch.diag(values)
        self.size = kept

    def _matrix(self) -> Tensor:
        matrix = self.projected[: self.size, : self.size]
        return (matrix + matrix.T) / 2

    def _image(self, block: Tensor) -> Tensor:
        image = self.history.gram_matvec(block.T.reshape(*self.shape, -1)).flatten(0, 1).T
        self.scale = max(self.scale, float(image.norm(dim=1).max()))
        return image

    def _fresh(self) -> Tensor:
        shape = (self.width, min(self.block, self.width - self.size))
        block = torch.randn(shape, generator=self.generator, dtype=torch.float64).to(self.vectors.device).T
        if self.size:
            block, _ = orthogonalize(self.vectors[: self.size], block)
        return torch.linalg.qr(block.T).Q.T

    def _unseen(self) -> Tensor:
        """Random directions after a breakdown: an eigenvalue repeated more often than `block` times needs them."""
        block = self._fresh()
        return block if float(self._image(block).norm(dim=1).max()) > NEGLIGIBLE * self.scale else block[:0]

    def _independent(self, image: Tensor) -> Tensor:
        """Orthonormal rows that span those of `image`, without what is rounding."""
        left, values, _ = torch.linalg.svd(image.T, full_matrices=False)
        kept = left[:, values > max(NEGLIGIBLE * self.scale, torch.finfo(torch.float64).tiny)].T
        if len(kept) and float(values[len(kept) - 1]) < 1e-3 * float(values[0]):  # rounding was raised with it
            kept, _ = orthogonalize(self.vectors[: self.size], kept)
            kept = torch.linalg.qr(kept.T).Q.T
        return kept


def orthogonalize(basis: Tensor, block: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows less their part in the basis, and that part's coefficients; one pass is not enough, so two."""
    first = product(basis, block.T)
    block = block - product(first.T, basis)
    second = product(basis, block.T)
    return block - product(second.T, basis), first + second
