"""Memory capacity: how much of its past input a state still tells, lag by lag.

    MC = Σ_k ρ²(u_{t−k}, ŷ_k(t)),   ŷ_k(t) = w_kᵀ m_t + c_k by least squares                            [Jaeger 2001]

With u independent and identically distributed MC ≤ p, and a delay line attains p. On structured input it may be more:
what can be told from the rest need not be stored.

Letters: T steps, p memory units, K lags, u a single input.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Capacity(NamedTuple):
    """Memory capacity of a state."""

    curve: Tensor  # (K,) ρ² at lag 0 … K−1, float64
    total: float  # their sum, MC up to lag K−1


def memory_capacity(states: Tensor, inputs: Tensor, lags: int, *, ridge: float = 0.0) -> Capacity:
    """Memory capacity of states (T, p) for the inputs (T,) or (T, 1) that drove them.

    The readouts of all lags are fitted on the first half of the steps, and correlated with the truth on the second:
    on the steps they were fitted to, p units would seem to recall p/T of any lag.

    Parameters
    ----------
    states : (T, p), the state after each step.
    inputs : (T,) or (T, 1).
    lags : K; at least p of them are needed to see all of the capacity.
    ridge : penalty relative to the mean squared state.

    Raises
    ------
    ValueError
        The shapes do not fit, or fewer than 4 (p + K) steps came.
    """
    u = inputs.flatten().double()
    if states.dim() != 2 or inputs.numel() != len(inputs) or len(u) != len(states):
        raise ValueError(
            f"states have shape {tuple(states.shape)} and inputs {tuple(inputs.shape)}: wanted (T, p) and (T,)"
        )
    if lags < 1 or len(u) < 4 * (states.shape[1] + lags):
        raise ValueError(
            f"{len(u)} steps are too few for {states.shape[1]} units and {lags} lags: at least"
            f" {4 * (states.shape[1] + lags)} and one lag were wanted"
        )
    past = torch.stack([u[lags - k : len(u) - k] for k in range(lags)], 1)  # row t: u_t, u_{t−1}, …
    m = states.detach().double()[lags:]
    half = len(m) // 2
    m, past = m - m[:half].mean(0), past - past[:half].mean(0)
    left, values, right = torch.linalg.svd(m[:half], full_matrices=False)
    kept = values > values[0] * max(half, m.shape[1]) * torch.finfo(states.dtype).eps
    gain = torch.where(kept, values / (values**2 + ridge * (values**2).mean()), 0.0)
    answers = m[half:] @ (right.T @ (gain[:, None] * (left.T @ past[:half])))
    truth = past[half:] - past[half:].mean(0)
    answers = answers - answers.mean(0)
    norms = answers.square().sum(0) * truth.square().sum(0)
    curve = (answers * truth).sum(0).square() / norms.clamp_min(torch.finfo(torch.float64).tiny)
    return Capacity(curve, float(curve.sum()))
