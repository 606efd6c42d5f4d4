"""How far gradients reach: the size of ∂L/∂m_t and ∂L/∂h_t at every step, and the spectrum that decides it.

    ∂L/∂m_t = W_mmᵀ ∂L/∂m_{t+1} + W_mhᵀ diag(σ′) ∂L/∂h_{t+1} + …,     ∂L/∂h_t = W_hmᵀ ∂L/∂m_t + …

The first path is linear: with W_mm orthogonal it neither fades nor grows, whatever the inputs [S20].

Letters: T steps, B sequences, a inputs, f functional units, p memory units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linmem.nn.lmn import LMN
from linmem.nn.scan.activations import activation


class GradientNorms(NamedTuple):
    """Sizes of the gradient at every step, the root of the sum of squares over the batch."""

    hidden: Tensor  # (T,) ‖∂L/∂h_t‖
    memory: Tensor  # (T,) ‖∂L/∂m_t‖


def gradient_norms(
    layer: LMN, x: Tensor, loss: Callable[[Tensor], Tensor], detach: float = 0.0, seed: int = 0
) -> GradientNorms:
    """Total derivatives of a loss with respect to all states of an LMN of one layer and direction.

    Parameters
    ----------
    layer : its weights are read, its own gradients left alone.
    x : (T, B, a).
    loss : of the outputs (T, B, ·), the memory or the functional states as `layer.output` says, to a number.
    detach : probability of cutting the gradient from function to memory at a step of a sequence, as in training [S20].
    seed : of the cuts.
    """
    if layer.num_layers != 1 or layer.bidirectional or len(layer.hidden_sizes) != 1:
        raise ValueError(f"{layer!r} has several recurrences or functional layers: a single one was wanted")
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
    found = _norms(value, [*hidden, *memory])
    return GradientNorms(found[: len(x)], found[len(x) :])


def state_gradient_norms(layer: nn.Module, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """(T − 1,) sizes of the gradient that reaches step t from later steps through the carried state, for any layer.

    Of an LSTM that is the gradient of (h, c) together. For a loss of the last output alone and LMN-B it is ∂L/∂m_t.

    Parameters
    ----------
    layer : called `y, state = layer(x, state)`, time first: the layers of torch and of linmem alike.
    x : (T, B, a).
    loss : of the outputs (T, B, ·) to a number.
    """
    outputs: list[Tensor] = []
    states: list[list[Tensor]] = []
    state: Any = None
    for x_t in x.detach().requires_grad_().split(1):  # so that states have gradients even if no weight is trained
        y, state = layer(x_t, state)
        outputs.append(y)
        states.append([part for part in (state if isinstance(state, tuple) else (state,)) if part.requires_grad])
    parts = len(states[0])
    norms = _norms(loss(torch.cat(outputs)), [part for step in states[:-1] for part in step])
    return torch.stack([_norm(step) for step in norms.view(-1, parts)])


def spectrum(weight: Tensor) -> Tensor:
    """(p,) moduli of the eigenvalues of a square matrix, the largest first: the spectral radius, then the rest."""
    return torch.linalg.eigvals(weight.detach()).abs().sort(descending=True).values


def _norms(value: Tensor, states: list[Tensor]) -> Tensor:
    gradients = torch.autograd.grad(value, states, allow_unused=True, materialize_grads=True)
    return torch.stack([_norm(gradient) for gradient in gradients])


def _norm(gradient: Tensor) -> Tensor:
    """√Σ|g|², scaled so that the squares of what is left after hundreds of steps (1e-156) do not vanish."""
    size = gradient.abs()
    largest = size.max().clamp(min=torch.finfo(size.dtype).tiny)
    return (size / largest).square().sum().sqrt() * largest
