"""The two time loops of the fused scan: only the work that must wait for the previous (or next) step.

They write in place to arrays of an engine (:mod:`linmem.nn.scan.engine`), given as lists with one entry per step or
block. Blocks, states and gradients are those of :mod:`linmem.nn.scan.chunks`.

Symbols: v the value before σ, δ a gradient; f units of the first, f' of the last functional layer, p memory units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

Linear = Callable[[Any, Any], Any]  # (rows (n, i), space (n, o)) -> result (n, o), in that space or in a new array


class Arithmetic(Protocol):
    """The operations on arrays that the loops need, besides products."""

    add: Callable[..., Any]
    multiply: Callable[..., Any]
    sigma_: Mapping[str, Callable[[Any], Any]]


class Deep(NamedTuple):
    """A further functional layer: its product (forward, or backward without bias), space, one array per step."""

    linear: Linear
    space: Any
    steps: list[Any]


def functional(engine: Arithmetic, nonlinearity: str, h: Any, deep: list[Deep], t: int) -> Any:
    """Pass h_t through the further functional layers; returns the output of the last one."""
    for layer in deep:
        result = layer.linear(h, layer.steps[t])
        if result is not layer.steps[t]:
            layer.steps[t][:] = result
        h = engine.sigma_[nonlinearity](layer.steps[t])
    return h


def forward(
    engine: Arithmetic, nonlinearity: str, sizes: Sequence[int], blocks: list[Any], times: Linear, space: Any, p: int
) -> None:
    """One functional layer: ``h_t = σ(v_t)``, ``[m_t, v_{t+1}] = A [m_{t-1}, h_t] + c_t``.

    On entry the first block holds [m_{t-1}, v_t] and the others the c_t: x̂_{t+1}, and the part of b that `times` does
    not add. So a step needs one addition of whole rows; adding b to all columns and x̂ to some takes four times longer
    in NumPy. `space` has the size of the first block.
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
    engine: Arithmetic,
    nonlinearity: str,
    projected: list[Any],
    blocks: list[Any],
    after: Any,
    joined: Linear,
    deep: list[Deep],
    p: int,
) -> None:
    """Several functional layers: each x̂_t becomes h of the first layer in place, the blocks hold h of the last.

    `after` (B, p + f) holds [m_{t-1}, v_t] of the first step on entry and those of the step after the last on exit.
    """
    for t, x in enumerate(projected):
        rows, block = x.shape[0], blocks[t]
        engine.add(x, after[:rows, p:], out=x)
        h = functional(engine, nonlinearity, engine.sigma_[nonlinearity](x), deep, t)
        block[:rows, p:] = h
        after[:rows] = joined(block[:rows], after[:rows])
        blocks[t + 1][:, :p] = after[:rows, :p]


def backward(
    engine: Arithmetic, sizes: Sequence[int], blocks: list[Any], slopes: list[Any], joined: Linear, space: Any, p: int
) -> None:
    """One functional layer, backward: ``[δm_{t-1}, δh_t] += Aᵀ [δm_t, δv_{t+1}]``, ``δv_t = δh_t σ'(v_t)``.

    From the last block [δm_{t-1}, δv_t] fill the blocks before it, which on entry hold the gradients of m_{t-1} and h_t
    from the outputs. `slopes` are the σ'(v_t), one block each. `space` has the size of the first block.
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
    engine: Arithmetic,
    blocks: list[Any],
    sizes: Sequence[int],
    grad_hidden: list[Any] | None,
    joined: Linear,
    space: Any,
    deep: list[Deep],
    p: int,
) -> None:
    """Several functional layers, backward: on entry the blocks hold the gradient of m from the outputs, and σ'(v).

    The steps of `deep` hold σ'(v) of their layer on entry and its δv on exit. `space` is (B, p + f').
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
