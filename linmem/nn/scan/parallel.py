"""The recurrence with W_mh = 0: the memory is then a linear function of the input, and all steps can run at once.

    h_t = σ(W_xh x_t + b_h)   for all steps at once,      m_t = W_mm m_{t-1} + u_t,   u_t = W_hm h_t + b_m

The second equation is an associative scan. Two steps are one step, ``m_{2k+1} = W_mm² m_{2k-1} + (W_mm u_{2k} +
u_{2k+1})``, so the odd steps are the same problem at half the length with W_mm², and the even steps follow from them by
one product: twice the multiplications of the loop, in 2 log₂ T large products instead of T small ones (Brent & Kung
1982). This suits a GPU, where a small step cannot use the whole device (not timed yet). On one CPU core the compiled
loop is faster: 2.6 ms against 5.8 ms for one sequence of 500 steps (f = 100, p = 250). One long sequence without
gradients is encoded on the CPU in chunks of steps (:mod:`linmem.autoencoder.linear_recurrence`).

W_mm is raised to the power T. Where its spectral radius is above 1, so that the loop would grow without bound, this
form overflows earlier. The scan uses plain autograd: second derivatives and ``torch.func`` work, except ``vmap`` over
W_mh, because the scan tests its entries. Third derivatives with respect to W_mh are not correct.

Symbols: T steps, B sequences, f functional units, p memory units.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from linmem.autoencoder import linear_recurrence as linear_recurrence_in_chunks
from linmem.nn.scan.activations import activation
from linmem.nn.scan.batch import Batch, Result, Weights
from linmem.nn.scan.memory import is_diagonal, multiply, square
from linmem.nn.scan.packing import steps_and_sequences


def linear_recurrence(u: Tensor, matrix: Tensor) -> Tensor:
    """``m_t = W m_{t-1} + u_t`` from m_{-1} = 0: u (T, B, p), W dense or diagonal, to m (T, B, p)."""
    steps = u.shape[0]
    if steps == 1:
        return u
    even, odd = u[0::2], u[1::2]
    at_odd = linear_recurrence(odd + multiply(even[: len(odd)], matrix), square(matrix))
    at_even = torch.cat([even[:1], even[1:] + multiply(at_odd[: len(even) - 1], matrix)])
    pairs = torch.stack([at_even[: len(odd)], at_odd], 1).flatten(0, 1)
    return pairs if steps % 2 == 0 else torch.cat([pairs, at_even[-1:]])


def is_preferred(batch: Batch) -> bool:
    """Whether W_mh is zero and gets no gradient, and the loop is slower: on a GPU, or for one long sequence."""
    W_mh = batch.weights.mh
    if W_mh.requires_grad and torch.is_grad_enabled():
        return False
    return (batch.x.is_cuda or _is_long(batch)) and not bool(W_mh.any())


def _is_long(batch: Batch) -> bool:
    """Whether the batch is one long sequence on the CPU, without gradients, whose memory reads few features."""
    weights, x = batch.weights, batch.x
    if torch.is_grad_enabled() or batch.batch_sizes is not None or is_diagonal(weights.mm):
        return False
    read = x if _is_linear(batch) else weights.hm
    steps, sequences, features = x.shape[0], x.shape[1], read.shape[-1] + 2
    return linear_recurrence_in_chunks.is_preferred(steps, sequences, weights.mm[:, :features], weights.mm)


def _is_linear(batch: Batch) -> bool:
    return batch.nonlinearity == "identity" and not batch.weights.deep


def scan(batch: Batch) -> Result:
    """All steps; W_mh must be zero. See :mod:`linmem.nn.scan.batch`."""
    if bool(batch.weights.mh.any()):
        raise ValueError("W_mh must be zero with backend='parallel', got nonzero entries. Use backend='auto'.")
    if batch.batch_sizes is not None:
        padded, lengths = pad_packed_sequence(PackedSequence(batch.x, torch.as_tensor(batch.batch_sizes)))
        y, memory = _states(batch._replace(x=padded))
        step, sequence = steps_and_sequences(batch.batch_sizes)
        device = padded.device
        last = lengths.to(device) - 1
        return Result(y[step.to(device), sequence.to(device)], memory[last, torch.arange(len(last), device=device)])
    y, memory = _states(batch)
    return Result(y, memory[-1])


def _states(batch: Batch) -> tuple[Tensor, Tensor]:
    """Outputs and memories of all steps of a regular batch."""
    weights, m_0, sigma = batch.weights, batch.m_0, activation(batch.nonlinearity).apply
    if _is_long(batch):
        return _long_states(batch)
    v = F.linear(batch.x, weights.xh, weights.bias_h)
    if weights.mh.requires_grad and torch.is_grad_enabled():
        # m does not change v, but W_mh needs its gradient, δv_t m_{t-1}ᵀ, and a second derivative needs that of
        # m_{t-1}: inserted twice, v is exact to second order in W_mh
        without = v
        for _ in range(2):
            before = torch.cat([m_0[None], _memory(sigma(v), m_0, weights, sigma)[1][:-1]])
            v = without + F.linear(before, weights.mh)
    h, memory = _memory(sigma(v), m_0, weights, sigma)
    return (h if batch.output == "functional" else memory), memory


def _long_states(batch: Batch) -> tuple[Tensor, Tensor]:
    """Outputs and memories of one long sequence: linear functional units are one product with W_hm."""
    weights, x, sigma = batch.weights, batch.x[:, 0], activation(batch.nonlinearity).apply
    A, bias, h = weights.hm, weights.bias_m, x
    if _is_linear(batch):
        A = weights.hm @ weights.xh
        if weights.bias_h is not None:
            bias = weights.hm @ weights.bias_h + (0 if bias is None else bias)
    if not _is_linear(batch) or batch.output == "functional":
        h = sigma(F.linear(x, weights.xh, weights.bias_h))
        for weight, bias_i in weights.deep:
            h = sigma(F.linear(h, weight, bias_i))
    read = x if _is_linear(batch) else h
    memory = linear_recurrence_in_chunks.encode_from(read, A, weights.mm, bias, batch.m_0[0])[:, None]
    return (h[:, None] if batch.output == "functional" else memory), memory


def _memory(h: Tensor, m_0: Tensor, weights: Weights, sigma: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Returns h of the last functional layer and m of all steps, from h of the first functional layer."""
    for weight, bias in weights.deep:
        h = sigma(F.linear(h, weight, bias))
    u = F.linear(h, weights.hm, weights.bias_m)
    u = torch.cat([u[:1] + multiply(m_0, weights.mm), u[1:]])
    return h, linear_recurrence(u, weights.mm)
