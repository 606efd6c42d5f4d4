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


class DiagonalStep(NamedTuple):
    """The operations of a step with diagonal memory; backward, those of the transposed matrices."""

    to_hidden: Linear  # forward W_mh; backward W_hmᵀ
    to_memory: Linear  # forward W_hm and b_m; backward W_mhᵀ
    own: Any  # (p,) diagonal of W_mm
    other: Any  # (p,) entries next to the diagonal, by row
    deep: list[Linear]


def add_decayed(engine: Arithmetic, out: Any, m: Any, step: DiagonalStep, space: Any) -> None:
    """``out += W_mm m`` for a diagonal memory."""
    pairs, multiply = m.shape[1] // 2 * 2, engine.multiply
    multiply(m, step.own, out=space)
    engine.add(out, space, out=out)
    if pairs:
        out, space = out[:, :pairs], space[:, :pairs]
        multiply(m[:, 1:pairs:2], step.other[0:pairs:2], out=space[:, 0::2])
        multiply(m[:, 0:pairs:2], step.other[1:pairs:2], out=space[:, 1::2])
        engine.add(out, space, out=out)


def forward_diagonal(
    engine: Arithmetic,
    nonlinearity: str,
    before: Any,
    memory: list[Any],
    layers: list[list[Any]],
    step: DiagonalStep,
    hidden_space: Any,
    memory_space: Any,
) -> None:
    """Diagonal memory: ``h_t = σ(x̂_t + W_mh m_{t-1})``, ``m_t = W_mm m_{t-1} + W_hm h_t + b_m``.

    The first of `layers` holds the x̂_t on entry. `memory` and `layers` are filled.
    """
    sigma_ = engine.sigma_[nonlinearity]
    for t, after in enumerate(memory):
        rows = after.shape[0]
        before, h = before[:rows], layers[0][t]
        engine.add(h, step.to_hidden(before, hidden_space[:rows]), out=h)
        sigma_(h)
        for linear, layer in zip(step.deep, layers[1:], strict=True):
            layer[t][:] = linear(h, layer[t])
            h = sigma_(layer[t])
        after[:] = step.to_memory(h, after)
        add_decayed(engine, after, before, step, memory_space[:rows])
        before = after


def backward_diagonal(
    engine: Arithmetic,
    delta_before: Any,
    delta_memory: list[Any],
    deltas: list[list[Any]],
    grad_hidden: list[Any] | None,
    step: DiagonalStep,
    spaces: list[Any],
) -> None:
    """Diagonal memory, backward: ``δv_t = (W_hmᵀ δm_t) σ'(v_t)``, ``δm_{t-1} += W_mmᵀ δm_t + W_mhᵀ δv_t``.

    On entry `delta_memory` holds the gradients of m_t from the outputs, `deltas` the σ'(v_t) of each functional layer,
    and `delta_before` zeros; they are filled with δm_t, δv_t and the gradient of m before the first step. `spaces` are
    for each functional layer, then two for the memory.
    """
    add, multiply = engine.add, engine.multiply
    for t in reversed(range(len(delta_memory))):
        dm = delta_memory[t]
        rows = dm.shape[0]
        dh = step.to_hidden(dm, spaces[len(deltas) - 1][:rows])
        if grad_hidden is not None:
            add(dh, grad_hidden[t], out=dh)
        for i in reversed(range(1, len(deltas))):
            multiply(deltas[i][t], dh, out=deltas[i][t])
            dh = step.deep[i - 1](deltas[i][t], spaces[i - 1][:rows])
        dv = deltas[0][t]
        multiply(dv, dh, out=dv)
        target = (delta_memory[t - 1] if t else delta_before)[:rows]
        add(target, step.to_memory(dv, spaces[-2][:rows]), out=target)
        add_decayed(engine, target, dm, step, spaces[-1][:rows])


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
