"""Decoders of a linear recurrent state, from the moments ΞᵀY and YᵀY alone: no further pass over the data.

The state y_t = A x_t + B y_{t-1} is a row of Y = Ξ E with E_i = Aᵀ(Bᵀ)ⁱ, and its past is decoded as Y Ωᵀ. A
recurrent decoder has Ω_i = C_x C_yⁱ; the optimal decoder, one matrix per lag, is Ω* = Ξᵀ Y (YᵀY)⁻¹. For any Ω
    ‖Ξ − Y Ωᵀ‖² = ‖Ξ‖² − 2 ⟨Ξᵀ Y, Ω⟩ + ⟨YᵀY, Ωᵀ Ω⟩.

Symbols: a features, p memory units, L lags; E, Ω and ΞᵀY are (L, a, p). Sperduti 2013.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from linmem.autoencoder.history.operator import HistoryOperator

NEGLIGIBLE = 1e-13  # directions of YᵀY with an eigenvalue below this share of the largest count as rounding


class Moments(NamedTuple):
    """Sufficient statistics of the data and the encoder for all decoders."""

    energy: float  # ‖Ξ‖²
    encoder: Tensor  # (L, a, p), E
    cross: Tensor  # (L, a, p), Ξᵀ Y
    states: Tensor  # (p, p), YᵀY


class Decoder(NamedTuple):
    """x̂_{t-i} = C_x C_yⁱ y_t."""

    C_x: Tensor  # (a, p)
    C_y: Tensor  # (p, p)

    def blocks(self, lags: int) -> Tensor:
        """Return Ω, (L, a, p)."""
        return powers(self.C_x, self.C_y, lags)


def powers(first: Tensor, step: Tensor, lags: int) -> Tensor:
    """Return (L, a, p) with block i = first · stepⁱ, by doubling: log₂ L large products instead of L small ones."""
    out = first.new_empty(lags, *first.shape)
    out[0] = first
    done = 1
    while done < lags:
        new = min(done, lags - done)
        torch.matmul(out[:new].flatten(0, 1), step, out=out[done : done + new].view(-1, step.shape[1]))
        done += new
        step = step @ step if done < lags else step
    return out


def inner(left: Tensor, right: Tensor) -> Tensor:
    """Return Σ_i left_iᵀ right_i, (p, q)."""
    return left.flatten(0, 1).T @ right.flatten(0, 1)


def moments(history: HistoryOperator, A: Tensor, B: Tensor) -> Moments:
    """Return the moments from one product with the Gram matrix: ΞᵀY = ΞᵀΞ E and YᵀY = EᵀΞᵀΞ E."""
    encoder = powers(A.T.contiguous(), B.T.contiguous(), history.lags)
    cross = history.gram_matvec(encoder)
    states = inner(encoder, cross)
    return Moments(history.energy, encoder, cross, (states + states.T) / 2)


def tied(A: Tensor, B: Tensor) -> Decoder:
    """Return the papers' decoder, C = [Aᵀ; Bᵀ]."""
    return Decoder(A.T.contiguous(), B.T.contiguous())


def refit(known: Moments, start: Decoder) -> Decoder:
    """Least squares of [x_t; y_{t-1}] on y_t, as a correction to `start` in the directions that the states span.

    Σ x_t y_tᵀ is the first block of ΞᵀY, and y_{t-1} is a row of Ξ times E shifted by one lag.
    """
    inverse = _pseudo_inverse(known.states)
    inputs = known.cross[0]
    before = inner(known.encoder[:-1], known.cross[1:])
    C_x = start.C_x + (inputs - start.C_x @ known.states) @ inverse
    C_y = start.C_y + (before - start.C_y @ known.states) @ inverse
    return Decoder(C_x, C_y)


def optimal(known: Moments, start: Decoder) -> Tensor:
    """Return Ω* = ΞᵀY (YᵀY)⁻¹, (L, a, p), one matrix per lag, as a correction to `start` like `refit`."""
    blocks = start.blocks(len(known.cross))
    rest = known.cross - blocks @ known.states
    return blocks + rest @ _pseudo_inverse(known.states)


def error(known: Moments, blocks: Tensor) -> float:
    """Return the relative reconstruction error of the decoder Ω."""
    total = known.energy - 2 * float((known.cross * blocks).sum()) + float((known.states * inner(blocks, blocks)).sum())
    return max(total, 0.0) / known.energy if known.energy > 0 else 0.0


def lag_errors(known: Moments, blocks: Tensor, lag_energy: Tensor) -> Tensor:
    """Return the squared error of each lag's columns, (L,), not normalised."""
    quadratic = ((blocks @ known.states) * blocks).sum((1, 2))
    return (lag_energy - 2 * (known.cross * blocks).sum((1, 2)) + quadratic).clamp_min(0)


def _pseudo_inverse(matrix: Tensor) -> Tensor:
    return torch.linalg.pinv(matrix, rtol=NEGLIGIBLE, hermitian=True)
