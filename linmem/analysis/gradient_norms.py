"""Norms of the gradients ∂L/∂m_t and ∂L/∂h_t at every step, and the spectrum that determines their decay.

    ∂L/∂m_t = W_mmᵀ ∂L/∂m_{t+1} + W_mhᵀ diag(σ′) ∂L/∂h_{t+1} + …,     ∂L/∂h_t = W_hmᵀ ∂L/∂m_t + …

The first path is linear: with W_mm orthogonal it neither decays nor grows, for any input [S20].

Symbols: T steps, B sequences, a inputs, f functional units, p memory units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linmem.nn.lmn import LMN
from linmem.nn.scan.activations import activation
from linmem.nn.scan.checks import check_single_layer
from linmem.validation import shown


class GradientNorms(NamedTuple):
    """Gradient norms at every step, over all units and the batch."""

    hidden: Tensor  # (T,) ‖∂L/∂h_t‖
    memory: Tensor  # (T,) ‖∂L/∂m_t‖


def gradient_norms(
    layer: LMN, x: Tensor, loss: Callable[[Tensor], Tensor], detach: float = 0.0, seed: int = 0
) -> GradientNorms:
    """Compute the norms of the total derivatives of a loss by all states of an LMN of one layer and direction.

    Parameters
    ----------
    layer : LMN
        Its weights are read; its `grad` attributes stay unchanged.
    x : Tensor
        (T, B, a).
    loss : callable
        Maps the outputs (T, B, ·), memory or functional states according to `layer.output`, to a scalar.
    detach : float
        Probability of detaching the gradient from functional to memory state at a step of a sequence [S20].
    seed : int
        Selects the detached steps.

    Returns
    -------
    GradientNorms
        Norms (T,) by the functional and by the memory states.

    Raises
    ------
    ValueError
        The layer has several layers, directions or functional layers, or is no LMN with a dense memory.

    Notes
    -----
    Time and memory O(T) of the layer's step: the recurrence is unrolled in Python.

    Examples
    --------
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch...>
    >>> norms = gradient_norms(LMN(2, 3, 4), torch.randn(5, 1, 2), lambda y: y[-1].sum())
    >>> norms.memory.shape, bool(norms.memory[-1] == 2)  # ∂L/∂m_T is one for each of four units
    (torch.Size([5]), True)
    """
    check_single_layer(layer)
    if not hasattr(layer, "weight_mm_l0"):
        raise ValueError(
            f"layer must be an LMN with memory='dense', got {shown(layer)}. Measure others with state_gradient_norms."
        )
    sigma = activation(layer.nonlinearity).apply
    W_xh, W_mh, W_hm, W_mm = (getattr(layer, f"weight_{name}_l0") for name in ("xh", "mh", "hm", "mm"))
    b_h, b_m = (getattr(layer, f"bias_{name}_l0") for name in "hm")
    m, hidden, memory = x.new_zeros(x.shape[1], layer.memory_size, requires_grad=True), [], []
    cut = torch.rand(*x.shape[:2], 1, generator=torch.Generator().manual_seed(seed)).to(x.device) < detach
    for x_t, cut_t in zip(x.unbind(0), cut.unbind(0), strict=True):
        h = sigma(F.linear(x_t, W_xh, b_h) + F.linear(torch.where(cut_t, m.detach(), m), W_mh))
        m = F.linear(h, W_hm, b_m) + F.linear(m, W_mm)
        hidden.append(h)
        memory.append(m)
    value = loss(torch.stack(memory if layer.output == "memory" else hidden))
    norms = _norms(value, [*hidden, *memory])
    return GradientNorms(norms[: len(x)], norms[len(x) :])


def state_gradient_norms(layer: nn.Module, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Compute the norm of the gradient that reaches each step from later ones through the state of any layer.

    Parameters
    ----------
    layer : nn.Module
        Called as `y, state = layer(x, state)`, time first, such as the recurrent layers of torch and linmem.
    x : Tensor
        (T, B, a), at least two steps.
    loss : callable
        Maps the outputs (T, B, ·) to a scalar.

    Returns
    -------
    Tensor
        (T − 1,). For an LSTM the gradient is that of (h, c) together. For LMN-B and a loss of the last output it is
        ∂L/∂m_t.

    Raises
    ------
    ValueError
        There are fewer than two steps.

    Examples
    --------
    >>> state_gradient_norms(nn.LSTM(2, 3), torch.randn(5, 1, 2), lambda y: y[-1].sum()).shape
    torch.Size([4])
    """
    if len(x) < 2:
        raise ValueError(
            f"x must have at least 2 steps, got {len(x)}: no later step passes a gradient on. Use more steps."
        )
    outputs: list[Tensor] = []
    states: list[list[Tensor]] = []
    state: Any = None
    for x_t in x.detach().requires_grad_().split(1):  # so that states require gradients even if no weight does
        y, state = layer(x_t, state)
        outputs.append(y)
        states.append([part for part in (state if isinstance(state, tuple) else (state,)) if part.requires_grad])
    parts = len(states[0])
    norms = _norms(loss(torch.cat(outputs)), [part for step in states[:-1] for part in step])
    return torch.stack([_norm(step) for step in norms.view(-1, parts)])


def spectrum(weight: Tensor) -> Tensor:
    """Return (p,) the moduli of the eigenvalues of a square matrix, largest (the spectral radius) first.

    Examples
    --------
    >>> spectrum(torch.diag(torch.tensor([0.5, -0.9])))
    tensor([0.9000, 0.5000])
    """
    return torch.linalg.eigvals(weight.detach()).abs().sort(descending=True).values


def _norms(value: Tensor, states: list[Tensor]) -> Tensor:
    gradients = torch.autograd.grad(value, states, allow_unused=True, materialize_grads=True)
    return torch.stack([_norm(gradient) for gradient in gradients])


def _norm(gradient: Tensor) -> Tensor:
    """√Σ|g|², scaled so that the squares of gradients after hundreds of steps (1e-156) do not underflow."""
    size = gradient.abs()
    largest = size.max().clamp(min=torch.finfo(size.dtype).tiny)
    return (size / largest).square().sum().sqrt() * largest
