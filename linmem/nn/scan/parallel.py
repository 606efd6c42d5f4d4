"""The recurrence where W_mh = 0: the memory is then linear in the input, and its steps need not wait for each other.

    h_t = σ(W_xh x_t + b_h)   for all steps at once,      m_t = W_mm m_{t-1} + u_t,   u_t = W_hm h_t + b_m

The second is an associative scan. Two steps make one, ``m_{2k+1} = W_mm² m_{2k-1} + (W_mm u_{2k} + u_{2k+1})``, so the
odd steps are the same problem at half the length with W_mm², and the even ones follow from them by one product: twice
the multiplications of the loop, in 2 log₂ T large products instead of T small ones (Brent & Kung 1982). That should pay
where a single step cannot fill the machine, on a GPU (not timed yet). On one core it does not: for one sequence of
500 steps the compiled loop took 2.6 ms and this form 5.8 (f = 100, p = 250); only against the loops without a compiler
does it win, 2.6 against 0.9 ms at (50, 100), for a few sequences of small states.

W_mm is raised up to the power T: where its spectral radius is above 1, so that a loop would grow without bound, this
form overflows earlier. Plain autograd: second derivatives and ``torch.func`` work, but for ``vmap`` over W_mh, whose
entries are looked at. Third derivatives with respect to W_mh are not right.

Letters: T steps, B sequences, f functional units, p memory units.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from linmem.nn.scan.activations import activation
from linmem.nn.scan.packing import steps_and_sequences
from linmem.nn.scan.signature import Result, Weights


def linear_recurrence(u: Tensor, weight: Tensor) -> Tensor:
    """``m_t = W m_{t-1} + u_t`` from m_{-1} = 0: u (T, B, p), W (p, p) to m (T, B, p)."""
    steps = u.shape[0]
    if steps == 1:
        return u
    even, odd = u[0::2], u[1::2]
    at_odd = linear_recurrence(odd + F.linear(even[: len(odd)], weight), weight @ weight)
    at_even = torch.cat([even[:1], even[1:] + F.linear(at_odd[: len(even) - 1], weight)])
    pairs = torch.stack([at_even[: len(odd)], at_odd], 1).flatten(0, 1)
    return pairs if steps % 2 == 0 else torch.cat([pairs, at_even[-1:]])


def pays(x: Tensor, weights: Weights) -> bool:
    """Whether W_mh is zero and gets no gradient, and the input is on a GPU, where a loop waits for every launch."""
    if not x.is_cuda or (weights.mh.requires_grad and torch.is_grad_enabled()):
        return False
    return not bool(weights.mh.any())


def scan(
    x: Tensor,
    m_0: Tensor,
    weights: Weights,
    nonlinearity: str = "tanh",
    output: str = "memory",
    batch_sizes: Sequence[int] | None = None,
) -> Result:
    """All steps; W_mh must be zero. See :mod:`linmem.nn.scan.signature`."""
    if bool(weights.mh.any()):
        raise ValueError(
            "backend is 'parallel', which needs W_mh = 0, but W_mh has other entries: use 'auto' or 'fused'"
        )
    if batch_sizes is not None:
        padded, lengths = pad_packed_sequence(PackedSequence(x, torch.as_tensor(batch_sizes)))
        y, memory = _states(padded, m_0, weights, nonlinearity, output)
        step, sequence = steps_and_sequences(batch_sizes)
        last = lengths.to(x.device) - 1
        return Result(
            y[step.to(x.device), sequence.to(x.device)], memory[last, torch.arange(len(last), device=x.device)]
        )
    y, memory = _states(x, m_0, weights, nonlinearity, output)
    return Result(y, memory[-1])


def _states(x: Tensor, m_0: Tensor, weights: Weights, nonlinearity: str, output: str) -> tuple[Tensor, Tensor]:
    sigma = activation(nonlinearity).apply
    v = F.linear(x, weights.xh, weights.bias_h)
    if weights.mh.requires_grad and torch.is_grad_enabled():
        # m does not move v, but W_mh wants its gradient, δv_t m_{t-1}ᵀ, and for a second one that of m_{t-1}: put in
        # twice, v is right to second order in W_mh
        without = v
        for _ in range(2):
            before = torch.cat([m_0[None], _memory(sigma(v), m_0, weights, sigma)[1][:-1]])
            v = without + F.linear(before, weights.mh)
    h, memory = _memory(sigma(v), m_0, weights, sigma)
    return (h if output == "functional" else memory), memory


def _memory(h: Tensor, m_0: Tensor, weights: Weights, sigma) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
    for weight, bias in weights.deep:
        h = sigma(F.linear(h, weight, bias))
    u = F.linear(h, weights.hm, weights.bias_m)
    u = torch.cat([u[:1] + F.linear(m_0, weights.mm), u[1:]])
    return h, linear_recurrence(u, weights.mm)
