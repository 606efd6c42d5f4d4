"""The recurrence y_t = A x_t + B y_{t-1} of one long sequence, with products over many steps at once.

The steps are cut into n chunks of c steps. The state after eight steps, from a zero state before them, is one product
with [B^7 A, …, B A, A]; two of these states give that after 16 steps, two of those the state after c = 32; n small
products with B^c then give the true state after each chunk; and from these, c steps computed for all chunks at once
give all other states. That is about T p (2a + 1.1 p) multiplications in a few large products, instead of T p (a + p) in
T products of a single row, which only read B from the cache.

Powers of B must not grow far: the closed form's B = γ Uᵀ R U has ‖B‖₂ ≤ γ ≤ 1. `refine="joint"` gives no such bound.

`benchmarks/long_sequence.py` compares it with the loop (T = 10,000, p = 250, a = 1, 8, 88); its figures stand in
docs/guide/choosing_a_memory.md. More sequences at once fill the products of the loop, which is then faster.

Symbols: T steps, a features, p memory units, n chunks of c steps.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

CHUNK = 32  # c
SHORT = 8  # steps of the first product; c / SHORT is a power of two
LEAST_STEPS = 4000  # below, the powers of B cost more than they save


def is_preferred(steps: int, sequences: int, A: Tensor, B: Tensor) -> bool:
    """Whether `encode_long` is faster than a loop over steps: one long sequence of few features, on the CPU."""
    p, a = A.shape
    in_numpy = B.device.type == "cpu" and B.dtype in (torch.float32, torch.float64)
    return sequences == 1 and steps >= LEAST_STEPS and 2 * a <= p and in_numpy


def encode_from(x: Tensor, A: Tensor, B: Tensor, bias: Tensor | None, y_0: Tensor) -> Tensor:
    """(T, p) states of y_t = A x_t + b + B y_{t-1} from y_0 (p,), for one sequence x (T, a), as in `encode_long`."""
    if bias is not None:
        x, A = torch.cat([x, torch.ones_like(x[:, :1])], 1), torch.cat([A, bias[:, None]], 1)
    return encode_long(x, A, B, y_0)


def encode_long(x: Tensor, A: Tensor, B: Tensor, y_0: Tensor | None = None) -> Tensor:
    """(T, p) states after every step of one sequence x (T, a), from y_0 (p,) or 0; equal to a loop up to rounding.

    The products are NumPy's, which are about twice as fast as torch's on AMD processors.
    """
    inputs, encoder, matrix = (tensor.detach().numpy() for tensor in (x, A, B))
    (steps, features), p, c = inputs.shape, len(matrix), CHUNK
    count = steps // c
    states, transition = inputs @ encoder.T, np.ascontiguousarray(matrix.T)
    last, power = _last_state(encoder, matrix, SHORT)
    before = np.zeros((count + 1, p), states.dtype)  # the state before each chunk, and after the last
    if y_0 is not None:
        before[0] = y_0.detach().numpy()
    ends = inputs[: count * c].reshape(-1, SHORT * features) @ last.T  # after each short chunk, from 0
    while len(ends) > count:
        ends, power = ends[0::2] @ power.T + ends[1::2], power @ power
    before[1:] = ends
    for chunk in range(count):
        before[chunk + 1] += power @ before[chunk]
    chunks, previous, product = states[: count * c].reshape(count, c, p), before[:-1], np.empty_like(before[:-1])
    for i in range(c):
        np.add(chunks[:, i], np.matmul(previous, transition, out=product), out=chunks[:, i])
        previous = chunks[:, i]
    state = before[-1]
    for step in range(count * c, steps):
        states[step] += matrix @ state
        state = states[step]
    return torch.from_numpy(states)


def _last_state(A: np.ndarray, B: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """[B^{s-1} A, …, B A, A] (p, s a) for s steps, a power of two, from twice as many blocks each time, and B^s."""
    blocks, power = A, B
    while blocks.shape[1] < steps * A.shape[1]:
        blocks, power = np.concatenate([power @ blocks, blocks], 1), power @ power
    return blocks, power
