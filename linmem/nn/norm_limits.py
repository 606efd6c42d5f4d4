"""Limits on the norms of an LMN's weights, which keep training stable at large learning rates.

    h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h),   m_t = W_hm h_t + W_mm m_{t-1} + b_m                     [L18], eqs. 11-12

Without limits one step of Adam with learning rate η can add p η to ‖W_mm‖, which T steps raise to the power T. These
numbers therefore stay below a limit, or below their value when training starts if that is larger:

    memory      ‖W_mm‖ ≤ 1                  the memory alone is not expansive; always true of a diagonal memory
    write       ‖W_hm‖ ≤ 3
    loop        ‖W_mm + W_hm W_mh‖ ≤ 1      the recurrence with σ' = 1 is not expansive
    feedback    ‖W_hm‖ ‖W_mh‖ ≤ 0.5         for unbounded σ only (relu, selu), whose active units change with the input
    gain        ‖W_hm,i‖ ≤ 1 − r_i          for unbounded σ and a diagonal memory only: row i of W_hm, decay r_i

A unit of decay r sums a constant input to 1 / (1 − r) times its size, 100 at r = 0.99. The last limit keeps such sums
of the units of a ReLU, which are not negative, below the norm of h.

The limits were chosen on user loops (``benchmarks/user_loop_stability.py``). A ReLU network trained at small learning
rates with gradient clipping does better without them (docs/guide/models.md).

Symbols: T steps, f functional units, p memory units, r = exp(−exp ν) the decays of a diagonal memory.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from linmem.nn.scan.memory import as_matrix
from linmem.nn.scan.recurrent_parameters import RecurrentParameters
from linmem.nn.spectral_norm import spectral_norm

GRID = 8  # a limit from the starting norm is the next multiple of 1/8; a checkpoint of a training run keeps it
SLACK = 1e-3  # relative error of the power method that a limit tolerates
BOUNDED = ("tanh",)


class RecurrentWeights(NamedTuple):
    """Weights of one recurrence that are scaled down in place."""

    mh: Tensor  # (f, p)
    hm: Tensor  # (p, f)
    mm: Tensor  # (p, p), or the blocks (2 p,) of a diagonal memory, which its decays and phases determine
    deep: tuple[Tensor, ...] = ()  # further functional layers, never scaled
    log_decay: Tensor | None = None  # ν (p,) of a diagonal memory

    @property
    def read(self) -> tuple[Tensor, ...]:
        """Factors of the map from m to the last h: W_mh, preceded by further functional layers."""
        return *reversed(self.deep), self.mh

    @property
    def scaled(self) -> tuple[Tensor, ...]:
        """What is scaled down."""
        return self.mh, self.hm, self.mm if self.log_decay is None else self.log_decay


class Norms(NamedTuple):
    """Spectral norms of one recurrence, or the limits on them."""

    memory: float  # ‖W_mm‖
    write: float  # ‖W_hm‖
    loop: float  # ‖W_mm + W_hm W_mh‖
    feedback: float  # ‖W_hm‖ ‖W_mh‖
    gain: float = 0.0  # largest ‖W_hm,i‖ / (1 − r_i) of a diagonal memory


class _Record(NamedTuple):
    limits: Norms
    versions: tuple[int, ...]


@torch.no_grad()
def measure_norms(weights: RecurrentWeights) -> Norms:
    """Estimate the norms of a recurrence."""
    write, reading = spectral_norm(weights.hm), spectral_norm(weights.read)
    loop = spectral_norm(weights.mm, (weights.hm, *weights.read))
    gain = 0.0 if weights.log_decay is None else float((weights.hm.norm(dim=1) / _leak(weights.log_decay)).max())
    return Norms(spectral_norm(weights.mm), write, loop, write * reading, gain)


@torch.no_grad()
def scale_down_(weights: RecurrentWeights, limits: Norms) -> None:
    """Scale W_mm, W_hm and W_mh in place, each by the least amount that respects the limits."""
    if weights.log_decay is None:  # a diagonal memory is never expansive
        _scale((weights.mm,), spectral_norm(weights.mm), limits.memory)
    elif limits.gain < math.inf:
        largest = limits.gain * _leak(weights.log_decay)
        weights.hm.mul_((largest / weights.hm.norm(dim=1)).clamp(max=1)[:, None])
    write = spectral_norm(weights.hm)
    _scale((weights.hm,), write, limits.write)
    if limits.feedback < math.inf:
        _scale((weights.mh,), min(write, limits.write) * spectral_norm(weights.read), limits.feedback)
    loop = spectral_norm(weights.mm, (weights.hm, *weights.read))
    if weights.log_decay is None:
        _scale((weights.mm, weights.mh), loop, limits.loop)
    elif _scale((weights.mh,), loop, limits.loop):
        # r = exp(−exp ν) times c is exp(−(exp ν − log c))
        weights.log_decay.copy_((weights.log_decay.exp() + math.log(loop / limits.loop)).log())


def limits_of(norms: Norms, nonlinearity: str) -> Norms:
    """Limits for weights that start with the given norms: constants, or the next multiple of 1/8 above the norm.

    A norm that is NaN or infinite gets the constant: the loss then shows that the weights are not finite.

    Examples
    --------
    >>> limits_of(Norms(0.99, 1.2, 1.3, 0.2), "relu")
    Norms(memory=1.0, write=3.0, loop=1.375, feedback=0.5, gain=1.0)
    """
    constants = Norms(1.0, 3.0, 1.0, *((math.inf, math.inf) if nonlinearity in BOUNDED else (0.5, 1.0)))
    finite = (norm if math.isfinite(norm * GRID) else 0.0 for norm in norms)
    starts = (math.ceil(norm * (1 - SLACK) * GRID) / GRID for norm in finite)
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
        scaled = weights.scaled
        if not all(_is_trained(weight) for weight in scaled):
            return
        record, versions = self._records.get(suffix), _versions(scaled)
        if record is None and start:
            self._records[suffix] = _Record(limits_of(measure_norms(weights), nonlinearity), versions)
        elif record is not None and record.versions != versions:
            scale_down_(weights, record.limits)
            self._records[suffix] = _Record(record.limits, _versions(scaled))

    def restore(self, suffix: str, weights: RecurrentWeights, limits: Norms) -> None:
        """Fix known limits, for weights that respect them already."""
        self._records[suffix] = _Record(limits, _versions(weights.scaled))

    @property
    def fixed(self) -> dict[str, Norms]:
        """The limits that are fixed so far, by suffix."""
        return {suffix: record.limits for suffix, record in self._records.items()}

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
        if not self.limit_norms or torch.compiler.is_compiling():
            return
        if not start and self.norm_limits.empty:
            return
        with torch.no_grad():
            for suffix in self.suffixes():
                self.norm_limits.apply(suffix, self._recurrent_weights(suffix), self.nonlinearity, start)

    def restore_norm_limits(self, limits: dict[str, Norms]) -> None:
        """Continue with the limits by suffix of an earlier training run whose weights this layer has now."""
        with torch.no_grad():
            for suffix in self.suffixes():
                if suffix in limits:
                    self.norm_limits.restore(suffix, self._recurrent_weights(suffix), limits[suffix])

    def _recurrent_weights(self, suffix: str) -> RecurrentWeights:
        weights = self._weights(suffix)
        log_decay = getattr(self, f"log_decay_mm{suffix}") if self.memory == "diagonal" else None
        return RecurrentWeights(weights.mh, weights.hm, weights.mm, tuple(one for one, _ in weights.deep), log_decay)

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


def fixed_limits(model: nn.Module) -> dict[str, dict[str, Norms]]:
    """The limits that are fixed so far, by name of the LMN layer and suffix."""
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, LimitedParameters)}
    return {name: layer.norm_limits.fixed for name, layer in layers.items() if not layer.norm_limits.empty}


def restore_limits(model: nn.Module, limits: dict[str, dict[str, Norms]]) -> None:
    """Continue with the limits of an earlier training run, after its weights are loaded.

    Layers without an entry compute their limits again, as after `load_state_dict`.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, LimitedParameters) and name in limits:
            layer.restore_norm_limits(limits[name])


def _leak(log_decay: Tensor) -> Tensor:
    """1 − r, without cancellation."""
    return -torch.expm1(-log_decay.exp())


def _scale(weights: tuple[Tensor, ...], norm: float, limit: float) -> bool:
    """Scale weights whose norm exceeds the limit; returns whether it does."""
    if not limit * (1 + 2 * SLACK) < norm < math.inf:  # false for NaN, too, which the loss then shows
        return False
    for weight in weights:
        weight.mul_(limit / norm)
    return True


def _is_trained(weight: Tensor) -> bool:
    return type(weight) is nn.Parameter and weight.requires_grad and weight.device.type != "meta"  # no fake tensor


def _versions(weights: tuple[Tensor, ...]) -> tuple[int, ...]:
    return tuple(weight._version for weight in weights)
