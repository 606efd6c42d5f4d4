"""Matrix-free: randomized block Krylov iteration on Z ↦ Ξᵀ(Ξ Z), with Rayleigh–Ritz on everything seen so far.

A music set's spectrum is flat (JSB: σ_99 / σ_100 = 1.003), so power iterations with a fixed block stall; a Krylov
space of small blocks reaches the same energy with a fifth of the products. The basis is kept orthonormal by two
passes of Gram–Schmidt, the projected matrix H = Qᵀ Ξᵀ Ξ Q is measured, not inferred, and the iteration stops when the
*energy of the leading directions* no longer changes; past `basis_limit` columns it restarts from the best Ritz vectors.

A Krylov space of b starting vectors holds at most b directions of a singular value that is repeated more often, and
looks converged without the others. So convergence is confirmed by a fresh random block: orthogonal to the basis, all
that its products can grow into is what the basis lacks.

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
CONFIRMATION = 3  # products with a fresh block before it is trusted to have found nothing


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
        products = max(self.products, 2 * size // block + 2)
        while True:
            values, missing = self._converge(basis, size, products)
            converged = basis.complete or missing < self.tolerance
            if not converged or basis.complete or self._confirm(basis, size, values):
                return basis.spectrum(size + self.spare, missing, converged, basis.complete)

    def _converge(self, basis: "Basis", size: int, products: int) -> tuple[Tensor, float]:
        """Grow the basis to convergence or `products`; return the Ritz values and the share estimated to be missing."""
        captured, change, checked, missing = 0.0, math.inf, basis.size, 1.0
        start = basis.products
        while basis.products < products and not basis.complete:
            basis.grow()
            if basis.size >= size and basis.size - checked >= max(basis.block, size // 10):
                values = basis.values()
                before, captured, checked = captured, float(values[:size].sum()), basis.size
                change, last = (captured - before if before else math.inf), change
                ratio = min(max(change / last, 0.0), 0.9) if 0 < last < math.inf else 0.9
                missing = change * ratio / (1 - ratio) / basis.energy
                if basis.products - start > 3 and missing < self.tolerance:
                    return values, missing
            if basis.full:
                basis.restart(size)
                checked = basis.size
        return basis.values(), 0.0 if basis.complete else max(missing, self.tolerance)

    def _confirm(self, basis: "Basis", size: int, values: Tensor) -> bool:
        """Whether a fresh random block finds no more energy than the tolerance; what it finds stays in the basis."""
        if basis.energy - float(values.sum()) <= self.tolerance * basis.energy:  # the trace bounds all that is left
            return True
        basis.draw()
        for _ in range(CONFIRMATION):
            if basis.full:
                basis.restart(size)
            basis.grow()
        return float(basis.values()[:size].sum() - values[:size].sum()) <= self.tolerance * basis.energy


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
        self.energy = max(history.energy, torch.finfo(torch.float64).tiny)
        self.limit, self.size, self.products = limit, 0, 0
        self.scale = 0.0  # the largest ‖ΞᵀΞ q‖ seen, about σ_1²
        self.newest = self._fresh()

    @property
    def full(self) -> bool:
        """Whether the next block would pass the limit."""
        return self.size + len(self.newest) > self.limit

    @property
    def complete(self) -> bool:
        """Whether ΞᵀΞ has no further direction distinguishable from rounding."""
        return len(self.newest) == 0

    def grow(self) -> None:
        """Take in the newest block and find the next one, unless the basis is complete."""
        block = self.newest
        if self.complete:
            return
        start, stop = self.size, self.size + len(block)
        self.vectors[start:stop] = block
        image, weights = orthogonalize(self.vectors[:stop], self._image(block))
        self.projected[:stop, start:stop] = weights
        self.projected[start:stop, :stop] = weights.T
        self.size = stop
        self.newest = self._independent(image)
        if len(self.newest) == 0 and stop < self.width:
            self.newest = self._unseen()
        self.products += 1

    def draw(self) -> None:
        """Replace the newest block by random directions that the basis lacks."""
        self.newest = self._fresh() if self.size < self.width else self.newest[:0]

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

    def restart(self, size: int) -> None:
        """Keep the `size` best Ritz vectors and a third of the rest; newest still spans what their images lack."""
        kept = size + (self.limit - size) // 3
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
