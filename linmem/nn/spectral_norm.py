"""Spectral norms of sums of products of matrices, by the power method; nothing is formed.

    v ← Wᵀ W v / ‖Wᵀ W v‖,   ‖W‖ ≈ ‖W v‖,   W = Σ_i W_i1 W_i2 …

On the CPU vectors and matrices are NumPy arrays, whose calls cost a fraction of torch's at the sizes of a layer.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.linalg.blas import dnrm2, snrm2
from torch import Tensor

from linmem.nn.scan.memory import is_diagonal

ITERATIONS = 8  # of the power method
TINY = 1e-37  # positive in float32


def spectral_norm(*terms: Tensor | tuple[Tensor, ...], iterations: int = ITERATIONS) -> float:
    """Estimate the largest singular value from below by the power method with a fixed start.

    Parameters
    ----------
    *terms : Tensor (m, n), or tuple of Tensor
        The sum of the terms is measured; a tuple is a product. Nothing is formed.
    iterations : int
        Products with WᵀW.

    Returns
    -------
    float

    Examples
    --------
    >>> W = torch.diag(torch.tensor([3.0, 1.0, 0.5]))
    >>> round(spectral_norm(W), 3), round(spectral_norm((W, W)), 3), round(spectral_norm(W, (W, W)), 3)
    (3.0, 9.0, 12.0)
    """
    operator = Operator(*(term if isinstance(term, tuple) else (term,) for term in terms))
    vector = operator.start()
    for _ in range(iterations):
        image = operator.times(vector)
        image *= 1 / operator.norm(image)
        vector = operator.transposed_times(image)
        vector *= 1 / operator.norm(vector)
    found = float(operator.norm(operator.times(vector)))
    return 0.0 if found <= TINY else found


@cache
def _start(columns: int) -> np.ndarray:
    return np.cos(np.arange(columns, dtype=np.float64) ** 2) / math.sqrt(columns)


class Operator:
    """A sum of products of matrices, applied to vectors without being formed.

    Vectors and matrices on the CPU are NumPy arrays, whose calls cost a fraction of torch's at this size.

    Parameters
    ----------
    *terms : tuple of Tensor
        Factors of each product, (m, k), (k, l), …, (…, n). A tensor (2 p,) is a block-diagonal factor of
        :mod:`linmem.nn.scan.memory`.
    """

    def __init__(self, *terms: tuple[Tensor, ...]) -> None:
        first = terms[0][0]
        self.like = first.new_empty(0, dtype=torch.promote_types(first.dtype, torch.float32))
        self.on_cpu = first.device.type == "cpu" and _is_readable(first)
        factors = [[self._factor(matrix) for matrix in term] for term in terms]
        self.forward = [list(reversed(term)) for term in factors]
        self.backward = [[factor.T for factor in term] for term in factors]
        last = terms[0][-1]
        self.columns = len(last) // 2 if is_diagonal(last) else last.shape[1]

    def _factor(self, matrix: Tensor) -> Any:
        if is_diagonal(matrix):
            return Blocks(*(self._array(half) for half in matrix.chunk(2)))
        return self._array(matrix)

    def _array(self, tensor: Tensor) -> Any:
        tensor = tensor.detach().to(self.like.dtype)
        return tensor.numpy() if self.on_cpu else tensor

    def times(self, vector: Any) -> Any:
        """The product with a vector (n,)."""
        return _sum_of_products(self.forward, vector)

    def transposed_times(self, vector: Any) -> Any:
        """The product of the transpose with a vector (m,)."""
        return _sum_of_products(self.backward, vector)

    def start(self) -> Any:
        """A fixed vector (n,) for the power method, with entries of all sizes and signs."""
        start = _start(self.columns)
        if self.on_cpu:
            return start.astype(np.float64 if self.like.dtype == torch.float64 else np.float32)
        return torch.from_numpy(start).to(self.like)

    def norm(self, vector: Any) -> Any:
        """Euclidean norm, not 0; BLAS computes it without overflow."""
        if self.on_cpu:
            return (dnrm2(vector) if vector.dtype == np.float64 else snrm2(vector)) or TINY
        return torch.linalg.vector_norm(vector, dtype=torch.float64).clamp_min(TINY).to(vector)


class Blocks:
    """The matrix of `own` and `other` entries of :func:`linmem.nn.scan.memory.multiply`, for products with vectors."""

    def __init__(self, own: Any, other: Any) -> None:
        self.own, self.other = own, other
        swapped = np.arange(len(own)) ^ 1
        self.swapped = np.minimum(swapped, len(own) - 1)  # the last unit of an odd number stays in place

    def dot(self, vector: Any) -> Any:
        """The product with a vector (p,)."""
        return self.own * vector + self.other * vector[self.swapped]

    __matmul__ = dot

    @property
    def T(self) -> Blocks:
        """The transpose."""
        return Blocks(self.own, self.other[self.swapped])


def _is_readable(tensor: Tensor) -> bool:
    """Whether the memory of a tensor can be read; under torch.func.jvp tensors are wrapped."""
    try:
        tensor.detach().data_ptr()
    except RuntimeError:
        return False
    return True


def _sum_of_products(terms: list[list[Any]], vector: Any) -> Any:
    total: Any = None
    for term in terms:
        product = vector
        for factor in term:
            product = factor.dot(product) if isinstance(product, np.ndarray) else factor @ product
        total = product if total is None else total + product
    return total
