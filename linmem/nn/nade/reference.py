"""NADE in plain autograd: the specification that the fused version is tested against.

A neural autoregressive distribution estimator (NADE) is a joint distribution over the D notes of a frame v ∈ {0, 1}^D,
given features q, as a product of conditionals:

    a_i = c(q) + Σ_{j<i} W_j v_j        h_i = relu(a_i)        p(v_i = 1 | v_{<i}, q) = σ(b_i(q) + V_i · h_i)

Symbols: M frames, D notes, H hidden units; c (M, H), b (M, D), W and V (D, H). Larochelle & Murray (AISTATS 2011);
conditioned on the past by Boulanger-Lewandowski et al. [B12].
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn import functional as F


def reference_logits(c: Tensor, b: Tensor, w: Tensor, v: Tensor, frames: Tensor) -> Tensor:
    """Logits (M, D) of every note given the notes before it; allocates (M, D, H)."""
    steps = frames.to(w.dtype).unsqueeze(2) * w
    before = torch.cumsum(steps, 1) - steps
    hidden = torch.relu(c.unsqueeze(1) + before)
    return b + (hidden * v).sum(2)


def reference_nll(c: Tensor, b: Tensor, w: Tensor, v: Tensor, frames: Tensor) -> Tensor:
    """Exact negative log-likelihood (M,) of each frame in nats."""
    return frame_nll(reference_logits(c, b, w, v, frames), frames)


def frame_nll(logits: Tensor, frames: Tensor) -> Tensor:
    """-log p(frame) (M,) from the conditional logits (M, D): the sum of D binary cross-entropies."""
    return F.binary_cross_entropy_with_logits(logits, frames.to(logits.dtype), reduction="none").sum(-1)


def enumerate_frames(n_notes: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """All 2^D frames, (2^D, D)."""
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=n_notes)), dtype=dtype)
