"""Sampling from a NADE: whole frames, given notes, a bounded number of voices; marginals estimated by samples.

Between two sounding notes the state does not change, so the next sounding note is one categorical draw: with logits ℓ_i
read from the current state and the free notes i_1 < i_2 < … left in the order,

    P(next = i_k) = σ(ℓ_{i_k}) Π_{l<k} (1 - σ(ℓ_{i_l})),      P(no more) = Π_l (1 - σ(ℓ_{i_l})).

A frame of k sounding notes costs k + 1 products of (M, H) by (H, D) instead of D steps. Temperature and top-p act on
this distribution, that is on the choice of the next voice. (On the D binary conditionals they would silence a voice
whose pitch is spread over many notes, each improbable.) At temperature 1 and top-p 1 the samples are exact.

Symbols: M frames, D notes, H hidden units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from linmem.nn.nade.chain_state import ChainState, Windows
from linmem.nn.nade.fused import nade_logits
from linmem.nn.nade.windows import window_logits


@dataclass(frozen=True)
class Voices:
    """How frames are sampled.

    Parameters
    ----------
    temperature : float
        Divides log P of the next note; 0 takes the most probable one.
    top_p : float
        Draw only from the most probable next notes that together have this probability; 1 keeps every note.
    minimum, maximum : int, optional
        Bounds on the number of sounding notes of a frame, given ones included; equal for a fixed number. "No further
        note" is excluded below the minimum and chosen at the maximum. The choice of notes is renormalized at every
        draw, which approximates the distribution conditional on the number.

    Raises
    ------
    ValueError
        A number is out of range.

    Examples
    --------
    >>> from linmem.nn.nade import Voices
    >>> Voices(temperature=0.8, top_p=0.95, minimum=4, maximum=4).maximum
    4
    """

    temperature: float = 1.0
    top_p: float = 1.0
    minimum: int = 0
    maximum: int | None = None

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise ValueError(f"temperature must be at least 0, got {self.temperature}. Use 0 for the most probable.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}. Use 1 to keep every note.")
        if self.minimum < 0 or (self.maximum is not None and self.maximum < self.minimum):
            raise ValueError(
                f"voices must be bounded by 0 <= minimum <= maximum, got {self.minimum} and {self.maximum}."
                " Lower the minimum."
            )


class Marginals(NamedTuple):
    """p(v_i = 1), estimated from samples."""

    probability: Tensor  # (M, D)
    standard_error: Tensor  # (M, D)


def next_note_distribution(logits: Tensor, free: Tensor) -> Tensor:
    """Log-probability (M, D + 1) of each free note being the next to sound; column D: no further note."""
    off = torch.where(free, F.logsigmoid(-logits), 0)
    silent = off.cumsum(1)
    next_note = torch.where(free, F.logsigmoid(logits) + silent - off, -torch.inf)
    return torch.cat([next_note, silent[:, -1:]], 1)


def keep_top_p(log_p: Tensor, top_p: float) -> Tensor:
    """Set to -inf all but the most probable outcomes whose probabilities sum to at least `top_p`."""
    if top_p >= 1:
        return log_p
    ranked, index = torch.sort(torch.softmax(log_p, 1), dim=1, descending=True, stable=True)
    outside = ranked.cumsum(1) - ranked >= top_p
    outside[:, 0] = False
    return log_p.masked_fill(torch.zeros_like(outside).scatter(1, index, outside), -torch.inf)


def draw(log_p: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw one index (M,) per row by the inverse of the cumulative distribution."""
    cumulative = torch.softmax(log_p.double(), 1).cumsum(1)
    device = log_p.device if generator is None else generator.device
    uniform = torch.rand(len(log_p), 1, generator=generator, dtype=torch.float64, device=device).to(log_p.device)
    index = (cumulative <= uniform * cumulative[:, -1:]).sum(1)
    return index.clamp_max(log_p.shape[1] - 1)


