"""The recurrence with a backward of its own: one product a step, all the rest before or after the time loop.

h_t and m_{t-1} enter m_t linearly, and m_t the next v_{t+1} (the value before σ) too. So one matrix takes a step:

    [m_t; v_{t+1} - x̂_{t+1}] = A [m_{t-1}; h_t] + [b_m; W_mh b_m],   A = [W_mm, W_hm; W_mh W_mm, W_mh W_hm],

with x̂_t = W_xh x_t + b_h for all steps by one product before the loop. It takes f² multiplications a step more than
the two products of the definition, and half as many calls, on larger matrices. Backward, with δm_t the gradient of
m_t that does not come through v_{t+1}, and δv_t that of v_t:

    [δm_{t-1}; δh_t] += Aᵀ [δm_t; δv_{t+1}],   δv_t = δh_t σ'(v_t)

and all the rest is after the loop, each one product over all steps: with the whole gradient of m_t,
D_t = δm_t + W_mhᵀ δv_{t+1},

    ∂W_mm = Σ D_t m_{t-1}ᵀ,   ∂W_hm = Σ D_t h_tᵀ,   ∂W_mh = Σ δv_t m_{t-1}ᵀ,   ∂W_xh = Σ δv_t x_tᵀ.

Sums run in a fixed order, so the result is deterministic. A second derivative (``create_graph=True``) goes through the
reference scan: right, only slower.

The loops run on chunks of steps of about a thousand rows, so what they touch stays in the cache and takes no memory:
only A, and h and m of all steps, are kept for the backward pass.

Letters: N rows of all steps, n_t of step t, B = n_0; a inputs, f (f') units of the first (last) functional layer,
p memory units.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linmem.nn.scan import reference
from linmem.nn.scan.activations import activation
from linmem.nn.scan.choice import Choice, choose
from linmem.nn.scan.chunks import chunks_of
from linmem.nn.scan.engine import Engine, blas_threads
from linmem.nn.scan.packing import last_rows
from linmem.nn.scan.parameters import without_autocast
from linmem.nn.scan.passes import Backward, Forward
from linmem.nn.scan.signature import Result, Weights


class _Fused(torch.autograd.Function):
    """Rows in, rows out: x (N, a), m_0 (B, p) -> outputs (N, p) or (N, f'), m_n (B, p)."""

    @staticmethod
    def forward(
        ctx: Any,
        nonlinearity: str,
        output: str,
        sizes: tuple[int, ...],
        keep: bool,
        wished: Choice | None,
        x: Tensor,
        m_0: Tensor,
        *flat: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        weights = Weights.from_flat(flat)
        choice = wished or _choice(x, weights, sizes)
        chunks, rows, batch = chunks_of(sizes, choice.loop.chunk), x.shape[0], sizes[0]
        widths = [m_0.shape[1], *weights.widths]
        given = 0 if output == "memory" else len(widths) - 1
        space = max(chunk.length for chunk in chunks)  # of what is not kept
        states = [x.new_empty(rows if keep or i == given else space, width) for i, width in enumerate(widths)]
        even, ends, m_n, borders = sizes[0] == sizes[-1], last_rows(sizes), torch.empty_like(m_0), []
        with blas_threads():
            run = Forward(weights, nonlinearity, choice, batch)
            after = run.start(m_0)
            for chunk in chunks:
                if not keep:
                    borders.append(after[: chunk.sizes[0], : widths[0]].clone())
                memory, *layers = (s[chunk.rows] if s.shape[0] == rows else s[: chunk.length] for s in states)
                run.run(chunk, x[chunk.rows], after, memory, layers)
                if not even:
                    ending = (chunk.rows.start <= ends) & (ends < chunk.rows.stop)
                    m_n[ending.to(x.device)] = memory[(ends[ending] - chunk.rows.start).to(x.device)]
            if even:
                m_n.copy_(after[:, : widths[0]])
        ctx.nonlinearity, ctx.output, ctx.sizes, ctx.keep, ctx.choice = nonlinearity, output, sizes, keep, choice
        ctx.chunks = chunks
        ctx.count = 2 + len(flat)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, m_0, *flat, run.matrix, *(states if keep else borders))
        return states[given], m_n

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        saved, sizes = ctx.saved_tensors, ctx.sizes
        arguments, matrix, states = saved[: ctx.count], saved[ctx.count], list(saved[ctx.count + 1 :])
        batched = any(g is not None and torch._C._functorch.is_legacy_batchedtensor(g) for g in grads)
        if torch.is_grad_enabled() or batched:
            return None, None, None, None, None, *_through_reference(ctx, arguments, grads)
        x, m_0, *flat = arguments
        weights, chunks = Weights.from_flat(flat), ctx.chunks
        grad_h, grad_m = (grads[0], None) if ctx.output == "functional" else (None, grads[0])
        grad_m = _with_last(grad_m, grads[1], (x.shape[0], m_0.shape[1]), sizes)
        x_grad = torch.empty_like(x) if ctx.needs_input_grad[5] else None
        # of a backward pass inside an autocast region the products would come out in two types
        with blas_threads(), without_autocast(x):
            again = Forward(weights, ctx.nonlinearity, ctx.choice, sizes[0], matrix)
            back = Backward(weights, ctx.nonlinearity, ctx.choice, matrix, sizes[0])
            for i, chunk in reversed(list(enumerate(chunks))):
                here, n = chunk.rows, chunk.sizes[0]
                if ctx.keep:
                    memory, *layers = (s[here] for s in states)
                    before = states[0][here.start - chunks[i - 1].sizes[-1] :][:n] if i else m_0
                else:
                    before = states[i]
                    memory, *layers = (x.new_empty(chunk.length, w) for w in (m_0.shape[1], *weights.widths))
                    again.run(chunk, x[here], again.start(before), memory, layers)
                outside = (None if g is None else g[here] for g in (grad_m, grad_h))
                dv = back.run(chunk, x[here], before, memory, layers, *outside)
                if x_grad is not None:
                    x_grad[here] = ctx.choice.product.product(dv, weights.xh)
            m_0_grad, weight_grads = back.finish()
        return None, None, None, None, None, x_grad, m_0_grad, *weight_grads.flat()


def _choice(x: Tensor, weights: Weights, sizes: Sequence[int]) -> Choice:
    if type(x) is not Tensor:  # fake tensors, for one, have no memory for other libraries to write to
        return Choice(Engine(), Engine())
    return choose(sizes[0], sum(weights.mh.shape), x.shape[0], bool(weights.deep), x.dtype, x.device)


def describe(x: Tensor, weights: Weights, batch_sizes: Sequence[int] | None = None) -> str:
    """Which libraries multiply for this input, in words."""
    sizes = batch_sizes if batch_sizes is not None else (x.shape[1],) * x.shape[0]
    choice = _choice(x.reshape(-1, x.shape[-1]), weights, sizes)
    return f"the loop by {choice.loop.name}, the products outside it by {choice.product.name}"


def _with_last(grad: Tensor | None, last: Tensor | None, shape: tuple[int, int], sizes: Sequence[int]) -> Tensor | None:
    """The gradient of m of all steps, with that of m_n added at the end of each sequence."""
    if last is None:
        return grad
    grad = last.new_zeros(shape) if grad is None else grad.clone(memory_format=torch.contiguous_format)
    if sizes[-1] == sizes[0]:
        grad[grad.shape[0] - sizes[0] :] += last
    else:
        grad[last_rows(sizes).to(grad.device)] += last
    return grad


def _through_reference(
    ctx: Any, arguments: Sequence[Tensor | None], grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The same gradients in plain autograd: a differentiable graph, and open to a batch of gradients at once."""
    x, m_0, *weights = arguments
    assert x is not None
    assert m_0 is not None
    graph = torch.is_grad_enabled()
    with torch.enable_grad():
        result = reference.scan(x, m_0, Weights.from_flat(weights), ctx.nonlinearity, ctx.output, ctx.sizes)
    outputs = [(state, grad) for state, grad in zip(result, grads, strict=True) if grad is not None]
    wanted = [i for i, a in enumerate(arguments) if a is not None and ctx.needs_input_grad[i + 5]]
    inputs = [a for i, a in enumerate(arguments) if i in wanted and a is not None]
    found = torch.autograd.grad(
        [o for o, _ in outputs], inputs, [g for _, g in outputs], create_graph=graph, allow_unused=True
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
    """All steps, with the fused forward and backward; see :mod:`linmem.nn.scan.signature`."""
    return _scan(x, m_0, weights, nonlinearity, output, batch_sizes, keep=True)


def scan_recomputing(
    x: Tensor,
    m_0: Tensor,
    weights: Weights,
    nonlinearity: str = "tanh",
    output: str = "memory",
    batch_sizes: Sequence[int] | None = None,
) -> Result:
    """The same, keeping only one memory for each chunk of steps: a third more time, for very long sequences."""
    return _scan(x, m_0, weights, nonlinearity, output, batch_sizes, keep=False)


def scan_by(
    choice: Choice,
    x: Tensor,
    m_0: Tensor,
    weights: Weights,
    nonlinearity: str = "tanh",
    output: str = "memory",
    batch_sizes: Sequence[int] | None = None,
) -> Result:
    """The same by engines that the caller has chosen."""
    return _scan(x, m_0, weights, nonlinearity, output, batch_sizes, keep=True, choice=choice)


def _scan(
    x: Tensor,
    m_0: Tensor,
    weights: Weights,
    nonlinearity: str,
    output: str,
    batch_sizes: Sequence[int] | None,
    keep: bool,
    choice: Choice | None = None,
) -> Result:
    activation(nonlinearity)
    if torch._C._functorch.peek_interpreter_stack() is not None:
        raise ValueError(
            "backends with a backward of their own do not go through torch.func transforms: use 'auto' or 'reference'"
        )
    sizes = tuple(batch_sizes) if batch_sizes is not None else (x.shape[1],) * x.shape[0]
    apply = _Fused.apply if "torch._dynamo" not in sys.modules else _outside_torch_compile()
    y, m_n = apply(nonlinearity, output, sizes, keep, choice, x.reshape(-1, x.shape[-1]), m_0, *weights.flat())
    return Result(y.view(*x.shape[:-1], y.shape[-1]), m_n)


_hidden: list[Any] = []


def _outside_torch_compile() -> Any:
    """``_Fused.apply`` hidden from torch.compile, which would unroll all steps, anew for each length."""
    if not _hidden:
        _hidden.append(torch.compiler.disable(_Fused.apply))
    return _hidden[0]


_scan._torchdynamo_disable = True  # type: ignore[attr-defined]
