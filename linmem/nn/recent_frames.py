"""The most recent inputs of every step, for readouts that read them beside the layer's output.

Symbols: B sequences, T steps, a inputs, L recent frames.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RecentFrames(NamedTuple):
    """The last frames of every step, and what the next chunk of the sequence needs."""

    frames: Tensor  # (B, T, L, a): x_t, x_{t-1}, …
    after: Tensor  # (B, L - 1, a), the last frames of the chunk


def recent_frames(x: Tensor, count: int, before: Tensor | None = None) -> RecentFrames:
    """Collect the last `count` frames of every step.

    Parameters
    ----------
    x : Tensor
        (B, T, a).
    count : int
        L, at least 1.
    before : Tensor, optional
        (B, L - 1, a), `after` of the preceding chunk; zeros at the start of a sequence.

    Examples
    --------
    >>> found = recent_frames(torch.tensor([[[1.0], [2.0], [3.0]]]), 2)
    >>> found.frames[0, :, :, 0].tolist(), found.after.tolist()
    ([[1.0, 0.0], [2.0, 1.0], [3.0, 2.0]], [[[3.0]]])
    """
    batch, steps, size = x.shape
    before = x.new_zeros(batch, count - 1, size) if before is None else before
    padded = torch.cat([before, x], 1)
    frames = torch.stack([padded[:, count - 1 - lag : count - 1 - lag + steps] for lag in range(count)], 2)
    return RecentFrames(frames, padded[:, steps:])
