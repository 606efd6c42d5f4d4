"""The recurrence with a custom backward: one matrix product per step, all other work before or after the time loop.

m_t is a linear function of h_t and m_{t-1}, and the next v_{t+1} (the value before σ) is a linear function of m_t and
x_{t+1}. So one matrix computes a step:

    [m_t; v_{t+1} - x̂_{t+1}] = A [m_{t-1}; h_t] + [b_m; W_mh b_m],   A = [W_mm, W_hm; W_mh W_mm, W_mh W_hm],

with x̂_t = W_xh x_t + b_h for all steps from one product before the loop. A step takes f² multiplications more than the
two products of the definition, but half as many calls, on larger matrices. Backward, with δm_t the gradient of m_t that
does not come through v_{t+1}, and δv_t the gradient of v_t:

    [δm_{t-1}; δh_t] += Aᵀ [δm_t; δv_{t+1}],   δv_t = δh_t σ'(v_t)

After the loop, each weight gradient is a product over all steps: with the whole gradient of m_t,
D_t = δm_t + W_mhᵀ δv_{t+1},

    ∂W_mm = Σ D_t m_{t-1}ᵀ,   ∂W_hm = Σ D_t h_tᵀ,   ∂W_mh = Σ δv_t m_{t-1}ᵀ,   ∂W_xh = Σ δv_t x_tᵀ.

Sums run in a fixed order, so the result is deterministic. A second derivative (``create_graph=True``) uses the
reference scan: correct, but slower.

The loops run on chunks of about a thousand rows, so their working set stays in the cache: only A, and h and m of all
steps, are stored for the backward pass.

Symbols: N rows of all steps, n_t of step t, B = n_0; a inputs, f (f') units of the first (last) functional layer,
p memory units.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from linmem.nn.scan import lmn_equations
from linmem.nn.scan.activations import activation
from linmem.nn.scan.autocast import without_autocast
from linmem.nn.scan.batch import Batch, Result, Weights
from linmem.nn.scan.chunks import chunks_of
from linmem.nn.scan.diagonal_passes import DiagonalBackward, DiagonalForward
from linmem.nn.scan.engine import Engine, blas_threads
from linmem.nn.scan.libraries import Libraries, choose_libraries
from linmem.nn.scan.memory import is_diagonal
from linmem.nn.scan.packing import last_rows
from linmem.nn.scan.passes import Backward, Forward


class _Settings(NamedTuple):
    """The arguments of the autograd function that are not tensors."""

    nonlinearity: str
    output: str
    sizes: tuple[int, ...]  # rows of each step
    keep_states: bool
    libraries: Libraries


class _Fused(torch.autograd.Function):
    """Rows in, rows out: x (N, a), m_0 (B, p) -> outputs (N, p) or (N, f'), m_n (B, p)."""

    @staticmethod
    def forward(ctx: Any, settings: _Settings, x: Tensor, m_0: Tensor, *flat: Tensor | None) -> tuple[Tensor, Tensor]:
        nonlinearity, output, sizes, keep_states, libraries = settings
        weights = Weights.from_flat(flat)
        chunks, rows, batch = chunks_of(sizes, libraries.loop.chunk), x.shape[0], sizes[0]
        widths = [m_0.shape[1], *weights.widths]
        returned = 0 if output == "memory" else len(widths) - 1
        space = max(chunk.length for chunk in chunks)  # rows of what is not stored
        states = [x.new_empty(rows if keep_states or i == returned else space, width) for i, width in enumerate(widths)]
        even, ends, m_n, starts = sizes[0] == sizes[-1], last_rows(sizes), torch.empty_like(m_0), []
        with blas_threads():
            run = (DiagonalForward if is_diagonal(weights.mm) else Forward)(weights, nonlinearity, libraries, batch)
            after = run.start(m_0)
            for chunk in chunks:
                if not keep_states:
                    starts.append(after[: chunk.sizes[0], : widths[0]].clone())
                memory, *layers = (s[chunk.rows] if s.shape[0] == rows else s[: chunk.length] for s in states)
                run.run(chunk, x[chunk.rows], after, memory, layers)
                if not even:
                    ending = (chunk.rows.start <= ends) & (ends < chunk.rows.stop)
                    m_n[ending.to(x.device)] = memory[(ends[ending] - chunk.rows.start).to(x.device)]
            if even:
                m_n.copy_(after[:, : widths[0]])
        ctx.settings, ctx.chunks, ctx.count = settings, chunks, 2 + len(flat)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, m_0, *flat, run.matrix, *(states if keep_states else starts))
        return states[returned], m_n

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        nonlinearity, output, sizes, keep_states, libraries = ctx.settings
        saved, chunks = ctx.saved_tensors, ctx.chunks
        arguments, matrix, states = saved[: ctx.count], saved[ctx.count], list(saved[ctx.count + 1 :])
        batched = any(g is not None and torch._C._functorch.is_legacy_batchedtensor(g) for g in grads)
        if torch.is_grad_enabled() or batched:
            return None, *_reference_gradients(ctx, arguments, grads)
        x, m_0, *flat = arguments
        weights = Weights.from_flat(flat)
        grad_h, grad_m = (grads[0], None) if output == "functional" else (None, grads[0])
        grad_m = _add_last(grad_m, grads[1], (x.shape[0], m_0.shape[1]), sizes)
        x_grad = torch.empty_like(x) if ctx.needs_input_grad[1] else None
        # inside an autocast region, a backward pass would compute products in two types
        with blas_threads(), without_autocast(x):
            forward_pass, backward_pass = (
                (DiagonalForward, DiagonalBackward) if is_diagonal(weights.mm) else (Forward, Backward)
            )
            again = forward_pass(weights, nonlinearity, libraries, sizes[0], matrix)
            back = backward_pass(weights, nonlinearity, libraries, matrix, sizes[0])
            for i, chunk in reversed(list(enumerate(chunks))):
                here, n = chunk.rows, chunk.sizes[0]
                if keep_states:
                    memory, *layers = (s[here] for s in states)
                    before = states[0][here.start - chunks[i - 1].sizes[-1] :][:n] if i else m_0
                else:
                    before = states[i]
                    memory, *layers = (x.new_empty(chunk.length, w) for w in (m_0.shape[1], *weights.widths))
                    again.run(chunk, x[here], again.start(before), memory, layers)
                output_grads = (None if g is None else _row_major(g[here]) for g in (grad_m, grad_h))
                dv = back.run(chunk, x[here], before, memory, layers, *output_grads)
                if x_grad is not None:
                    x_grad[here] = libraries.product.product(dv, weights.xh)
            m_0_grad, weight_grads = back.finish()
        return None, x_grad, m_0_grad, *weight_grads.flat()


