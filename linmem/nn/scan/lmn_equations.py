"""The recurrence as its equations state it, in plain autograd: the specification of all other scans.

Slow (about ten kernel launches per step), but it supports everything that autograd supports: double backward,
forward mode, ``torch.func.vmap`` and ``torch.func.grad``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from linmem.nn.scan.activations import activation
from linmem.nn.scan.batch import Batch, Result, Weights
from linmem.nn.scan.memory import is_diagonal, multiply
from linmem.nn.scan.packing import last_rows


class States(NamedTuple):
    """The two states after a step."""

    hidden: Tensor  # h_t (B, f), of the last functional layer
    memory: Tensor  # m_t (B, p)


def step(x: Tensor, m: Tensor, weights: Weights, nonlinearity: str) -> States:
    """One step: x_t (B, a) and m_{t-1} (B, p) to h_t (B, f) and m_t (B, p). [L18], eqs. 11-12.

    h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h)
    m_t = W_hm h_t + W_mm m_{t-1} + b_m
    """
    sigma = activation(nonlinearity).apply
    h = sigma(torch.addmm(F.linear(x, weights.xh, weights.bias_h), m, weights.mh.t()))
    for weight, bias in weights.deep:  # further functional layers
        h = sigma(F.linear(h, weight, bias))
    read = F.linear(h, weights.hm, weights.bias_m)  # W_hm h_t + b_m
    if is_diagonal(weights.mm):
        return States(h, read + multiply(m, weights.mm))
    return States(h, torch.addmm(read, m, weights.mm.t()))


def scan(batch: Batch) -> Result:
    """All steps by a loop over `step`; see :mod:`linmem.nn.scan.batch`."""
    x, weights = batch.x, batch.weights
    states = States(batch.m_0, batch.m_0)
    hidden, memory = [], []
    for x_t in x.unbind(0) if batch.batch_sizes is None else x.split(list(batch.batch_sizes)):
        states = step(x_t, states.memory[: x_t.shape[0]], weights, batch.nonlinearity)
        hidden.append(states.hidden)
        memory.append(states.memory)
    y = hidden if batch.output == "functional" else memory
    if batch.batch_sizes is None:
        return Result(torch.stack(y), states.memory)
    return Result(torch.cat(y), torch.cat(memory)[last_rows(batch.batch_sizes).to(x.device)])
