"""L-BFGS over several matrices, in scaled coordinates in which the problem is well conditioned.

A change of B affects all later states and a change of C_y all older lags, so the scales of the unscaled parameters
differ by several orders of magnitude. For each matrix M the Gauss–Newton matrix of
the reconstruction error is close to a Kronecker product, left ⊗ right; with M' = left^½ M right^½ it is close to the
identity, and L-BFGS needs 20 evaluations instead of 500 (JSB, p = 50: 1.0101 of the bound after 30 evaluations
instead of 420).

Symbols: M one of A, B, C_x, C_y. Martens & Grosse 2015 for the Kronecker idea in networks.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

FLOOR = 1e-6  # smaller eigenvalues of a factor, relative to its largest, are raised to this share
HISTORY = 20
FIRST_STEP = 1e-4  # largest change of the objective (of order 1) that the first trial step may cause

Objective = Callable[[list[Tensor]], tuple[float, list[Tensor]]]


class Scale(NamedTuple):
    """Symmetric square roots of a matrix's two Kronecker factors, and their inverses."""

    left: Tensor
    left_inverse: Tensor
    right: Tensor
    right_inverse: Tensor

    @classmethod
    def of(cls, left: Tensor, right: Tensor) -> "Scale":
        """Take the roots of the positive semidefinite factors."""
        return cls(*_roots(left), *_roots(right))

    def into(self, matrix: Tensor) -> Tensor:
        """M' = left^½ M right^½."""
        return self.left @ matrix @ self.right

    def out_of(self, matrix: Tensor) -> Tensor:
        """M = left^-½ M' right^-½; the same map converts a gradient in M into one in M'."""
        return self.left_inverse @ matrix @ self.right_inverse


def descend(
    objective: Objective, start: Sequence[Tensor], scales: Sequence[Scale], iterations: int, tolerance: float
) -> list[Tensor]:
    """Minimise by L-BFGS from `start` until an iteration gains less than `tolerance` or after `iterations`.

    `objective` takes and returns float64 matrices like `start`; its value should be of order 1 at the start.
    """
    sizes = [matrix.numel() for matrix in start]
    stretch = FIRST_STEP**-0.5  # L-BFGS starts with a step of length 1

    def unpack(packed: np.ndarray) -> list[Tensor]:
        parts = torch.from_numpy(packed).to(start[0]).split(sizes)
        return [s.out_of(part.view_as(m)) / stretch for part, m, s in zip(parts, start, scales, strict=True)]

    def function(packed: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradients = objective(unpack(packed))
        if not np.isfinite(value):  # unstable trial step: the line search shortens it
            return 1e10, np.zeros_like(packed)
        scaled = [s.out_of(gradient).flatten() for s, gradient in zip(scales, gradients, strict=True)]
        return value, torch.cat(scaled).cpu().numpy() / stretch

    packed = (
        torch.cat([s.into(matrix).flatten() for s, matrix in zip(scales, start, strict=True)]).cpu().numpy() * stretch
    )
    options = {"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": HISTORY, "ftol": tolerance, "gtol": 0.0}
    found = scipy.optimize.minimize(function, packed, jac=True, method="L-BFGS-B", options=options)
    return unpack(found.x)


def _roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    values = values.clamp_min(FLOOR * float(values[-1].clamp_min(1e-300))).sqrt()
    return (vectors * values) @ vectors.T, (vectors / values) @ vectors.T