def choose_for(batch: Batch) -> Libraries:
    """The libraries for this batch."""
    x, weights = batch.x, batch.weights
    if type(x) not in (Tensor, torch.nn.Parameter):  # fake tensors have no memory that other libraries can write to
        return Libraries(Engine(), Engine())
    f, p = weights.mh.shape
    inputs, outputs = (p, f) if is_diagonal(weights.mm) else (p + f, p + f)
    return choose_libraries(batch.rows[0], inputs, outputs, x.dtype, x.device, step_by_step=bool(weights.deep))


def _row_major(rows: Tensor) -> Tensor:
    """Rows as the loops read them: a gradient may arrive transposed, expanded, strided or with a lazy minus sign."""
    return rows.resolve_neg().contiguous()


def _add_last(grad: Tensor | None, last: Tensor | None, shape: tuple[int, int], sizes: Sequence[int]) -> Tensor | None:
    """The gradient of m of all steps, plus that of m_n at the end of each sequence."""
    if last is None:
        return grad
    grad = last.new_zeros(shape) if grad is None else grad.clone(memory_format=torch.contiguous_format)
    if sizes[-1] == sizes[0]:
        grad[grad.shape[0] - sizes[0] :] += last
    else:
        grad[last_rows(sizes).to(grad.device)] += last
    return grad


def _reference_gradients(
    ctx: Any, arguments: Sequence[Tensor | None], grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The same gradients in plain autograd: with a differentiable graph, or for a batch of output gradients."""
    x, m_0, *weights = arguments
    assert x is not None
    assert m_0 is not None
    settings, graph = ctx.settings, torch.is_grad_enabled()
    batch = Batch(x, m_0, Weights.from_flat(weights), settings.nonlinearity, settings.output, settings.sizes)
    with torch.enable_grad():
        result = lmn_equations.scan(batch)
    outputs = [(state, grad) for state, grad in zip(result, grads, strict=True) if grad is not None]
    needed = [i for i, a in enumerate(arguments) if a is not None and ctx.needs_input_grad[i + 1]]
    inputs = [a for i, a in enumerate(arguments) if i in needed and a is not None]
    found = torch.autograd.grad(
        [o for o, _ in outputs], inputs, [g for _, g in outputs], create_graph=graph, allow_unused=True
    )
    gradients: list[Tensor | None] = [None] * len(arguments)
    for i, gradient in zip(needed, found, strict=True):
        gradients[i] = gradient
    return gradients


def scan(batch: Batch, *, keep_states: bool = True, libraries: Libraries | None = None) -> Result:
    """All steps, with the fused forward and backward; see :mod:`linmem.nn.scan.batch`.

    With ``keep_states=False`` only one memory per chunk of steps is stored, and the backward pass computes the other
    states again: about a third more time, for very long sequences. `libraries` replaces the default order.
    """
    activation(batch.nonlinearity)
    if torch._C._functorch.peek_interpreter_stack() is not None:
        raise ValueError(
            "backend must be 'auto' or 'reference' inside a torch.func transform, got one with a custom backward."
        )
    x = batch.x
    settings = _Settings(batch.nonlinearity, batch.output, batch.rows, keep_states, libraries or choose_for(batch))
    apply = _Fused.apply if "torch._dynamo" not in sys.modules else _apply_outside_torch_compile()
    tensors = (x.reshape(-1, x.shape[-1]), batch.m_0, *batch.weights.flat())
    y, m_n = apply(settings, *(None if tensor is None else tensor.resolve_neg() for tensor in tensors))
    return Result(y.view(*x.shape[:-1], y.shape[-1]), m_n)


_disabled: list[Any] = []


def _apply_outside_torch_compile() -> Any:
    """``_Fused.apply`` excluded from torch.compile, which would unroll all steps, again for each length."""
    if not _disabled:
        _disabled.append(torch.compiler.disable(_Fused.apply))
    return _disabled[0]


scan._torchdynamo_disable = True  # type: ignore[attr-defined]
