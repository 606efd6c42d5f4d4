"""NADE logits with their own forward and backward: cost and memory follow the sounding notes, not (M, D, H).

The hidden state changes only at a sounding note, so a frame with k sounding notes has k + 1 states, not D. Frames are
sorted by k, descending; level j holds the states after j sounding notes, (n_j, H) with n_j the number of frames with
k ≥ j, so that the rows of level j + 1 are the first n_{j+1} rows of level j. Each level reads its notes with one matrix
product,

    A_0 = c,   A_j = A_{j-1}[:n_j] + W[note_j],   logits[:n_j, lo_j:hi_j] = relu(A_j) V[lo_j:hi_j]ᵀ   (where level = j),

lo_j:hi_j the band of notes that any frame reads at level j. Backward runs the levels in reverse with two products each.

Symbols: M frames, D notes, H hidden units; c, b, W, V as in the reference.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from linmem.nn.nade.reference import frame_nll


class Levels(NamedTuple):
    """Which state each note of a batch of frames reads."""

    rows: Tensor  # (M,) frames sorted by their number of sounding notes, descending
    level: Tensor  # (M, D) number of sounding notes before note i, rows sorted
    sizes: list[int]  # n_j, frames with at least j sounding notes
    notes: list[Tensor]  # per level j ≥ 1: the j-th sounding note of each of its frames, (n_j,)
    bands: list[tuple[int, int]]  # lo_j, hi_j per level


def sort_levels(frames: Tensor) -> Levels:
    """Sort binary frames (M, D) by their number of sounding notes and find the notes of every level."""
    sounding = frames != 0
    counts, rows = torch.sort(sounding.sum(1), descending=True, stable=True)
    sounding = sounding[rows]
    level = sounding.to(torch.int16).cumsum(1, dtype=torch.int16) - sounding.to(torch.int16)
    note = sounding.nonzero()[:, 1]
    start = counts.cumsum(0) - counts
    sizes = torch.bincount(counts, minlength=1).flip(0).cumsum(0).flip(0).tolist()
    notes = [note[start[:n] + j] for j, n in enumerate(sizes[1:])]
    first = [0] + [int(index.min()) + 1 for index in notes]
    last = [
        # a frame reads level j up to its next sounding note, or to the last note if there is no next one
        int(notes[j].max()) + 1 if j < len(notes) and sizes[j + 1] == sizes[j] else frames.shape[1]
        for j in range(len(sizes))
    ]
    return Levels(rows, level, sizes, notes, list(zip(first, last, strict=True)))


class NadeActivations(torch.autograd.Function):
    """V_i · relu(c + Σ_{j<i} W_j v_j) for every note, (M, D). Gradients to c, W and V; once differentiable."""

    @staticmethod
    def forward(ctx: Any, c: Tensor, w: Tensor, v: Tensor, levels: Levels) -> Tensor:
        """Run the levels in order and keep their states, Σ_frames (k + 1) rows of H."""
        states = c.new_empty(sum(levels.sizes), c.shape[1])
        activations = c.new_zeros(levels.level.shape)
        previous, end = c[levels.rows], 0
        for j, (n, (lo, hi)) in enumerate(zip(levels.sizes, levels.bands, strict=True)):
            if j:
                previous = previous[:n] + w[levels.notes[j - 1]]
            hidden = torch.clamp_min(previous, 0, out=states[end : end + n])
            end += n
            if lo < hi:
                band = activations[:n, lo:hi]
                torch.where(levels.level[:n, lo:hi] == j, hidden @ v[lo:hi].T, band, out=band)
        ctx.levels = levels
        ctx.save_for_backward(states, v)
        return torch.empty_like(activations).index_copy_(0, levels.rows, activations)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Run the levels in reverse; the gradient of level j + 1's states is added to that of level j's."""
        states, v = ctx.saved_tensors
        levels: Levels = ctx.levels
        grad = grad[levels.rows]
        grad_w, grad_v = torch.zeros_like(v), torch.zeros_like(v)
        end = states.shape[0]
        carried = grad.new_zeros(0, v.shape[1])
        for j in range(len(levels.sizes) - 1, -1, -1):
            n, (lo, hi) = levels.sizes[j], levels.bands[j]
            hidden = states[end - n : end]
            end -= n
            read = torch.where(levels.level[:n, lo:hi] == j, grad[:n, lo:hi], 0)
            grad_v[lo:hi].addmm_(read.T, hidden)
            state = torch.ops.aten.threshold_backward(read @ v[lo:hi], hidden, 0)
            state[: carried.shape[0]] += carried
            if j:
                grad_w.index_add_(0, levels.notes[j - 1], state)
            carried = state
        return torch.empty_like(carried).index_copy_(0, levels.rows, carried), grad_w, grad_v, None


def nade_logits(c: Tensor, b: Tensor, w: Tensor, v: Tensor, frames: Tensor, order: Tensor | None = None) -> Tensor:
    """Logits of every note given the notes before it in `order`.

    Parameters
    ----------
    c, b : Tensor
        Biases of the hidden units and of the notes, (M, H) and (M, D).
    w, v : Tensor
        Weights of a sounding note into the state, and of the state into a note, (D, H) each.
    frames : Tensor
        Binary, (M, D).
    order : LongTensor, optional
        order[0] is the first note of the chain, (D,); default ascending.

    Returns
    -------
    Tensor
        (M, D), in the order of the notes, not of the chain.

    Notes
    -----
    Costs one product of (n_j, H) by (H, hi_j - lo_j) per level and stores Σ (k + 1) states. Only first derivatives.

    Examples
    --------
    >>> c, b, w = torch.zeros(2, 3), torch.zeros(2, 4), torch.ones(4, 3)
    >>> nade_logits(c, b, w, w, torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 0]]))
    tensor([[0., 3., 3., 3.],
            [0., 0., 0., 3.]])
    """
    if order is not None:
        frames, w, v = frames[:, order], w[order], v[order]
    activations = NadeActivations.apply(c, w, v, sort_levels(frames))
    return b + (activations if order is None else activations[:, torch.argsort(order)])


def nade_nll(c: Tensor, b: Tensor, w: Tensor, v: Tensor, frames: Tensor, order: Tensor | None = None) -> Tensor:
    """Exact negative log-likelihood (M,) of each frame in nats; parameters as in `nade_logits`."""
    return frame_nll(nade_logits(c, b, w, v, frames, order), frames)
