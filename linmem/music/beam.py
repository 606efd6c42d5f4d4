"""Beam search for harmonization: the voices below a melody whose total log-probability is highest among those searched.

    score = Σ_t log p(frame_t | frames before t),   frames whose highest note is the melody's

At every step each of the N partial harmonizations proposes its N most probable frames, found by a beam over the notes
of the frame in descending order; the N best sums are kept. There is no look-ahead: the melody after step t does not
change which frames are proposed at t, only which of the kept sums is best in the end. With two orders a frame is
proposed by the descending one and scored by the mixture.

Symbols: N beam width, D notes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from linmem.nn.nade import FrameDistribution, Voices
from linmem.nn.nade.joint_sampling import next_note_distribution
from linmem.nn.sequence_model import SequenceModel


class Candidates(NamedTuple):
    """Frames and their log-probabilities, best first."""

    frames: Tensor  # (n, D)
    log_p: Tensor  # (n,)


def probable_frames(distribution: FrameDistribution, top: int, voices: Voices, width: int) -> Candidates:
    """Search the most probable frames whose highest note is `top`.

    Parameters
    ----------
    distribution : FrameDistribution
        Of a single position, with a descending chain.
    top : int
        Column of the highest note.
    voices : Voices
        Bounds on the number of notes; temperature and top-p have no effect.
    width : int
        N, frames to return at most, and partial frames to keep.

    Returns
    -------
    Candidates
        Their log-probabilities are those of whole frames under `distribution`, the melody's note included.

    Raises
    ------
    ValueError
        There is no descending chain.
    """
    descending = distribution.only(descending=True)
    if descending is None:
        raise ValueError("distribution must have a descending chain, got none. Train with --note_order descending.")
    chain = descending[None].rows().chains[0]
    state, notes = chain.begin(), chain.note_bias.shape[1]
    order = torch.arange(notes, device=chain.note_bias.device)
    last = torch.tensor([notes - 1 - top], device=order.device)  # in the order of the chain
    state.add(torch.zeros(1, dtype=torch.long, device=order.device), last)
    score, counts = torch.zeros(1, device=order.device, dtype=torch.float64), 1
    limit = notes if voices.maximum is None else voices.maximum
    if voices.minimum > top + 1:
        raise ValueError(f"top must leave room for {voices.minimum} notes, got column {top}. Use a higher melody note.")
    complete: list[Tensor] = []
    scores: list[Tensor] = []
    while len(score):
        rows = torch.arange(len(score), device=order.device)
        free = (order > last[:, None]) & (counts < limit)
        log_p = next_note_distribution(state.logits(rows).double(), free) + score[:, None]
        if counts >= min(voices.minimum, limit):
            complete.append(state.in_note_order())
            scores.append(log_p[:, -1])
        after = notes - 1 - order  # notes left after choosing one
        log_p = log_p[:, :-1].masked_fill(after < voices.minimum - counts - 1, -torch.inf)
        best, index = log_p.flatten().topk(min(width, log_p.numel()))
        found = torch.cat(scores) if scores else best[:0]
        bound = found.topk(width).values[-1] if len(found) >= width else best.new_tensor(-torch.inf)
        kept = best > bound  # log-probabilities only fall
        best, index = best[kept], index[kept]
        state, last, score, counts = state.select(index // notes), index % notes, best, counts + 1
        state.add(torch.arange(len(index), device=order.device), last)
    frames = torch.cat(complete)
    chosen = torch.cat(scores).topk(min(width, len(frames))).indices
    frames = frames[chosen]
    log_p = -distribution[None][[0] * len(frames)].nll(frames).double()
    ranked = log_p.argsort(descending=True)
    return Candidates(frames[ranked], log_p[ranked])


@torch.no_grad()
def beam_search(model: SequenceModel, begin: Tensor, melody: Tensor, voices: Voices, width: int) -> Tensor:
    """Harmonize a melody (T, D) after the frame `begin` (D,); where the melody rests, all voices rest.

    Returns
    -------
    Tensor
        (T, D).

    Notes
    -----
    Every step reads all frames before it anew: O(T²) steps of N sequences.
    """
    rolls, scores = begin.expand(1, 1, -1), torch.zeros(1, dtype=torch.float64)
    for note in melody:
        if not note.any():
            rolls = torch.cat([rolls, note.expand(len(rolls), 1, -1)], 1)
            continue
        outputs, _ = model(rolls)
        proposals = [probable_frames(outputs[row, -1], int(note.argmax()), voices, width) for row in range(len(rolls))]
        parents = torch.tensor([row for row, found in enumerate(proposals) for _ in found.log_p])
        sums = torch.cat([scores[row] + found.log_p.cpu() for row, found in enumerate(proposals)])
        frames = torch.cat([found.frames for found in proposals]).to(rolls)
        scores, best = sums.topk(min(width, len(sums)))
        rolls = torch.cat([rolls[parents[best]], frames[best][:, None]], 1)
    return rolls[int(scores.argmax()), 1:]
