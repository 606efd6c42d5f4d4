"""Limits on the norms of an LMN's weights, which keep training stable at large learning rates.

    h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h),   m_t = W_hm h_t + W_mm m_{t-1} + b_m                     [L18], eqs. 11-12

Without limits one step of Adam with learning rate η can add p η to ‖W_mm‖, which T steps raise to the power T. Four
numbers therefore stay below a limit, or below their value when training starts if that is larger:

    memory      ‖W_mm‖ ≤ 1                  the memory alone is not expansive
    write       ‖W_hm‖ ≤ 3
    loop        ‖W_mm + W_hm W_mh‖ ≤ 1      the recurrence with σ' = 1 is not expansive
    feedback    ‖W_hm‖ ‖W_mh‖ ≤ 0.5         for unbounded σ only (relu, selu), whose active units change with the input

The limits were chosen on user loops (``benchmarks/user_loop_stability.py``) and cost nothing on JSB with tanh. A ReLU
network trained at small learning rates with gradient clipping does better without them (docs/guide/models.md).

Symbols: T steps, f functional units, p memory units.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from linmem.nn.scan.memory import as_matrix
from linmem.nn.scan.recurrent_parameters import RecurrentParameters

ITERATIONS = 8  # of the power method; repeated after every step of the optimizer
GRID = 8  # a limit from the starting norm is a multiple of 1/8, so that a resumed run finds the same one
SLACK = 1e-3  # relative error of the power method that a limit tolerates
BOUNDED = ("tanh",)


class RecurrentWeights(NamedTuple):
    """Weights of one recurrence that are scaled down in place."""

    mh: Tensor  # (f, p)
    hm: Tensor  # (p, f)
    mm: Tensor  # (p, p)
    deep: tuple[Tensor, ...] = ()  # further functional layers, never scaled


class Norms(NamedTuple):
    """Spectral norms of one recurrence, or the limits on them."""

    memory: float  # ‖W_mm‖
    write: float  # ‖W_hm‖
    loop: float  # ‖W_mm + W_hm W_mh‖
    feedback: float  # ‖W_hm‖ ‖W_mh‖


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
    """Estimate the norms of a recurrence."""
    read = _read(weights)
    matrices = weights.mm, weights.hm, weights.mm + weights.hm @ read, read
    memory, write, loop, reading = torch.stack([spectral_norm(matrix) for matrix in matrices]).tolist()
    return Norms(memory, write, loop, write * reading)


@torch.no_grad()
def scale_down_(weights: RecurrentWeights, limits: Norms) -> None:
    """Scale W_mm, W_hm and W_mh in place, each by the least amount that respects the limits."""
    _scale((weights.mm,), float(spectral_norm(weights.mm)), limits.memory)
    write = float(spectral_norm(weights.hm))
    _scale((weights.hm,), write, limits.write)
    if limits.feedback < math.inf:
        feedback = min(write, limits.write) * float(spectral_norm(_read(weights)))
        _scale((weights.mh,), feedback, limits.feedback)
    _scale((weights.mm, weights.mh), float(spectral_norm(weights.mm + weights.hm @ _read(weights))), limits.loop)


def limits_of(norms: Norms, nonlinearity: str) -> Norms:
    """Limits for weights that start with the given norms: constants, or the next multiple of 1/8 above the norm.

    Examples
    --------
    >>> limits_of(Norms(0.99, 1.2, 1.3, 0.2), "relu")
    Norms(memory=1.0, write=3.0, loop=1.375, feedback=0.5)
    """
    constants = Norms(1.0, 3.0, 1.0, math.inf if nonlinearity in BOUNDED else 0.5)
    starts = (math.ceil(norm * (1 - SLACK) * GRID) / GRID for norm in norms)
    return Norms(*map(max, constants, starts))


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

    def apply(self, suffix: str, weights: RecurrentWeights, nonlinearity: str, start: bool = True) -> None:
        """Scale weights that have changed since the last call; the first call with `start` fixes the limits."""
        scaled = weights[:3]
        if not all(_is_trained(weight) for weight in scaled):
            return
        record, versions = self._records.get(suffix), _versions(scaled)
        if record is None and start:
            self._records[suffix] = _Record(limits_of(measure_norms(weights), nonlinearity), versions)
        elif record is not None and record.versions != versions:
            scale_down_(weights, record.limits)
            self._records[suffix] = _Record(record.limits, _versions(scaled))

    @property
    def empty(self) -> bool:
        """Whether no limits are fixed yet."""
        return not self._records

    def __reduce__(self) -> tuple[type[NormLimits], tuple[()]]:
        """Copies and pickles of a layer have new parameters and compute their limits again."""
        return NormLimits, ()

    def reset(self) -> None:
        """Compute the limits again at the next call, because the weights did not come from an optimizer."""
        self._records.clear()


class LimitedParameters(RecurrentParameters):
    """Parameters of LMN recurrences whose norms are limited in training."""

    limit_norms: bool

    def __init__(self) -> None:
        super().__init__()
        self.norm_limits = NormLimits()

    @abstractmethod
    def suffixes(self) -> list[str]:
        """Suffixes of the parameters of all layers and directions."""

    def apply_norm_limits(self, start: bool = True) -> None:
        """Scale W_mh, W_hm and W_mm down, in place, where an optimizer has made them exceed their limits.

        `forward` does this before it uses the weights. The first call with `start`, in training mode, fixes the limits:
        constants, or the norms that the layer starts with. Frozen and parametrized weights stay as they are.
        """
        if not self.limit_norms or self.memory != "dense" or torch.compiler.is_compiling():
            return
        if not start and self.norm_limits.empty:
            return
        for suffix in self.suffixes():
            weights = self._weights(suffix)
            deep = tuple(weight for weight, _ in weights.deep)
            recurrent = RecurrentWeights(weights.mh, weights.hm, weights.mm, deep)
            self.norm_limits.apply(suffix, recurrent, self.nonlinearity, start)

    def spectral_radii(self) -> dict[str, float]:
        """Largest modulus of an eigenvalue of each W_mm, by parameter name.

        Below 1 the memory decays; above 1 it can grow. The loop m → h → m can grow in both cases.

        Examples
        --------
        >>> import linmem
        >>> linmem.LMN(3, 4, 5).spectral_radii()
        {'weight_mm_l0': 0.99...}
        """
        with torch.no_grad():
            return {
                f"weight_mm{suffix}": float(torch.linalg.eigvals(self.memory_matrix(suffix).double()).abs().max())
                for suffix in self.suffixes()
            }

    def memory_matrix(self, suffix: str = "_l0") -> Tensor:
        """W_mm (p, p) of one layer and direction, for a diagonal memory too; `suffix` as in the parameter names.

        Examples
        --------
        >>> import linmem
        >>> linmem.LMN(3, 4, 5, memory="diagonal").memory_matrix().shape
        torch.Size([5, 5])
        """
        return as_matrix(self._weights(suffix).mm)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self.norm_limits.reset()


def apply_norm_limits(model: nn.Module) -> None:
    """Apply the limits of all LMN layers of a model now, instead of in their next forward pass."""
    for layer in model.modules():
        if isinstance(layer, LimitedParameters):
            layer.apply_norm_limits()


def _read(weights: RecurrentWeights) -> Tensor:
    """W_mh followed by the further functional layers."""
    return reduce(lambda product, weight: weight @ product, weights.deep, weights.mh)


def _scale(weights: tuple[Tensor, ...], norm: float, limit: float) -> None:
    if norm > limit * (1 + 2 * SLACK):  # false for NaN, which the loss then shows
        for weight in weights:
            weight.mul_(limit / norm)


def _is_trained(weight: Tensor) -> bool:
    return type(weight) is nn.Parameter and weight.requires_grad and weight.device.type != "meta"  # no fake tensor


def _versions(weights: tuple[Tensor, ...]) -> tuple[int, ...]:
    return tuple(weight._version for weight in weights)
