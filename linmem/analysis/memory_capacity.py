"""Memory capacity: how well the past inputs can be recovered linearly from a state, lag by lag.

    MC = Σ_k ρ²(u_{t−k}, ŷ_k(t)),   ŷ_k(t) = w_kᵀ m_t + c_k by least squares                            [Jaeger 2001]

With u independent and identically distributed MC ≤ p, and a delay line attains p. On structured input MC may exceed p:
predictable inputs need no storage.

Symbols: T steps, p memory units, K lags, u a single input.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from linmem.validation import check_tensor


class Capacity(NamedTuple):
    """Memory capacity of a state."""

    curve: Tensor  # (K,) ρ² at lag 0 … K−1, float64
    total: float  # their sum, MC up to lag K−1


def memory_capacity(states: Tensor, inputs: Tensor, lags: int, *, ridge: float = 0.0) -> Capacity:
    """Compute the memory capacity of a state for the inputs that drove it.

    The readouts of all lags are fitted on the first half of the steps and correlated with the inputs on the second: on
    the steps of the fit, p units would seem to recall p/T of any lag.

    Parameters
    ----------
    states : Tensor
        (T, p), the state after each step, of any real dtype.
    inputs : Tensor
        (T,) or (T, 1).
    lags : int
        K; at least p lags are needed to find the whole capacity.
    ridge : float
        Penalty relative to the mean squared state.

    Returns
    -------
    Capacity
        ρ² by lag, and the sum.

    Raises
    ------
    ValueError
        The shapes do not fit, a number is not finite, or there are fewer than 4 (p + K) steps.

    Notes
    -----
    Time O(T p² + T p K), memory O(T (p + K)), in float64 [Jaeger 2001].

    Examples
    --------
    A delay line of two units recalls two inputs exactly:

    >>> u = torch.randn(400, generator=torch.Generator().manual_seed(0))
    >>> states = torch.stack([u, u.roll(1)], 1)
    >>> [round(rho, 1) for rho in memory_capacity(states, u, lags=3).curve.tolist()]
    [1.0, 1.0, 0.0]
    """
    u = inputs.flatten().double()
    if states.dim() != 2 or inputs.numel() != len(inputs) or len(u) != len(states):
        raise ValueError(
            f"states and inputs must have shapes (T, p) and (T,), got {tuple(states.shape)} and {tuple(inputs.shape)}. "
            "Reshape them."
        )
    if lags < 1 or len(u) < 4 * (states.shape[1] + lags):
        raise ValueError(
            f"lags must be at least 1 and states hold at least {4 * (states.shape[1] + lags)} steps for "
            f"{states.shape[1]} units and {lags} lags, got {len(u)} steps. Use more steps or fewer lags."
        )
    check_tensor("states", states, 2)
    check_tensor("inputs", u, 1)
    past = torch.stack([u[lags - k : len(u) - k] for k in range(lags)], 1)  # row t: u_t, u_{t−1}, …
    m = states.detach().double()[lags:]
    half = len(m) // 2
    m, past = m - m[:half].mean(0), past - past[:half].mean(0)
    left, values, right = torch.linalg.svd(m[:half], full_matrices=False)
    precision = torch.finfo(states.dtype if states.is_floating_point() else m.dtype).eps
    kept = values > values[0] * max(half, m.shape[1]) * precision
    gain = torch.where(kept, values / (values**2 + ridge * (values**2).mean()), 0.0)
    predicted = m[half:] @ (right.T @ (gain[:, None] * (left.T @ past[:half])))
    truth = past[half:] - past[half:].mean(0)
    predicted = predicted - predicted.mean(0)
    norms = predicted.square().sum(0) * truth.square().sum(0)
    curve = (predicted * truth).sum(0).square() / norms.clamp_min(torch.finfo(torch.float64).tiny)
    return Capacity(curve, float(curve.sum()))
