"""The two time loops of the fused scan: nothing but what must wait for the step before (or after).

They work in place on arrays of an engine (:mod:`linmem.nn.scan.engine`), on lists with one entry a step or block.
Blocks, states and gradients are those of :mod:`linmem.nn.scan.fused`.

Letters: v the value before σ, δ a gradient; f units of the first, f' of the last functional layer, p memory units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Linear = Callable[[Any, Any], Any]  # (rows (n, i), space (n, o)) -> result (n, o), in that space or in one of its own


class Deep(NamedTuple):
    """A further functional layer: its product (forwards, or backwards without bias), space, one array a step."""

    linear: Linear
    space: Any
    steps: list[Any]


def functional(engine: Any, nonlinearity: str, h: Any, deep: list[Deep], t: int) -> Any:
    """Pass h_t through the further functional layers; gives the last one's."""
    for layer in deep:
        result = layer.linear(h, layer.steps[t])
        if result is not layer.steps[t]:
            layer.steps[t][:] = result
        h = engine.sigma_[nonlinearity](layer.steps[t])
    return h


def forward(
    engine: Any, nonlinearity: str, sizes: Sequence[int], blocks: list[Any], times: Linear, space: Any, p: int
) -> None:
    """Some steps of one functional layer: ``h_t = σ(v_t)``, ``[m_t, v_{t+1}] = A [m_{t-1}, h_t] + c_t``.

    The first of the blocks comes holding [m_{t-1}, v_t], the others the c_t: x̂_{t+1}, and what `times` leaves out of b.
    So one addition of whole rows is left to a step, where one of b to all and one of x̂ to a part of each row took four
    times longer in NumPy. `space` has the size of the first block.
    """
    add, sigma_ = engine.add, engine.sigma_[nonlinearity]
    block = blocks[0]
    for rows, after in zip(sizes, blocks[1:], strict=True):
        if rows != block.shape[0]:
            block, space = block[:rows], space[:rows]
        sigma_(block[:, p:])
        add(after, times(block, space), out=after)
        block = after


def forward_deep(
    engine: Any,
    nonlinearity: str,
    projected: list[Any],
    blocks: list[Any],
    after: Any,
    joined: Linear,
    deep: list[Deep],
    p: int,
) -> None:
    """The same for several functional layers: each x̂_t becomes h of the first in place, the blocks hold h of the last.

    `after` (B, p + f) comes holding [m_{t-1}, v_t] of the first step and leaves with those of the step after the last.
    """
    for t, x in enumerate(projected):
        rows, block = x.shape[0], blocks[t]
        engine.add(x, after[:rows, p:], out=x)
        h = functional(engine, nonlinearity, engine.sigma_[nonlinearity](x), deep, t)
        block[:rows, p:] = h
        after[:rows] = joined(block[:rows], after[:rows])
        blocks[t + 1][:, :p] = after[:rows, :p]


def backward(
    engine: Any, sizes: Sequence[int], blocks: list[Any], slopes: list[Any], joined: Linear, space: Any, p: int
) -> None:
    """Some steps back of one functional layer: ``[δm_{t-1}, δh_t] += Aᵀ [δm_t, δv_{t+1}]``, ``δv_t = δh_t σ'(v_t)``.

    From the last of the blocks [δm_{t-1}, δv_t] fill those before it, which come holding the gradients that reach
    m_{t-1} and h_t from outside. `slopes` are the σ'(v_t), in blocks alike. `space` has the size of the first block.
    """
    add, multiply = engine.add, engine.multiply
    after = blocks[-1]
    for rows, block, slope in zip(reversed(sizes), reversed(blocks[:-1]), reversed(slopes), strict=True):
        now = block if rows == block.shape[0] else block[:rows]
        add(now, joined(after, space[:rows]), out=now)
        dv = block[:, p:]
        multiply(dv, slope, out=dv)
        after = block


def backward_deep(
    engine: Any,
    blocks: list[Any],
    sizes: Sequence[int],
    grad_hidden: list[Any] | None,
    joined: Linear,
    space: Any,
    deep: list[Deep],
    p: int,
) -> None:
    """The same for several functional layers: the blocks come holding the gradient that reaches m, and σ'(v).

    The steps of `deep` come holding σ'(v) of their layer and leave holding its δv. `space` is (B, p + f').
    """
    add, multiply = engine.add, engine.multiply
    after = blocks[-1]
    for t in reversed(range(len(sizes))):
        rows, block = sizes[t], blocks[t]
        now = block if rows == block.shape[0] else block[:rows]
        g = joined(after, space[:rows])
        dm, dv, dh = now[:, :p], now[:, p:], g[:, p:]
        add(dm, g[:, :p], out=dm)
        if grad_hidden is not None:
            add(dh, grad_hidden[t], out=dh)
        for layer in reversed(deep):
            delta = layer.steps[t]
            multiply(delta, dh, out=delta)
            dh = layer.linear(delta, layer.space[:rows])
        multiply(dv, dh, out=dv)
        after = block
