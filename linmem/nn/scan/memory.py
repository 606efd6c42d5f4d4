"""The memory matrix W_mm as an operator: dense, or block-diagonal with p eigenvalues of modulus below 1.

A dense matrix is a tensor (p, p). A diagonal memory has p eigenvalues in conjugate pairs λ = exp(−exp ν ± iθ)
(Orvieto et al., ICML 2023), so that the state stays real: units 2j and 2j + 1 share a 2 × 2 block, a rotation by θ_j
with one decay per row,

    [r_{2j}, 0; 0, r_{2j+1}] [cos θ_j, −sin θ_j; sin θ_j, cos θ_j],   r = exp(−exp ν).

With equal decays the block has the eigenvalues r exp(±iθ); with θ = 0 or π it has two real ones. The last row is also
scaled by cos φ, so that one pair of real eigenvalues can have different signs (φ = π), and with an odd p the last unit
has the real eigenvalue r cos φ. The spectral norm is at most max r < 1: the memory is stable for all ν, θ and φ.

As an operator the blocks are a tensor (2p,): p diagonal entries, then the p entries next to the diagonal in each row.

Symbols: p memory units; ν (p) log decays, θ and φ (p // 2 + 1) phases.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_MODULUS, LARGEST_MODULUS = 1e-30, 1 - 1e-7  # of eigenvalues that exp(−exp ν) represents


def diagonal_blocks(log_decay: Tensor, phase: Tensor) -> Tensor:
    """The blocks (2p,) from ν (p) and the phases (p // 2 + 1), θ first, φ last."""
    decay = (-log_decay.exp()).exp()
    decay = torch.cat([decay[:-1], decay[-1:] * phase[-1:].cos()])
    cos, sin = phase[:-1].cos(), phase[:-1].sin()
    cosines, sines = torch.stack([cos, cos], -1).flatten(), torch.stack([-sin, sin], -1).flatten()
    if len(decay) % 2:
        cosines, sines = (
            torch.cat([cosines, torch.ones_like(decay[:1])]),
            torch.cat([sines, torch.zeros_like(decay[:1])]),
        )
    return torch.cat([decay * cosines, decay * sines])


def is_diagonal(matrix: Tensor) -> bool:
    """Whether an operator is block-diagonal, (2p,), and not dense, (p, p)."""
    return matrix.dim() == 1


def swap_pairs(m: Tensor) -> Tensor:
    """Exchange units 2j and 2j + 1 of m (…, p); with an odd p the last unit stays in place."""
    p = m.shape[-1]
    return m.index_select(-1, torch.arange(p, device=m.device).bitwise_xor(1).clamp(max=p - 1))


def multiply(m: Tensor, matrix: Tensor) -> Tensor:
    """W_mm m for each row of m (…, p)."""
    if not is_diagonal(matrix):
        return F.linear(m, matrix)
    own, other = matrix.chunk(2)
    return own * m + other * swap_pairs(m)


def square(matrix: Tensor) -> Tensor:
    """W_mm² as an operator of the same kind."""
    if not is_diagonal(matrix):
        return matrix @ matrix
    own, other = matrix.chunk(2)
    return torch.cat([own.square() + other * swap_pairs(other), other * (own + swap_pairs(own))])


def as_matrix(matrix: Tensor) -> Tensor:
    """W_mm as a dense matrix (p, p)."""
    if not is_diagonal(matrix):
        return matrix
    return multiply(torch.eye(len(matrix) // 2, dtype=matrix.dtype, device=matrix.device), matrix).t()
