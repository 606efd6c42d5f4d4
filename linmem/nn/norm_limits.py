"""Limits on the norms of an LMN's weights, which keep training stable at large learning rates.

    h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h),   m_t = W_hm h_t + W_mm m_{t-1} + b_m                     [L18], eqs. 11-12

Without limits one step of Adam with learning rate η can add p η to ‖W_mm‖, which T steps raise to the power T. These
numbers are therefore held near or below a limit, or their value when training starts if that is larger. A few steps of
the power method estimate them from below, so that a true norm may exceed its limit by some per cent.

    memory      ‖W_mm‖ ≤ 1                  the memory alone is not expansive; always true of a diagonal memory
    write       ‖W_hm‖ ≤ 3
    loop        ‖W_mm + W_hm W_mh‖ ≤ 1      the recurrence with σ' = 1 is not expansive
    feedback    ‖W_hm‖ ‖W_mh‖ ≤ 0.5         for all σ but tanh, whose active units may change with the input
    gain        ‖W_hm,i‖ ≤ 1 − r_i          for all σ but tanh and a diagonal memory: row i of W_hm, decay r_i

Only weights that are trained are scaled: frozen and parametrized weights stay as they are, and the limits hold for the
others. Where W_mm or W_mh is not trained the loop may have the norm of its term plus 0.5, if that is larger.

A unit of decay r sums a constant input to 1 / (1 − r) times its size, 100 at r = 0.99. The last limit keeps such sums
of the units of a ReLU, which are not negative, below the norm of h.

The limits were chosen on user loops (``benchmarks/user_loop_stability.py``). A ReLU network trained at small learning
rates with gradient clipping does better without them (docs/guide/models.md).

Symbols: T steps, f functional units, p memory units, r = exp(−exp ν) the decays of a diagonal memory.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from linmem.nn.spectral_norm import spectral_norm

GRID = 8  # a limit from the starting norm is the next multiple of 1/8; a checkpoint of a training run keeps it
SLACK = 1e-3  # relative excess of an estimated norm that a limit tolerates
ROOM = 0.5  # norm that W_mm or W_hm W_mh may have in the loop when only one of them is trained
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


@torch.no_grad()
def measure_norms(weights: RecurrentWeights) -> Norms:
    """Estimate the norms of a recurrence."""
    write, reading = spectral_norm(weights.hm), spectral_norm(weights.read)
    loop = spectral_norm(weights.mm, (weights.hm, *weights.read))
    gain = 0.0 if weights.log_decay is None else float((weights.hm.norm(dim=1) / _leak(weights.log_decay)).max())
    return Norms(spectral_norm(weights.mm), write, loop, write * reading, gain)


@torch.no_grad()
def scale_down_(weights: RecurrentWeights, limits: Norms) -> None:
    """Scale W_mm, W_hm and W_mh in place, each by the least amount that respects the limits, where they are trained."""
    trains_mh, trains_hm, trains_mm = map(is_trained, weights.scaled)
    if weights.log_decay is None:  # a diagonal memory is never expansive
        _scale((weights.mm,) * trains_mm, spectral_norm(weights.mm), limits.memory)
    elif trains_hm and limits.gain < math.inf:
        largest = limits.gain * _leak(weights.log_decay)
        weights.hm.mul_((largest / weights.hm.norm(dim=1)).clamp(max=1)[:, None])
    write = spectral_norm(weights.hm)
    if trains_hm:
        _scale((weights.hm,), write, limits.write)
        write = min(write, limits.write)
    if limits.feedback < math.inf:
        feedback = write * spectral_norm(weights.read)
        _scale((weights.mh,) if trains_mh else (weights.hm,) * trains_hm, feedback, limits.feedback)
    _scale_loop_(weights, limits.loop, trains_mh, trains_mm)


def _scale_loop_(weights: RecurrentWeights, limit: float, trains_mh: bool, trains_mm: bool) -> None:
    """Scale the trained terms of W_mm + W_hm W_mh.

    The norm is a convex function of a factor on one term, hence at most the chord from factor 0, where it is the norm
    of the other term, to factor 1. A term that is not trained leaves the other one a norm of at least `ROOM`.
    """
    if not (trains_mh or trains_mm):
        return
    around = weights.hm, *weights.read
    norm, largest = spectral_norm(weights.mm, around), limit
    if not (trains_mh and trains_mm):
        other = spectral_norm(around if trains_mm else (weights.mm,))
        norm, largest = norm - other, max(limit - other, ROOM)
    if weights.log_decay is None:
        _scale((weights.mm,) * trains_mm + (weights.mh,) * trains_mh, norm, largest)
    elif exceeds(norm, largest):
        _scale((weights.mh,) * trains_mh, norm, largest)
        if trains_mm:  # r = exp(−exp ν) times c is exp(−(exp ν − log c))
            weights.log_decay.copy_((weights.log_decay.exp() + math.log(norm / largest)).log())


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


def raised(limits: Norms, norms: Norms, nonlinearity: str) -> Norms:
    """The limits, those that weights with these norms exceed replaced by the limits for such weights."""
    starts = limits_of(norms, nonlinearity)
    return Norms(
        *(start if exceeds(norm, limit) else limit for start, norm, limit in zip(starts, norms, limits, strict=True))
    )


def exceeds(norm: float, limit: float) -> bool:
    """Whether a norm is above its limit by more than the excess that is tolerated; false for NaN and infinity."""
    return limit * (1 + 2 * SLACK) < norm < math.inf


def _leak(log_decay: Tensor) -> Tensor:
    """1 − r, without cancellation."""
    return -torch.expm1(-log_decay.exp())


def _scale(weights: tuple[Tensor, ...], norm: float, limit: float) -> bool:
    """Scale weights whose norm exceeds the limit; returns whether it does. The loss then shows NaN and infinity."""
    if not weights or not exceeds(norm, limit):
        return False
    for weight in weights:
        weight.mul_(limit / norm)
    return True


def is_trained(weight: Tensor | None) -> bool:
    """Whether a weight is a parameter that is not frozen: a parametrized one is computed, a fake one has no values."""
    return type(weight) is nn.Parameter and weight.requires_grad and weight.device.type != "meta"
