"""The recurrence with a backward of its own: one product a step, all the rest before or after the time loop.

h_t and m_{t-1} enter m_t linearly, and m_t the next v_{t+1} (the value before σ) too. So one matrix takes a step:

    [m_t; v_{t+1} - x̂_{t+1}] = A [m_{t-1}; h_t] + [b_m; W_mh b_m],   A = [W_mm, W_hm; W_mh W_mm, W_mh W_hm],

with x̂_t = W_xh x_t + b_h for all steps by one product before the loop. It takes f² multiplications a step more than
the two products of the definition, and half as many calls, on larger matrices. Backward, with δm_t the gradient of
m_t that does not come through v_{t+1}, and δv_t that of v_t:

    [δm_{t-1}; δh_t] += Aᵀ [δm_t; δv_{t+1}],   δv_t = δh_t σ'(v_t),   ∂A = Σ_t [δm_t; δv_{t+1}] [m_{t-1}; h_t]ᵀ

where ∂A, as the gradients of W_xh and of the inputs, is one product over all steps after the loop; the gradients of
W_mh, W_hm and W_mm follow from ∂A alone. Sums run in a fixed order, so the result is deterministic. A second
derivative (``create_graph=True``) goes through the reference scan: right, only slower.

Blocks: states and gradients lie in T + 1 blocks of rows, block t holding [m_{t-1}, h_t] or [δm_{t-1}, δv_t] for
t = 0..T. Block 0 has n_0 rows and block t + 1 has n_t, those of step t; where fewer sequences go on, n_{t+1} < n_t,
the last rows of a block have no h.

Letters: N rows of all steps, n_t of step t, B = n_0; a inputs, f functional units, p memory units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linmem.scan import loops, reference
from linmem.scan.activations import activation
from linmem.scan.engine import Choice, blas_threads, choose
from linmem.scan.packing import kept_rows, last_rows
from linmem.scan.signature import Result, Weights


def _joined(weights: Weights, choice: Choice) -> Tensor:
    """A, (p + f, p + f')."""
    to_memory = torch.cat([weights.mm, weights.hm], 1)
    return torch.cat([to_memory, choice.product.product(weights.mh, to_memory)])


class _Fused(torch.autograd.Function):
    """Rows in, rows out: x (N, a), m_0 (B, p) -> outputs (N, p) or (N, f'), m_n (B, p)."""

    @staticmethod
    def forward(
        ctx: Any,
        nonlinearity: str,
        output: str,
        sizes: tuple[int, ...],
        x: Tensor,
        m_0: Tensor,
        *flat: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        weights = Weights.from_flat(flat)
        sigma_ = activation(nonlinearity).apply_
        (f, p), last = weights.mh.shape, weights.hm.shape[1]
        batch, rows = sizes[0], x.shape[0]
        choice = choose(batch, p + last, p + f, rows, x.dtype, x.device)
        engine, array = choice.loop, choice.loop.array
        with blas_threads():
            hidden = choice.product.product(x, weights.xh.t())  # x̂, and h of the first layer where there are more
            if weights.bias_h is not None:
                hidden += weights.bias_h
            hidden[:batch].addmm_(m_0, weights.mh.t())
            bias = None if weights.bias_m is None else torch.cat([weights.bias_m, weights.mh @ weights.bias_m])
            joined = engine.linear(_joined(weights, choice), bias, batch)
            layers = [hidden] + [x.new_empty(rows, w.shape[0]) for w, _ in weights.deep] if weights.deep else []
            deep = [
                loops.Deep(engine.linear(w, b, batch), None, _pieces(array(h), sizes))
                for (w, b), h in zip(weights.deep, layers[1:], strict=True)
            ]
            blocks = x.new_empty(batch + rows, p + last)
            blocks[:batch, :p] = m_0
            pieces = _pieces(array(blocks), (batch, *sizes))
            steps = _pieces(array(hidden), sizes)
            sigma_(hidden[:batch])
            if deep:
                pieces[0][:, p:] = loops.functional(engine, nonlinearity, steps[0], deep, 0)
                space = array(x.new_empty(batch, p + f))
                loops.forward_deep(engine, nonlinearity, steps, pieces, joined, space, deep, p)
            else:
                blocks[:batch, p:] = hidden[:batch]
                results = loops.forward(engine, nonlinearity, steps[1:], pieces, joined, p)
                if engine.fresh:
                    torch.cat(results, out=blocks[batch:])
        ctx.nonlinearity, ctx.output, ctx.sizes, ctx.choice = nonlinearity, output, sizes, choice
        ctx.count = 2 + len(flat)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, m_0, *flat, blocks, *layers[:-1])
        memory = blocks[batch:, :p]
        m_n = memory[rows - batch :] if sizes[-1] == batch else memory[last_rows(sizes).to(x.device)]
        if output == "functional":
            return _kept(blocks, sizes)[:, p:].clone(), m_n.clone()
        return memory.clone(memory_format=torch.contiguous_format), m_n.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        saved, sizes, choice = ctx.saved_tensors, ctx.sizes, ctx.choice
        arguments, (blocks, *layers) = saved[: ctx.count], saved[ctx.count :]
        if torch.is_grad_enabled():
            return None, None, None, *_through_reference(ctx, arguments, grads)
        x, m_0, *flat = arguments
        weights = Weights.from_flat(flat)
        slope, engine, array, product = (
            activation(ctx.nonlinearity).slope, choice.loop, choice.loop.array, choice.product.product,
        )  # fmt: skip
        (f, p), last = weights.mh.shape, weights.hm.shape[1]
        batch, rows = sizes[0], x.shape[0]
        states = _kept(blocks, sizes)  # [m_{t-1}, h_t] of every step
        hidden = [*layers, states[:, p:]]
        grad_y, grad_m = grads
        gradients = x.new_empty(batch + rows, p + f)
        _fill(gradients, p, slope(hidden[0]), grad_y if ctx.output == "memory" else None, grad_m, sizes)
        deltas = [slope(h) for h in hidden[1:]]
        grad_hidden = grad_y if ctx.output == "functional" else None
        with blas_threads():
            joined = _joined(weights, choice)
            deep = [
                loops.Deep(
                    engine.linear(w.t(), None, batch),
                    array(x.new_empty(batch, w.shape[1])),
                    _pieces(array(delta), sizes),
                )
                for (w, _), delta in zip(weights.deep, deltas, strict=True)
            ]
            loops.backward(
                engine,
                _pieces(array(gradients), (batch, *sizes)),
                sizes,
                None if grad_hidden is None else _pieces(array(grad_hidden), sizes),
                engine.linear(joined.t(), None, batch),
                array(x.new_empty(batch, p + last)),
                deep,
                p,
            )
            from_joined, dv = gradients[batch:], _kept(gradients, sizes)[:, p:]
            joined_grad = product(from_joined.t(), states)
            mh_grad = product(joined_grad[p:], joined[:p].t()).addmm_(dv[:batch].t(), m_0)
            memory_grad = joined_grad[:p].addmm_(weights.mh.t(), joined_grad[p:])
            bias_m_grad = None
            if weights.bias_m is not None:
                through_m, through_v = from_joined.sum(0).split([p, f])
                mh_grad.addr_(through_v, weights.bias_m)
                bias_m_grad = through_m + through_v @ weights.mh
            found = [
                product(dv, weights.xh) if ctx.needs_input_grad[3] else None,
                torch.addmm(gradients[:batch, :p], dv[:batch], weights.mh) if ctx.needs_input_grad[4] else None,
                product(dv.t(), x),
                mh_grad,
                memory_grad[:, p:],
                memory_grad[:, :p],
                None if weights.bias_h is None else dv.sum(0),
                bias_m_grad,
            ]
            for (_, bias), delta, below in zip(weights.deep, deltas, hidden[:-1], strict=True):
                found += [product(delta.t(), below), None if bias is None else delta.sum(0)]
        return None, None, None, *found


def _pieces(array: Any, sizes: Sequence[int]) -> list[Any]:
    """Consecutive rows, as views."""
    if isinstance(array, Tensor):
        return list(array.split(list(sizes)))
    pieces, row = [], 0
    for size in sizes:
        pieces.append(array[row : row + size])
        row += size
    return pieces


def _kept(blocks: Tensor, sizes: Sequence[int]) -> Tensor:
    """The rows of blocks 0..T-1 that have an h, (N, ·): one for each row of x."""
    if sizes[-1] == sizes[0]:
        return blocks[: blocks.shape[0] - sizes[0]]
    return blocks[kept_rows(sizes).to(blocks.device)]


def _fill(
    gradients: Tensor,
    p: int,
    slopes: Tensor,
    grad_memory: Tensor | None,
    grad_last: Tensor | None,
    sizes: Sequence[int],
) -> None:
    """The blocks of gradients as the loop wants them: what comes from outside for m, and σ'(v)."""
    batch, rows = sizes[0], slopes.shape[0]
    dm, dv = gradients[:, :p], gradients[:, p:]
    dm[:batch] = 0.0
    dm[batch:] = 0.0 if grad_memory is None else grad_memory
    if sizes[-1] == batch:
        dv[:rows], dv[rows:] = slopes, 0.0
        if grad_last is not None:
            dm[rows:] += grad_last
    else:
        dv.zero_()
        dv[kept_rows(sizes).to(dv.device)] = slopes
        if grad_last is not None:
            dm[batch + last_rows(sizes).to(dm.device)] += grad_last


def _through_reference(
    ctx: Any, arguments: Sequence[Tensor | None], grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The same gradients as a differentiable graph."""
    x, m_0, *weights = arguments
    assert x is not None
    assert m_0 is not None
    result = reference.scan(x, m_0, Weights.from_flat(weights), ctx.nonlinearity, ctx.output, ctx.sizes)
    outputs = [(state, grad) for state, grad in zip(result, grads, strict=True) if grad is not None]
    wanted = [i for i, a in enumerate(arguments) if a is not None and ctx.needs_input_grad[i + 3]]
    inputs = [a for i, a in enumerate(arguments) if i in wanted and a is not None]
    found = torch.autograd.grad(
        [o for o, _ in outputs], inputs, [g for _, g in outputs], create_graph=True, allow_unused=True
    )
    gradients: list[Tensor | None] = [None] * len(arguments)
    for i, gradient in zip(wanted, found, strict=True):
        gradients[i] = gradient
    return gradients


def scan(
    x: Tensor,
    m_0: Tensor,
    weights: Weights,
    nonlinearity: str = "tanh",
    output: str = "memory",
    batch_sizes: Sequence[int] | None = None,
) -> Result:
    """All steps, with the fused forward and backward; see :mod:`linmem.scan.signature`."""
    sizes = tuple(batch_sizes) if batch_sizes is not None else (x.shape[1],) * x.shape[0]
    y, m_n = _Fused.apply(nonlinearity, output, sizes, x.reshape(-1, x.shape[-1]), m_0, *weights.flat())
    return Result(y.view(*x.shape[:-1], y.shape[-1]), m_n)
