"""Replace a matrix by a near one whose eigenvectors are well-conditioned (approximate diagonalization).

A diagonal memory computes in an eigenbasis V of W, where rounding errors grow by κ(V). A defective matrix, such as a
delay line, has no eigenbasis, but almost every matrix at a distance δ ‖W‖ has one with κ(V) of order 1/δ. The distance
with the least error bound in the layer's precision is chosen (Davies, SIAM J. Matrix Anal. Appl. 29, 2007, 1051-1064):

    min over δ of  δ + ε κ(V_δ),   W + δ ‖W‖ E = V_δ Λ V_δ⁻¹,   E Gaussian with ‖E‖ = 1, from a fixed seed.

A real Schur form with its couplings dropped would keep the eigenvalues instead: a delay line, all of whose eigenvalues
are 0, would lose its memory.

Symbols: p memory units, ε unit roundoff of the layer's dtype, κ condition number.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

LARGEST_CONDITION = {torch.float64: 1e12}  # of eigenvectors that are used as they are; 1e4 in any other dtype
DISTANCES = (0.0, *(10 ** (exponent / 2) for exponent in range(-24, -3)))  # δ, up to 0.01


class Diagonalizable(NamedTuple):
    """A matrix near another one, with its eigenvectors."""

    matrix: Tensor  # (p, p)
    values: Tensor  # (p,), complex
    vectors: Tensor  # (p, p), complex
    condition: float  # of the eigenvectors
    distance: float  # from the given matrix, relative to its spectral norm


def diagonalizable(matrix: Tensor, dtype: torch.dtype) -> Diagonalizable:
    """Return the matrix itself if its eigenvectors are well-conditioned, else a near matrix, with a warning.

    Parameters
    ----------
    matrix : Tensor
        (p, p), float64.
    dtype : dtype
        Of the layer that will compute in the eigenbasis.

    Returns
    -------
    Diagonalizable
        Its matrix has a spectral radius of at most 1 if the given one has.

    Warns
    -----
    UserWarning
        The condition number is above 1e4 (1e12 in float64).

    Notes
    -----
    O(p³): one eigendecomposition, and 22 where the matrix is replaced.

    Examples
    --------
    >>> delay_line = torch.diag(torch.ones(3, dtype=torch.float64), -1)
    >>> found = diagonalizable(delay_line, torch.float64)
    >>> found.distance < 1e-7, found.condition < 1e8
    (True, True)
    """
    limit = LARGEST_CONDITION.get(dtype, 1e4)
    found = _decompose(matrix, 0.0)
    if found.condition <= limit:
        return found
    epsilon = torch.finfo(dtype).eps / 2
    near = min((_decompose(matrix, distance) for distance in DISTANCES), key=lambda one: _error_bound(one, epsilon))
    warnings.warn(
        f"the condition number of the eigenvectors should be at most {limit:g} in {dtype}, got {found.condition:.3g}: "
        f"the diagonal memory is that of a matrix at a relative distance of {near.distance:.1g}, with a condition "
        f"number of {near.condition:.1g}. Use float64 or a dense memory for the same function.",
        stacklevel=4,
    )
    return near


def _error_bound(one: Diagonalizable, epsilon: float) -> float:
    return one.distance + epsilon * one.condition


def _decompose(matrix: Tensor, distance: float) -> Diagonalizable:
    """Decompose a matrix at this relative distance; scaling it to a spectral radius of 1 changes the distance."""
    norm = torch.linalg.matrix_norm(matrix, 2)
    near = matrix + distance * norm * _direction(matrix) if distance else matrix
    values, vectors = torch.linalg.eig(near)
    if distance and (radius := float(values.abs().max())) > 1:
        near, values = near / radius, values / radius
        distance = float(torch.linalg.matrix_norm(near - matrix, 2) / norm)
    return Diagonalizable(near, values, vectors, _condition(vectors), distance)


def _condition(vectors: Tensor) -> float:
    singular = torch.linalg.svdvals(vectors)
    return float(singular[0] / singular[-1]) if singular[-1] > 0 else float("inf")


def _direction(matrix: Tensor) -> Tensor:
    """E, the same for all matrices of a size."""
    drawn = torch.randn(matrix.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return (drawn / torch.linalg.matrix_norm(drawn, 2)).to(matrix)
