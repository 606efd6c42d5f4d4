"""Limits on the norms of an LMN's weights, which keep training stable at any learning rate.

    h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h),   m_t = W_hm h_t + W_mm m_{t-1} + b_m                     [L18], eqs. 11-12

Three spectral norms stay at most 1, or at most what they are when training starts:

    ‖[W_hm W_mm]‖           then ‖m_t‖² ≤ ‖h_t‖² + ‖m_{t-1}‖² (for b_m = 0)
    ‖W_mm + W_hm W_mh‖      the recurrence with σ' = 1 is not expansive either
    ‖W_mh‖                  limits the loop m → h → m of an unbounded σ such as ReLU

A solved memory [A B] satisfies the first by construction. Without limits one step of Adam with learning rate η can add
p η to ‖W_mm‖, which T steps raise to the power T.

Symbols: T steps, f functional units, p memory units.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn

ITERATIONS = 8  # of the power method; repeated after every step of the optimizer
GRID = 8  # a limit above 1 is a multiple of 1/8, so that a resumed run finds the same one
SLACK = 1e-3  # relative error of the power method that a limit tolerates


class RecurrentWeights(NamedTuple):
    """Weights of one recurrence that are scaled down in place."""

    mh: Tensor  # (f, p)
    hm: Tensor  # (p, f)
    mm: Tensor  # (p, p)
    deep: tuple[Tensor, ...] = ()  # further functional layers, never scaled


class Norms(NamedTuple):
    """Spectral norms of one recurrence, or the limits on them."""

    write: float  # ‖[W_hm W_mm]‖
    loop: float  # ‖W_mm + W_hm W_mh‖
    read: float  # ‖W_mh‖


class _Record(NamedTuple):
    limits: Norms
    versions: tuple[int, ...]


def spectral_norm(matrix: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Estimate the largest singular value from below by the power method with a fixed start.

    Parameters
    ----------
    matrix : Tensor
        (m, n).
    iterations : int
        Products with WᵀW.

    Returns
    -------
    Tensor
        A scalar.

    Examples
    --------
    >>> round(float(spectral_norm(torch.diag(torch.tensor([3.0, 1.0, 0.5])))), 3)
    3.0
    """
    matrix = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    largest = matrix.abs().max().clamp_min(torch.finfo(matrix.dtype).tiny)
    matrix = matrix / largest  # the squares below then stay finite
    vector = torch.cos(torch.arange(matrix.shape[1], device=matrix.device, dtype=matrix.dtype).square())
    for _ in range(iterations):
        vector = matrix.mT @ (matrix @ vector)
        vector = vector / torch.linalg.vector_norm(vector).clamp_min(torch.finfo(matrix.dtype).tiny)
    return largest * torch.linalg.vector_norm(matrix @ vector)


@torch.no_grad()
def measure_norms(weights: RecurrentWeights) -> Norms:
    """Estimate the three norms of a recurrence."""
    read = _read(weights)
    norms = [torch.cat([weights.hm, weights.mm], 1), weights.mm + weights.hm @ read, read]
    return Norms(*torch.stack([spectral_norm(matrix) for matrix in norms]).tolist())


@torch.no_grad()
def scale_down_(weights: RecurrentWeights, limits: Norms) -> None:
    """Scale W_hm and W_mm, then W_mm and W_mh, then W_mh, in place, by the least amount that respects the limits."""
    norm = float(spectral_norm(torch.cat([weights.hm, weights.mm], 1)))
    _scale((weights.hm, weights.mm), norm, limits.write)
    norm = float(spectral_norm(weights.mm + weights.hm @ _read(weights)))
    _scale((weights.mm, weights.mh), norm, limits.loop)
    _scale((weights.mh,), float(spectral_norm(_read(weights))), limits.read)


def limits_of(norms: Norms) -> Norms:
    """Limits for weights that start with given norms: 1, or the next multiple of 1/8 above the norm.

    Examples
    --------
    >>> limits_of(Norms(0.9, 1.0, 1.3))
    Norms(write=1.0, loop=1.0, read=1.375)
    """
    return Norms(*(max(1.0, math.ceil((norm * (1 - SLACK)) * GRID) / GRID) for norm in norms))


class NormLimits:
    """The limits of all recurrences of one layer, each fixed when it is first seen.

    Examples
    --------
    >>> import linmem
    >>> lmn = linmem.LMN(2, 4, 8)
    >>> optimizer = torch.optim.Adam(lmn.parameters(), lr=1.0)
    >>> lmn(torch.ones(5, 1, 2))[0].square().sum().backward()
    >>> optimizer.step()
    >>> bool(torch.linalg.matrix_norm(lmn.weight_mm_l0, 2) > 2)
    True
    >>> _ = lmn(torch.ones(5, 1, 2))  # scales the weights before it uses them
    >>> bool(torch.linalg.matrix_norm(lmn.weight_mm_l0, 2) < 1.01)
    True
    """

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def apply(self, suffix: str, weights: RecurrentWeights) -> None:
        """Respect the limits if the weights have changed since the last call; the first call fixes the limits."""
        scaled = weights[:3]
        if not all(_is_trained(weight) for weight in scaled):
            return
        record, versions = self._records.get(suffix), _versions(scaled)
        if record is None:
            self._records[suffix] = _Record(limits_of(measure_norms(weights)), versions)
        elif record.versions != versions:
            scale_down_(weights, record.limits)
            self._records[suffix] = _Record(record.limits, _versions(scaled))

    def reset(self) -> None:
        """Take the limits from the next weights, which did not come from an optimizer."""
        self._records.clear()


def _read(weights: RecurrentWeights) -> Tensor:
    """W_mh followed by the further functional layers."""
    return reduce(lambda product, weight: weight @ product, weights.deep, weights.mh)


def _scale(weights: tuple[Tensor, ...], norm: float, limit: float) -> None:
    if norm > limit:  # false for NaN: the caller's loss reports it
        for weight in weights:
            weight.mul_(limit / norm)


def _is_trained(weight: Tensor) -> bool:
    return type(weight) is nn.Parameter and weight.requires_grad and weight.device.type != "meta"  # no fake tensor


def _versions(weights: tuple[Tensor, ...]) -> tuple[int, ...]:
    return tuple(weight._version for weight in weights)
