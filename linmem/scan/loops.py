"""The two time loops of the fused scan: nothing but what must wait for the step before (or after).

They work in place on arrays of an engine (:mod:`linmem.scan.engine`), on lists with one entry a step or block.
Blocks, states and gradients are those of :mod:`linmem.scan.fused`.

Letters: v the value before σ, δ a gradient; f units of the first, f' of the last functional layer, p memory units.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from linmem.scan.engine import Engine, Linear


class Deep(NamedTuple):
    """A further functional layer: its product (forwards, or backwards without bias), space, one array a step."""

    linear: Linear
    space: Any
    steps: list[Any]


def functional(engine: Engine, nonlinearity: str, h: Any, deep: list[Deep], t: int) -> Any:
    """Pass h_t through the further functional layers; gives the last one's."""
    for layer in deep:
        result = layer.linear(h, layer.steps[t])
        if result is not layer.steps[t]:
            layer.steps[t][:] = result
        h = engine.sigma_[nonlinearity](layer.steps[t])
    return h


def forward(
    engine: Engine, nonlinearity: str, projected: list[Any], blocks: list[Any], joined: Linear, p: int
) -> list[Any]:
    """Fill blocks 1..T from block 0, for one functional layer: ``[m_t, v_{t+1} - x̂_{t+1}] = A [m_{t-1}, h_t] + b``.

    `projected` are x̂_1..x̂_{T-1}, (n_t, f). Gives the blocks as computed, in place or anew.
    """
    add, sigma_ = engine.add, engine.sigma_[nonlinearity]
    results = []
    z = blocks[0]
    for x, block in zip(projected, blocks[1:-1], strict=True):
        out = joined(z, block)
        results.append(out)
        rows = x.shape[0]
        z = out if rows == out.shape[0] else out[:rows]
        h = z[:, p:]
        add(h, x, out=h)
        sigma_(h)
    results.append(joined(z, blocks[-1]))
    return results


def forward_deep(
    engine: Engine,
    nonlinearity: str,
    hidden: list[Any],
    blocks: list[Any],
    joined: Linear,
    space: Any,
    deep: list[Deep],
    p: int,
) -> None:
    """The same for several functional layers; `hidden` holds x̂ and receives h of the first one."""
    steps = len(hidden)
    for t in range(steps):
        rows = hidden[t].shape[0]
        out = joined(blocks[t][:rows], space[:rows])
        after = blocks[t + 1]
        after[:, :p] = out[:, :p]
        if t + 1 < steps:
            h = hidden[t + 1]
            rows = h.shape[0]
            engine.add(h, out[:rows, p:], out=h)
            engine.sigma_[nonlinearity](h)
            after[:rows, p:] = functional(engine, nonlinearity, h, deep, t + 1)


def backward(
    engine: Engine,
    blocks: list[Any],
    sizes: tuple[int, ...],
    grad_hidden: list[Any] | None,
    joined: Linear,
    space: Any,
    deep: list[Deep],
    p: int,
) -> None:
    """Fill blocks T-1..0 of gradients, [δm_{t-1}, δv_t], from block T: ``[δm, δh] += Aᵀ δ``, ``δv = δh σ'(v)``.

    They come holding the gradient that reaches m from outside, and σ'(v). The steps of `deep` come holding σ'(v)
    of their layer and leave holding its δv. `space` is (B, p + f').
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
