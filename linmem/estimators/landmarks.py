"""Ridge regression on many series: the kernel of the block ridge through a fixed number of landmark series.

With landmarks Z and their kernel K = V Λ Vᵀ, a series z is read as φ = z S Zᵀ V Λ^{-½} (the Nyström features), whose
inner products are the kernel, exactly where the series lie in the landmarks' span. The regression on φ needs only the
sums over series of φ φᵀ and φ yᵀ: time is linear in the number of series and memory does not grow with it. The
landmarks' mean target is subtracted before the sums and added to the intercept, so that a large one costs no digits;
φ, of standardized columns, needs no shift.
C. Williams and M. Seeger, Using the Nyström method to speed up kernel machines, 2001.

Symbols: n series, r landmarks, d_b features of block b, o outputs, λ strength.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from linmem.estimators.block_ridge import STRENGTHS, BlockFit, BlockMap, Standardizer
from linmem.scales import scale_of

RELATIVE_RANK = 1e-6  # eigenvalues below this share of the largest are rounding in float32


@dataclass
class LandmarkRidge:
    """Sums of one regression, extended by `update`.

    Attributes
    ----------
    standardizer : Standardizer
        Fitted on the landmarks.
    basis : list of (d_b, r) float32
        φ = Σ_b z_b basis_b.
    moments : (r + 1 + o, r + 1 + o) float64
        Σ [φ, 1, y − shift] [φ, 1, y − shift]ᵀ.
    shift : (o,) float64
        The landmarks' mean target; 0 in files of versions that did not subtract it.
    own_units : bool
        Whether the errors that choose the strength are in units of each output's deviation; otherwise as they are.
    """

    standardizer: Standardizer
    basis: list[np.ndarray]
    moments: np.ndarray
    shift: np.ndarray | float = 0.0
    own_units: bool = False

    def update(self, blocks: Sequence[np.ndarray], targets: np.ndarray) -> None:
        """Add series with blocks (n, d_b) and targets (n, o)."""
        standardized = self.standardizer.apply(blocks)
        phi = np.sum([z @ part for z, part in zip(standardized, self.basis, strict=True)], axis=0)
        rows = np.concatenate([phi, np.ones((len(targets), 1)), targets - self.shift], 1).astype(np.float64)
        self.moments = self.moments + rows.T @ rows

    def solve(self, strengths: Sequence[float] = STRENGTHS) -> BlockMap:
        """Solve at the strength λ / n of least generalized cross-validation error.

        That is leave-one-out with the mean leverage in place of each row's, which the sums do not hold.
        """
        r = self.basis[0].shape[1]
        n = self.moments[r, r]
        mean = self.moments[r] / n
        centered = self.moments - n * np.outer(mean, mean)
        squared = np.maximum(centered[r + 1 :, r + 1 :].diagonal(), 0)
        units = scale_of(np.sqrt(squared / n), (self.shift + mean[r + 1 :])[None]) if self.own_units else 1.0
        values, vectors = np.linalg.eigh(centered[:r, :r])
        values, cross = np.maximum(values, 0), vectors.T @ centered[:r, r + 1 :] / units
        energy = (squared / np.square(units)).sum()
        best, solution = np.inf, cross
        for strength in strengths:
            shrunk = cross / (values + n * strength)[:, None]
            squares = energy - 2 * (shrunk * cross).sum() + (values[:, None] * shrunk**2).sum()
            freedom = n - 1 - (values / (values + n * strength)).sum()
            error = max(squares, 0) / max(freedom, 1e-9) ** 2
            if error < best:
                best, solution = error, shrunk
        weights = vectors @ solution * units
        return BlockMap([part @ weights for part in self.basis], self.shift + mean[r + 1 :] - mean[:r] @ weights)


def landmark_ridge(
    fit: BlockFit, blocks: Sequence[np.ndarray], targets: np.ndarray, own_units: bool = False
) -> LandmarkRidge:
    """An empty regression whose landmarks are the series that `fit` was fitted to, with targets (n, o)."""
    standardized = fit.standardizer.apply(blocks)
    parts = list(zip(fit.scales, standardized, strict=True))
    values, vectors = np.linalg.eigh(np.sum([scale * (z @ z.T).astype(np.float64) for scale, z in parts], axis=0))
    keep = values > RELATIVE_RANK * values.max()
    whitened = vectors[:, keep] / np.sqrt(values[keep])
    basis = [(scale * (z.T @ whitened)).astype(np.float32) for scale, z in parts]
    size = int(keep.sum()) + 1 + targets.shape[1]
    return LandmarkRidge(fit.standardizer, basis, np.zeros((size, size)), targets.mean(0), own_units)