@torch.no_grad()
def sample_frames(
    c: Tensor,
    b: Tensor,
    w: Tensor,
    v: Tensor,
    *,
    order: Tensor | None = None,
    given: Tensor | None = None,
    voices: Voices | None = None,
    generator: torch.Generator | None = None,
    windows: Windows | None = None,
) -> Tensor:
    """Sample one frame per row.

    Parameters
    ----------
    c, b, w, v, order : Tensor
        As in `nade_logits`: (M, H), (M, D), (D, H), (D, H), (D,).
    given : Tensor, optional
        (M, D): 1 sounds, 0 is silent, NaN is sampled. If the given notes come first in the order (a soprano,
        descending) the samples follow the exact conditional distribution; a note that is given later does not
        influence those before it. Given notes sound even beyond the largest number of voices.
    voices : Voices, optional
        Temperature, top-p and number of voices.
    generator : torch.Generator, optional
        Equal generators give equal samples.
    windows : tuple of WindowWeights and Tensor, optional
        Pitch windows: see `ChainState`.

    Returns
    -------
    Tensor
        Binary, (M, D).
    """
    voices = voices or Voices()
    chain = ChainState(c, b, w, v, order, windows)
    given = given[:, order] if given is not None and order is not None else given
    n_frames, n_notes = b.shape
    limit = n_notes if voices.maximum is None else voices.maximum
    given = torch.full_like(b, torch.nan) if given is None else given.to(b)
    free, fixed = given.isnan(), given == 1
    index = torch.arange(n_notes, device=b.device)
    position = torch.full((n_frames, 1), -1, device=b.device)
    needed = (free | fixed).sum(1, keepdim=True).clamp_max(voices.minimum)
    count = torch.zeros(n_frames, 1, dtype=torch.long, device=b.device)
    active = torch.arange(n_frames, device=b.device)
    for _ in range(n_notes + 1):  # not `while`: parameters that are NaN end, too
        later = index > position[active]
        ahead = fixed[active] & later  # the next given note ends the stretch of free notes
        forced = torch.where(ahead.any(1), ahead.to(torch.uint8).argmax(1), n_notes)
        sounding = count[active] + ahead.sum(1, keepdim=True)  # given notes still to come included
        open_notes = free[active] & later & (index < forced[:, None]) & (sounding < limit)
        log_p = next_note_distribution(chain.logits(active), open_notes)
        # a note that leaves too few free notes after it cannot be chosen, nor can stopping too early
        later_free = (free[active] & later).to(torch.long)
        after = later_free.sum(1, keepdim=True) - later_free.cumsum(1)
        possible = open_notes & (sounding + 1 + after >= needed[active])
        beyond = (free[active] & (index >= forced[:, None])).sum(1, keepdim=True)
        must_go_on = (sounding + beyond < needed[active]) & possible.any(1, keepdim=True)
        log_p = log_p.masked_fill(torch.cat([~possible, must_go_on], 1), -torch.inf)
        choice = _choose(log_p, voices, generator)
        choice = torch.where(choice == n_notes, forced, choice)
        chosen = choice < n_notes
        active, choice = active[chosen], choice[chosen]
        if not len(active):
            break
        chain.add(active, choice)
        position[active, 0] = choice
        count[active] += 1
    return chain.in_note_order()


def _choose(log_p: Tensor, voices: Voices, generator: torch.Generator | None) -> Tensor:
    """Choose one outcome (M,) per row at the temperature and top-p of `voices`."""
    if voices.temperature == 0:
        return log_p.argmax(1)
    return draw(keep_top_p(log_p / voices.temperature, voices.top_p), generator)


@torch.no_grad()
def estimate_marginals(
    c: Tensor,
    b: Tensor,
    w: Tensor,
    v: Tensor,
    n_samples: int = 100,
    *,
    order: Tensor | None = None,
    generator: torch.Generator | None = None,
    windows: Windows | None = None,
) -> Marginals:
    """Estimate the marginal probability of every note as the mean over samples of p(v_i = 1 | v_{<i}).

    The mean of the conditional probabilities has less variance than the mean of the sampled notes.

    Raises
    ------
    ValueError
        Fewer than two samples: there would be no standard error.
    """
    if n_samples < 2:
        raise ValueError(f"n_samples must be at least 2 for a standard error, got {n_samples}. Raise it.")
    mean, squares = torch.zeros_like(b, dtype=torch.float64), torch.zeros_like(b, dtype=torch.float64)
    for n in range(1, n_samples + 1):  # Welford's update: no cancellation where p hardly varies
        frames = sample_frames(c, b, w, v, order=order, generator=generator, windows=windows)
        bias = b if windows is None else b + window_logits(*windows, frames, order)
        p = torch.sigmoid(nade_logits(c, bias, w, v, frames, order)).double()
        difference = p - mean
        mean += difference / n
        squares += difference * (p - mean)
    error = (squares / (n_samples - 1) / n_samples).sqrt()
    return Marginals(mean.to(b.dtype), error.to(b.dtype))
