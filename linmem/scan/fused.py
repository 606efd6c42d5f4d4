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

The loops run on chunks of steps of about a thousand rows, so what they touch stays in the cache and takes no memory:
only h and m of all steps are kept for the backward pass.

Blocks: within a chunk, states and gradients lie in blocks of rows, block t holding [m_{t-1}, h_t] or [δm_{t-1}, δv_t].
The first has n_t rows and block t + 1 has n_t, those of step t; where fewer sequences go on, n_{t+1} < n_t, the last
rows of a block have no h.

Letters: N rows of all steps, n_t of step t, B = n_0; a inputs, f (f') units of the first (last) functional layer,
p memory units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from linmem.scan import loops, reference
from linmem.scan.activations import activation
from linmem.scan.engine import Choice, blas_threads, choose
from linmem.scan.packing import kept_rows, last_rows, previous_rows
from linmem.scan.signature import Result, Weights

ROWS_OF_A_CHUNK = 1024


class _Chunk(NamedTuple):
    """Some steps in a row: how many rows each has, and which rows of all they are."""

    sizes: tuple[int, ...]
    rows: slice
    before: int  # rows of the step before the first; 0 if there is none

    @property
    def length(self) -> int:
        return self.rows.stop - self.rows.start

    @property
    def even(self) -> bool:
        return self.sizes[0] == self.sizes[-1]

    def kept(self, blocks: Tensor) -> Tensor:
        """The rows of all blocks but the last that have an h: one for each row of x."""
        return blocks[: self.length] if self.even else blocks[kept_rows(self.sizes).to(blocks.device)]

    def previous(self, m_0: Tensor, memory: Tensor) -> Tensor:
        """m_{t-1} for each row of x, (count, p); a view where it can be."""
        start, n = self.rows.start, self.sizes[0]
        if self.even and self.before == n:
            return memory[start - n : self.rows.stop - n]
        first = memory[start - self.before :][:n] if self.before else m_0
        if self.even:
            return torch.cat([first, memory[start : self.rows.stop - n]])
        return torch.cat([first, memory[start:][previous_rows(self.sizes).to(memory.device)]])


def _chunks(sizes: tuple[int, ...]) -> Iterator[_Chunk]:
    first, row = 0, 0
    while first < len(sizes):
        after, stop = first, row
        while after < len(sizes) and (after == first or stop + sizes[after] - row <= ROWS_OF_A_CHUNK):
            stop += sizes[after]
            after += 1
        yield _Chunk(sizes[first:after], slice(row, stop), sizes[first - 1] if first else 0)
        first, row = after, stop


def _joined(weights: Weights, choice: Choice) -> Tensor:
    """A, (p + f, p + f')."""
    to_memory = torch.cat([weights.mm, weights.hm], 1)
    return torch.cat([to_memory, choice.product.product(weights.mh, to_memory)])


def _pieces(array: Any, sizes: Sequence[int]) -> list[Any]:
    """Consecutive rows, as views."""
    if isinstance(array, Tensor):
        return list(array.split(list(sizes)))
    pieces, row = [], 0
    for size in sizes:
        pieces.append(array[row : row + size])
        row += size
    return pieces


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
        (f, p), last = weights.mh.shape, weights.hm.shape[1]
        batch, rows = sizes[0], x.shape[0]
        choice = choose(batch, p + last, p + f, rows, x.dtype, x.device)
        engine, array, product = choice.loop, choice.loop.array, choice.product.product
        memory, layers = x.new_empty(rows, p), [x.new_empty(rows, w.shape[0]) for w in weights.functional]
        with blas_threads():
            bias = None if weights.bias_m is None else torch.cat([weights.bias_m, weights.mh @ weights.bias_m])
            joined = engine.linear(_joined(weights, choice), bias, batch)
            linears = [engine.linear(w, b, batch) for w, b in weights.deep]
            after = torch.cat([m_0, m_0 @ weights.mh.t()], 1)  # [m_{t-1}, v_t] of the step to come
            blocks = x.new_empty(0)
            for chunk in _chunks(sizes):
                here, n = chunk.rows, chunk.sizes[0]
                projected = product(x[here], weights.xh.t())
                if weights.bias_h is not None:
                    projected += weights.bias_h
                if blocks.shape[0] != n + chunk.length:
                    blocks = x.new_empty(n + chunk.length, p + last)
                pieces = _pieces(array(blocks), (n, *chunk.sizes))
                if weights.deep:
                    layers[0][here] = projected
                    steps = _pieces(array(layers[0][here]), chunk.sizes)
                    deep = [
                        loops.Deep(linear, None, _pieces(array(h[here]), chunk.sizes))
                        for linear, h in zip(linears, layers[1:], strict=True)
                    ]
                    blocks[:n, :p] = after[:n, :p]
                    loops.forward_deep(engine, nonlinearity, steps, pieces, array(after), joined, deep, p)
                else:
                    blocks[:n] = after[:n]
                    steps = _pieces(array(projected), chunk.sizes)
                    results = loops.forward(engine, nonlinearity, steps, pieces, joined, p)
                    if engine.fresh:
                        torch.cat(results, out=blocks[n:])
                    layers[0][here] = chunk.kept(blocks)[:, p:]
                    after[: chunk.sizes[-1]] = blocks[blocks.shape[0] - chunk.sizes[-1] :]
                memory[here] = blocks[n:, :p]
        ctx.nonlinearity, ctx.output, ctx.sizes, ctx.choice = nonlinearity, output, sizes, choice
        ctx.count = 2 + len(flat)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, m_0, *flat, memory, *layers)
        m_n = memory[rows - batch :] if sizes[-1] == batch else memory[last_rows(sizes).to(x.device)]
        return (layers[-1] if output == "functional" else memory), m_n.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        saved, sizes, choice = ctx.saved_tensors, ctx.sizes, ctx.choice
        arguments, (memory, *layers) = saved[: ctx.count], saved[ctx.count :]
        if torch.is_grad_enabled():
            return None, None, None, *_through_reference(ctx, arguments, grads)
        x, m_0, *flat = arguments
        weights, slope = Weights.from_flat(flat), activation(ctx.nonlinearity).slope
        engine, array, product = choice.loop, choice.loop.array, choice.product.product
        (f, p), last = weights.mh.shape, weights.hm.shape[1]
        batch = sizes[0]
        grad_y, grad_m = grads
        grad_h, grad_memory = (grad_y, None) if ctx.output == "functional" else (None, grad_y)
        grad_memory = _with_last(grad_memory, grad_m, memory, sizes)
        x_grad = torch.empty_like(x) if ctx.needs_input_grad[3] else None
        joined_grad, xh_grad = x.new_zeros(p + f, p + last), torch.zeros_like(weights.xh)
        through_joined, bias_h_grad = x.new_zeros(p + f), x.new_zeros(f)
        deep_grads = [(torch.zeros_like(w), x.new_zeros(w.shape[0])) for w, _ in weights.deep]
        with blas_threads():
            matrix = _joined(weights, choice)
            joined = engine.linear(matrix.t(), None, batch)
            linears = [engine.linear(w.t(), None, batch) for w, _ in weights.deep]
            space = array(x.new_empty(batch, p + last))
            spaces = [array(x.new_empty(batch, w.shape[1])) for w, _ in weights.deep]
            first = x.new_zeros(0, p + f)  # the first block of the chunk after
            for chunk in reversed(list(_chunks(sizes))):
                here, n = chunk.rows, chunk.sizes[0]
                blocks = x.new_empty(n + chunk.length, p + f)
                blocks[:n, :p] = 0.0
                blocks[n:, :p] = 0.0 if grad_memory is None else grad_memory[here]
                end = blocks[blocks.shape[0] - chunk.sizes[-1] :]
                end[:, p:] = 0.0
                end[: first.shape[0]] += first
                slopes = slope(layers[0][here])
                if chunk.even:
                    blocks[: chunk.length, p:] = slopes
                else:
                    blocks[: blocks.shape[0] - chunk.sizes[-1], p:] = 0.0
                    blocks[kept_rows(chunk.sizes).to(x.device), p:] = slopes
                deltas = [slope(h[here]) for h in layers[1:]]
                deep = [
                    loops.Deep(linear, s, _pieces(array(delta), chunk.sizes))
                    for linear, s, delta in zip(linears, spaces, deltas, strict=True)
                ]
                loops.backward(
                    engine,
                    _pieces(array(blocks), (n, *chunk.sizes)),
                    chunk.sizes,
                    None if grad_h is None else _pieces(array(grad_h[here]), chunk.sizes),
                    joined,
                    space,
                    deep,
                    p,
                )
                first, dv = blocks[:n], chunk.kept(blocks)[:, p:]
                states = torch.cat([chunk.previous(m_0, memory), layers[-1][here]], 1)
                joined_grad += product(blocks[n:].t(), states)
                through_joined += blocks[n:].sum(0)
                xh_grad += product(dv.t(), x[here])
                bias_h_grad += dv.sum(0)
                if x_grad is not None:
                    x_grad[here] = product(dv, weights.xh)
                for (weight_grad, bias_grad), delta, below in zip(deep_grads, deltas, layers[:-1], strict=True):
                    weight_grad += product(delta.t(), below[here])
                    bias_grad += delta.sum(0)
            mh_grad = product(joined_grad[p:], matrix[:p].t()).addmm_(first[:, p:].t(), m_0)
            memory_weights_grad = joined_grad[:p].addmm_(weights.mh.t(), joined_grad[p:])
            through_m, through_v = through_joined.split([p, f])
            if weights.bias_m is not None:
                mh_grad.addr_(through_v, weights.bias_m)
            found: list[Tensor | None] = [
                x_grad,
                torch.addmm(first[:, :p], first[:, p:], weights.mh) if ctx.needs_input_grad[4] else None,
                xh_grad,
                mh_grad,
                memory_weights_grad[:, p:],
                memory_weights_grad[:, :p],
                None if weights.bias_h is None else bias_h_grad,
                None if weights.bias_m is None else through_m + through_v @ weights.mh,
            ]
        for (_, bias), (weight_grad, bias_grad) in zip(weights.deep, deep_grads, strict=True):
            found += [weight_grad, None if bias is None else bias_grad]
        return None, None, None, *found


def _with_last(grad: Tensor | None, last: Tensor | None, memory: Tensor, sizes: Sequence[int]) -> Tensor | None:
    """The gradient of m of all steps, with that of m_n added at the end of each sequence."""
    if last is None:
        return grad
    grad = torch.zeros_like(memory) if grad is None else grad.clone(memory_format=torch.contiguous_format)
    if sizes[-1] == sizes[0]:
        grad[grad.shape[0] - sizes[0] :] += last
    else:
        grad[last_rows(sizes).to(grad.device)] += last
    return grad


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
    activation(nonlinearity)
    sizes = tuple(batch_sizes) if batch_sizes is not None else (x.shape[1],) * x.shape[0]
    y, m_n = _Fused.apply(nonlinearity, output, sizes, x.reshape(-1, x.shape[-1]), m_0, *weights.flat())
    return Result(y.view(*x.shape[:-1], y.shape[-1]), m_n)
