"""Inpainting: replace a range of steps of a piece by frames that fit what comes before and after it.

    x_{F..L-1} ~ p(x_{F..L-1} | x_{<F}, x_{L..L+S-1}),   estimated by sampling-importance-resampling

N candidates are sampled from the model after the steps before F; each is weighted by the likelihood of the S steps
that follow the range, w_n = Π_s p(x_{L+s} | x_{<F}, candidate n, x_{L..L+s-1}), and one is drawn in proportion to w.
The draw is exact in the limit of many candidates; their effective number (Σ w)² / Σ w² says how close it is. With
temperature, top-p or a number of voices the candidates follow the modified distribution, and the weights are those of
the model.

Symbols: T steps, a notes, N candidates, F first step, L step after the last.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from linmem.data.midi import NOTES
from linmem.music.continuation import evaluation_mode, sample_next
from linmem.music.sampling import DEFAULTS, SamplingOptions, check_options
from linmem.nn.nade import FrameDistribution
from linmem.nn.sequence_model import SequenceModel

LOOK_AHEAD = 16  # S, steps after the range that weight the candidates


class Inpainting(NamedTuple):
    """A piece with a replaced range."""

    roll: Tensor  # (T, a)
    effective_candidates: float  # (Σ w)² / Σ w², from 1 to N


@torch.no_grad()
def inpaint(
    model: nn.Module, piece: Tensor, first: int, last: int, sampling: SamplingOptions = DEFAULTS, candidates: int = 64
) -> Inpainting:
    """Replace the steps first … last − 1 of a piece.

    Parameters
    ----------
    model : SequenceModel
        Trained to predict the next frame.
    piece : Tensor
        (T, a) piano roll.
    first, last : int
        The range, 1 ≤ first < last ≤ T: the model needs a step before it.
    sampling : SamplingOptions
        Temperature, nucleus, number of voices and seed.
    candidates : int
        N.

    Returns
    -------
    Inpainting

    Raises
    ------
    ValueError
        The model has no state, or a number is out of range.

    Notes
    -----
    Time is that of N continuations of first + S steps.

    Examples
    --------
    >>> model = SequenceModel(nn.LSTM(88, 4, batch_first=True), nn.Linear(4, 88))
    >>> inpaint(model, torch.zeros(9, 88), 2, 5, SamplingOptions(voices=4), candidates=3).roll.sum(1).tolist()
    [0.0, 0.0, 4.0, 4.0, 4.0, 0.0, 0.0, 0.0, 0.0]
    """
    if not isinstance(model, SequenceModel):
        raise ValueError(
            f"model must carry a state between frames, got a {type(model).__name__}. Use a recurrent model."
        )
    if not 1 <= first < last <= len(piece):
        raise ValueError(
            f"inpaint must be a range FIRST:LAST with 1 <= FIRST < LAST <= {len(piece)}, the steps of the piece, got "
            f"{first}:{last}. Change the range."
        )
    if candidates < 1:
        raise ValueError(f"candidates must be at least 1, got {candidates}. Raise candidates.")
    check_options(sampling, NOTES if piece.shape[1] == 2 * NOTES else piece.shape[1])
    generator = torch.Generator().manual_seed(sampling.seed)
    rolls = piece[:first].expand(candidates, -1, -1)
    after = piece[last : last + LOOK_AHEAD].expand(candidates, -1, -1)
    weight = torch.zeros(candidates, dtype=torch.float64)
    with evaluation_mode(model):
        outputs, state = model(rolls)
        for _ in range(first, last):
            frames = sample_next(outputs[:, -1], rolls[:, -1], sampling, generator)
            rolls = torch.cat([rolls, frames[:, None]], 1)
            outputs, state = model(frames[:, None], state)
        if after.shape[1]:
            weight = -_nll(outputs, after[:, :1]).cpu()
        if after.shape[1] > 1:
            weight -= _nll(model(after[:, :-1], state)[0], after[:, 1:]).cpu()
    share = torch.softmax(weight, 0)
    chosen = int(torch.multinomial(share, 1, generator=generator))
    return Inpainting(torch.cat([rolls[chosen], piece[last:]]), 1 / float(share.square().sum()))


def _nll(outputs: Tensor | FrameDistribution, frames: Tensor) -> Tensor:
    """-log p (N,) of frames (N, S, a) under the outputs of the steps before them."""
    if isinstance(outputs, FrameDistribution):
        return outputs.nll(frames).double().sum(1)
    return binary_cross_entropy_with_logits(outputs, frames, reduction="none").double().sum((1, 2))
