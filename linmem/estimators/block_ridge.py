"""Ridge regression on blocks of features, one weight per block, in the dual: for few series and many features.

Columns are standardized and clipped at ±3, since a column that is nearly constant in training takes huge values on new
series. Block b has the kernel K_b = s_b Z_b Z_bᵀ of mean diagonal 1 and the weight max(R²_b, 0.001)⁴, R²_b the block's
own leave-one-out R². The strength is the one of least leave-one-out error, found from one eigendecomposition. Errors of
several outputs are added up as they are, or each in its own `units`.

Symbols: n series, d_b features of block b, o outputs, λ strength.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

POWER = 4
SMALLEST_R2 = 1e-3
CLIP = 3.0
STRENGTHS = tuple(np.logspace(-4, 2, 13).tolist())  # times the number of series


@dataclass(frozen=True)
class Standardizer:
    """Columns of every block to mean 0 and variance 1, clipped at ±3; constant columns become 0."""

    means: list[np.ndarray]
    inverse_scales: list[np.ndarray]

    def apply(self, blocks: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the standardized blocks (n, d_b)."""
        parts = zip(blocks, self.means, self.inverse_scales, strict=True)
        return [np.clip((block - mean) * inverse, -CLIP, CLIP) for block, mean, inverse in parts]


@dataclass(frozen=True)
class BlockMap:
    """The linear map from standardized blocks to outputs."""

    coefficients: list[np.ndarray]  # (d_b, o) each
    intercept: np.ndarray  # (o,)

    def apply(self, standardized: Sequence[np.ndarray]) -> np.ndarray:
        """Return the outputs (n, o)."""
        parts = zip(standardized, self.coefficients, strict=True)
        outputs: np.ndarray = self.intercept + sum(z @ c for z, c in parts)
        return outputs


class LeaveOneOut(NamedTuple):
    """A kernel ridge regression at the strength of least leave-one-out error."""

    dual: np.ndarray  # (n, o)
    residuals: np.ndarray  # (n, o) of each row when it is left out
    r2: float
    strength: float  # λ / n


class BlockFit(NamedTuple):
    """What `fit_block_ridge` finds."""

    standardizer: Standardizer
    scales: np.ndarray  # per block, weight times s_b: the kernel is Σ_b scale_b Z_b Z_bᵀ
    map: BlockMap
    strength: float


def fit_standardizer(blocks: Sequence[np.ndarray]) -> Standardizer:
    """Measure mean and standard deviation of all columns."""
    means = [block.mean(0, dtype=np.float64).astype(np.float32) for block in blocks]
    scales = [block.std(0, dtype=np.float64).astype(np.float32) for block in blocks]
    return Standardizer(means, [np.where(s > 1e-6, 1 / np.maximum(s, 1e-6), 0).astype(np.float32) for s in scales])


def center(kernel: np.ndarray) -> np.ndarray:
    """The kernel of the features minus their mean."""
    mean = kernel.mean(0)
    return kernel - mean - mean[:, None] + mean.mean()


def kernel_ridge(kernel: np.ndarray, targets: np.ndarray, strengths: Sequence[float] = STRENGTHS) -> LeaveOneOut:
    """Kernel ridge regression on a centered kernel and centered targets, λ = strength · n chosen by leave-one-out.

    Without row i the residual is r_i / (1 − h_i), r = λ α for the dual coefficients α and h the diagonal of the hat
    matrix, which holds 1/n for the intercept.
    """
    n = len(kernel)
    values, vectors = np.linalg.eigh(kernel)
    values, rotated = np.maximum(values, 0), vectors.T @ targets
    energy = max((targets**2).sum(), 1e-300)
    best: LeaveOneOut | None = None
    for strength in strengths:
        penalty = n * strength
        shrink = 1 / (values + penalty)
        dual = vectors @ (shrink[:, None] * rotated)
        rest = penalty * (vectors**2 @ shrink) - 1 / n
        residuals = penalty * dual / np.maximum(rest, 1e-9)[:, None]
        r2 = float(1 - (residuals**2).sum() / energy)
        if best is None or r2 > best.r2:
            best = LeaveOneOut(dual, residuals, r2, strength)
    if best is None:
        raise ValueError("strengths must hold at least one number, got none.")
    return best


def fit_block_ridge(blocks: Sequence[np.ndarray], targets: np.ndarray, units: np.ndarray | float = 1.0) -> BlockFit:
    """Weight the blocks (n, d_b) and regress targets (n, o) on them; costs n² Σ d_b + n³ per block.

    `units` (o,) are what the errors of each output are measured in.
    """
    n, offset = len(targets), targets.mean(0)
    centered = (targets - offset) / units
    standardizer = fit_standardizer(blocks)
    standardized = standardizer.apply(blocks)
    kernels, traces, weights = [], [], []
    for z in standardized:
        kernel = (z @ z.T).astype(np.float64)
        traces.append(max(np.trace(kernel), 1e-300))
        kernels.append(kernel * (n / traces[-1]))
        weights.append(max(kernel_ridge(center(kernels[-1]), centered).r2, SMALLEST_R2) ** POWER)
    shares = np.array(weights) / sum(weights)
    joint = center(np.sum([share * kernel for share, kernel in zip(shares, kernels, strict=True)], axis=0))
    found = kernel_ridge(joint, centered)
    scales = shares * n / np.array(traces)
    coefficients = [scale * (z.T @ (found.dual * units)) for scale, z in zip(scales, standardized, strict=True)]
    shift = sum(z.mean(0, dtype=np.float64) @ c for z, c in zip(standardized, coefficients, strict=True))
    return BlockFit(standardizer, scales, BlockMap(coefficients, offset - shift), found.strength)
