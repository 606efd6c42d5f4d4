"""The recurrence with a backward of its own: whatever need not wait for the previous step leaves the time loop.

Forward: the projection of all inputs is one product before the loop; each step is one product for both uses of
m_{t-1}, ``m_{t-1} [W_mh; W_mm]ᵀ``, and one for ``W_hm h_t``. Backward, with δv the gradient before σ and δm the
gradient of m_t:

    δm_t = g_t + [δv_{t+1}, δm_{t+1}] [W_mh; W_mm]        δv_t = (δm_t W_hm + gʰ_t) σ'(v_t)

each again one product a step; the gradients of all weights are one product each after the loop, over all steps at
once: ``[∂W_mh; ∂W_mm] = [δv, δm]ᵀ m_{t-1}``. Sums run in a fixed order: the result is deterministic.

A second derivative (``create_graph=True``) goes through the reference scan, so it is right, only slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linmem.scan import reference
from linmem.scan.activations import activation
from linmem.scan.packing import step_starts
from linmem.scan.signature import States, Weights


def _previous_memory(m_0: Tensor, memory: Tensor, batch_sizes: Sequence[int]) -> Tensor:
    """m_{t-1} of every row, (N, p)."""
    batch, rows = batch_sizes[0], memory.shape[0]
    if batch_sizes[-1] == batch:
        return torch.cat([m_0, memory[: rows - batch]])
    starts = step_starts(batch_sizes)
    previous = [m_0] + [memory[s : s + n] for s, n in zip(starts[:-1], batch_sizes[1:], strict=True)]
    return torch.cat(previous)


class _Fused(torch.autograd.Function):
    """Rows in, rows out: x (N, a), m_0 (B, p) -> h (N, f), m (N, p)."""

    @staticmethod
    def forward(
        ctx: Any,
        nonlinearity: str,
        batch_sizes: tuple[int, ...],
        x: Tensor,
        m_0: Tensor,
        xh: Tensor,
        mh: Tensor,
        hm: Tensor,
        mm: Tensor,
        bias_h: Tensor | None,
        bias_m: Tensor | None,
        *deep: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        sigma_ = activation(nonlinearity).apply_
        f, p = mh.shape
        recurrent = torch.cat([mh, mm]).t()
        to_memory = hm.t()
        layers = [(w.t(), b) for w, b in zip(deep[::2], deep[1::2], strict=True) if w is not None]
        first = x @ xh.t() if bias_h is None else torch.addmm(bias_h, x, xh.t())
        rows = x.shape[0]
        hidden = [first] + [x.new_empty(rows, w.shape[1]) for w, _ in layers]
        memory = x.new_empty(rows, p)
        both = x.new_empty(batch_sizes[0], f + p)
        m = m_0
        row = 0
        for n in batch_sizes:
            now = slice(row, row + n)
            row += n
            g = torch.mm(m[:n], recurrent, out=both[:n])
            h = sigma_(hidden[0][now].add_(g[:, :f]))
            for (w, b), buffer in zip(layers, hidden[1:], strict=True):
                h = torch.mm(h, w, out=buffer[now])
                h = sigma_(h if b is None else h.add_(b))
            m = torch.addmm(g[:, f:], h, to_memory, out=memory[now])
            if bias_m is not None:
                m.add_(bias_m)
        ctx.nonlinearity, ctx.batch_sizes = nonlinearity, batch_sizes
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, m_0, xh, mh, hm, mm, bias_h, bias_m, *deep, memory, *hidden)
        ctx.deep = len(deep)
        return hidden[-1], memory

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        saved = ctx.saved_tensors
        arguments, (memory, *hidden) = saved[: 8 + ctx.deep], saved[8 + ctx.deep :]
        if torch.is_grad_enabled():
            return None, None, *_through_reference(ctx, arguments, grads)
        x, m_0, xh, mh, hm, mm, bias_h, bias_m, *deep = arguments
        grad_h, grad_m = grads
        sigma_grad_ = activation(ctx.nonlinearity).grad_
        f, p = mh.shape
        layers = deep[::2]
        recurrent = torch.cat([mh, mm])
        rows = x.shape[0]
        both = x.new_empty(rows, f + p)  # [δv, δm] of the first functional layer
        deltas = [x.new_empty(rows, w.shape[0]) for w in layers]
        sizes, starts = ctx.batch_sizes, step_starts(ctx.batch_sizes)
        after: Tensor | None = None
        for n, start in zip(reversed(sizes), reversed(starts), strict=True):
            now = slice(start, start + n)
            dm = both[now, f:]
            if grad_m is None:
                dm.zero_()
            else:
                dm.copy_(grad_m[now])
            if after is not None:
                dm[: after.shape[0]].addmm_(after, recurrent)
            d = dm @ hm
            if grad_h is not None:
                d.add_(grad_h[now])
            for i in reversed(range(len(layers))):
                deltas[i][now] = sigma_grad_(d, hidden[i + 1][now])
                d = deltas[i][now] @ layers[i]
            both[now, :f] = sigma_grad_(d, hidden[0][now])
            after = both[now]
        assert after is not None
        dv, dm = both[:, :f], both[:, f:]
        previous = _previous_memory(m_0, memory, sizes)
        recurrent_grad = both.t() @ previous
        out: list[Tensor | None] = [
            dv @ xh if ctx.needs_input_grad[2] else None,
            after @ recurrent,
            dv.t() @ x,
            recurrent_grad[:f],
            dm.t() @ hidden[-1],
            recurrent_grad[f:],
            None if bias_h is None else dv.sum(0),
            None if bias_m is None else dm.sum(0),
        ]
        for i, bias in enumerate(deep[1::2]):
            out += [deltas[i].t() @ hidden[i], None if bias is None else deltas[i].sum(0)]
        return None, None, *out


def _through_reference(
    ctx: Any, arguments: Sequence[Tensor | None], grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The same gradients as a differentiable graph."""
    x, m_0, *weights = arguments
    assert x is not None
    assert m_0 is not None
    states = reference.scan(x, m_0, Weights.from_flat(weights), ctx.nonlinearity, ctx.batch_sizes)
    outputs = [(state, grad) for state, grad in zip(states, grads, strict=True) if grad is not None]
    wanted = [i for i, a in enumerate(arguments) if a is not None and ctx.needs_input_grad[i + 2]]
    inputs = [a for i, a in enumerate(arguments) if i in wanted and a is not None]
    found = torch.autograd.grad(
        [o for o, _ in outputs], inputs, [g for _, g in outputs], create_graph=True, allow_unused=True
    )
    result: list[Tensor | None] = [None] * len(arguments)
    for i, gradient in zip(wanted, found, strict=True):
        result[i] = gradient
    return result


def scan(
    x: Tensor, m_0: Tensor, weights: Weights, nonlinearity: str, batch_sizes: Sequence[int] | None = None
) -> States:
    """All steps, with the fused forward and backward; see :mod:`linmem.scan.signature`."""
    shape = x.shape[:-1]
    sizes = tuple(batch_sizes) if batch_sizes is not None else (x.shape[1],) * x.shape[0]
    rows = x.reshape(-1, x.shape[-1])
    h, m = _Fused.apply(nonlinearity, sizes, rows, m_0, *weights.flat())
    return States(h.view(*shape, h.shape[-1]), m.view(*shape, m.shape[-1]))
