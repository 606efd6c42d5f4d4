"""Matrix-free: randomized block Krylov iteration on Z ↦ Ξᵀ(Ξ Z), with Rayleigh–Ritz on everything seen so far.

A music set's spectrum is flat (JSB: σ_100 / σ_101 = 1.004), so power iterations with a fixed block stall; a Krylov
space of small blocks reaches the same energy with a fifth of the products. The basis is kept orthonormal by two
passes of Gram–Schmidt, the projected matrix H = Qᵀ Ξᵀ Ξ Q is measured, not inferred, and the iteration stops when the
*energy of the wanted directions* stops moving; past `basis_limit` columns it restarts from the best Ritz vectors.

Letters: n = L·a columns of Ξ, K columns of the basis Q, b block size. Golub & Underwood 1977; Musco & Musco 2015;
thick restart: Wu & Simon 2000.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..history import Gram
from .spectrum import Spectrum, fix_signs

NEGLIGIBLE = (
    1e-13  # a direction with less than this share of σ_1² (1e-6.5 of σ_1) is rounding: ΞᵀΞ squares the spectrum
)


@dataclass(frozen=True)
class Randomized:
    """Block Krylov solver.

    Parameters
    ----------
    tolerance : float
        Stop when the energy estimated to be missing from the wanted directions is below this share of ‖Ξ‖².
    block : int, optional
        Columns of one product; by default what the history takes at best.
    spare : int
        Ritz vectors returned beyond the wanted number; they are accurate to a few digits only.
    basis_limit : int, optional
        Restart when the basis has so many columns; by default four times what is wanted plus 200.
    products : int
        Give up after so many products with a block; the result then says `converged=False`.
    """

    tolerance: float = 1e-7
    block: int | None = None
    spare: int = 0
    basis_limit: int | None = None
    products: int = 2000

    def __call__(self, history: Gram, size: int, generator: torch.Generator) -> Spectrum:
        """Find the `size` leading directions; O(N log L) a column, L·a numbers a basis vector."""
        width = history.lags * history.features
        block = min(self.block or history.block, width)
        limit = max(self.basis_limit or 4 * size + 200, size + 2 * block)
        basis = Basis(history, min(width, limit), block, generator)
        captured, change, checked, missing = 0.0, math.inf, 0, 1.0
        for product in range(max(self.products, 2 * size // block + 2)):
            grown = basis.grow()
            if not grown or (basis.columns >= size and basis.columns - checked >= max(2 * basis.block, size // 10)):
                values = basis.values()[:size]
                previous, captured, checked = captured, float(values.sum()), basis.columns
                change, last = captured - previous, change
                ratio = min(max(change / last, 0.0), 0.9) if 0 < last < math.inf else 0.9
                missing = change * ratio / (1 - ratio) / max(history.energy, torch.finfo(torch.float64).tiny)
                if not grown or (product > 2 and missing < self.tolerance):
                    return basis.spectrum(size + self.spare, 0.0 if not grown else missing, True, not grown)
            if basis.full:
                basis.restart(size + (limit - size) // 3)
                checked = basis.columns
        return basis.spectrum(size + self.spare, missing, False, False)


class Basis:
    """Orthonormal Q, and H = Qᵀ G Q; `grow` multiplies the newest block by G and appends what is new in it."""

    def __init__(self, history: Gram, limit: int, block: int, generator: torch.Generator) -> None:
        self.history, self.block, self.generator = history, block, generator
        self.shape = (history.lags, history.features)
        self.width = history.lags * history.features
        self.vectors = torch.zeros(self.width, limit + block, dtype=torch.float64, device=history.device)
        self.projected = torch.zeros(limit + block, limit + block, dtype=torch.float64, device=history.device)
        self.limit, self.columns = limit, 0
        self.scale = 0.0  # the largest ‖G q‖ seen, about σ_1²
        self.newest = self._fresh()

    @property
    def full(self) -> bool:
        """Whether the next block would pass the limit."""
        return self.columns + self.newest.shape[1] > self.limit

    def grow(self) -> bool:
        """Take in the newest block; False when ΞᵀΞ has no further direction that can be told from rounding."""
        block = self.newest
        if block.shape[1] == 0:
            return False
        start, stop = self.columns, self.columns + block.shape[1]
        self.vectors[:, start:stop] = block
        image = self.history.gram(block.reshape(*self.shape, -1)).flatten(0, 1)
        self.scale = max(self.scale, float(image.norm(dim=0).max()))
        known = self.vectors[:, :stop]
        image, weights = orthogonalize(known, image)
        self.projected[:stop, start:stop] = weights
        self.projected[start:stop, :stop] = weights.T
        self.columns = stop
        self.newest = self._independent(image)
        if self.newest.shape[1] == 0 and stop < self.width:
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
        vectors = (self.vectors[:, : self.columns] @ rotation[:, :kept]).reshape(*self.shape, kept)
        return Spectrum(values[:kept].sqrt(), fix_signs(vectors), residual, converged, complete and kept < size)

    def restart(self, kept: int) -> None:
        """Keep the best Ritz vectors; the newest block still spans what their images lack."""
        values, rotation = torch.linalg.eigh(self._matrix())
        values, rotation = values.flip(0)[:kept], rotation.flip(1)[:, :kept]
        self.vectors[:, :kept] = self.vectors[:, : self.columns] @ rotation
        self.projected.zero_()
        self.projected[:kept, :kept] = torch.diag(values)
        self.columns = kept

    def _matrix(self) -> Tensor:
        matrix = self.projected[: self.columns, : self.columns]
        return (matrix + matrix.T) / 2

    def _fresh(self) -> Tensor:
        shape = (self.width, min(self.block, self.width - self.columns))
        block = torch.randn(shape, generator=self.generator, dtype=torch.float64).to(self.vectors.device)
        if self.columns:
            block, _ = orthogonalize(self.vectors[:, : self.columns], block)
        return torch.linalg.qr(block).Q

    def _unseen(self) -> Tensor:
        """Random directions after a breakdown: an eigenvalue repeated more often than `block` times needs them."""
        block = self._fresh()
        image = self.history.gram(block.reshape(*self.shape, -1)).flatten(0, 1)
        return block if float(image.norm(dim=0).max()) > NEGLIGIBLE * self.scale else block[:, :0]

    def _independent(self, image: Tensor) -> Tensor:
        """Orthonormal basis of the columns of `image`, without those that are rounding."""
        left, values, _ = torch.linalg.svd(image, full_matrices=False)
        kept = left[:, values > max(NEGLIGIBLE * self.scale, torch.finfo(torch.float64).tiny)]
        kept, _ = orthogonalize(self.vectors[:, : self.columns], kept)
        return torch.linalg.qr(kept).Q if kept.shape[1] else kept


def orthogonalize(basis: Tensor, block: Tensor) -> tuple[Tensor, Tensor]:
    """Return the block less its part in the basis, and that part's coefficients; one pass is not enough, so two."""
    first = basis.T @ block
    block = block - basis @ first
    second = basis.T @ block
    return block - basis @ second, first + second
