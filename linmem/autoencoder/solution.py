"""From a history to a linear autoencoder: A and B from the right singular vectors, then a decoder.

A is the transpose of U's first block and B = γ Uᵀ R U with R the shift of one block row down: B_{ij} = γ Σ_l
⟨U_{l+1,i}, U_{l,j}⟩. With ξ_t = [x_t, γ x_{t-1}, γ² x_{t-2}, …] the shift ξ_t = [x_t, γ ξ_{t-1}] is exact, for ragged
sequences and for a limited number of lags too, so at full rank the states are V Σ. This B has ‖B‖₂ ≤ γ;
`refine="joint"` replaces it by one of lower error that need not. U y_t
estimates ξ_t, so lag i is decoded as x̂_{t-i} = γ^{-i} U_i y_t.

Inside `solve` everything is in weighted coordinates: with B / γ for B and γ C_y for C_y, Ξ with lag weights obeys the
equations of the unweighted case, so decoders need not know of γ.

Symbols: a features, p memory units, L lags, γ lag decay. Sperduti 2013; [P14] sec. 2.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from linmem.autoencoder.decoders import least_squares
from linmem.autoencoder.decoders.least_squares import Decoder, Moments
from linmem.autoencoder.decoders.refine_decoder import refine_decoder
from linmem.autoencoder.decoders.refine_joint import Autoencoder, refine_joint
from linmem.autoencoder.history.operator import HistoryOperator, lag_weights
from linmem.autoencoder.solvers import Solver
from linmem.autoencoder.solvers.memory_size import leading

DECODERS = ("tied", "refit", "optimal")
REFINEMENTS = (None, "decoder", "joint")


@dataclass(frozen=True)
class ClosedForm:
    """A fitted linear autoencoder, float64, on the features that the history has."""

    A: Tensor  # (p, a)
    B: Tensor  # (p, p)
    C: Tensor  # (a + p, p), [C_x; C_y]
    lag_decoder: Tensor | None  # (L, a, p), only for decoder="optimal"
    right_vectors: Tensor | None  # (L, a, p), None in a file saved without them
    singular_values: Tensor  # (p,)
    optimal_error: float  # the Eckart–Young bound at p
    training_error: float  # relative reconstruction error on the history
    unweighted_optimal_error: float  # the same two with γ = 1 on the same lags, for the same autoencoder
    unweighted_error: float
    residual: float  # energy that the solver estimates to be missing from the singular values, as a share of ‖Ξ‖²
    converged: bool
    lags: int  # L
    decay: float  # γ

    @property
    def decoder(self) -> Decoder:
        """C as its two parts."""
        return Decoder(self.C[: self.A.shape[1]], self.C[self.A.shape[1] :])

    def blocks(self, lags: int) -> Tensor:
        """Return Ω, (lags, a, p) with x̂_{t-i} = Ω_i y_t.

        Lags on which nothing was fitted are zero: for the optimal decoder and for γ < 1 those beyond L.
        """
        if self.lag_decoder is not None:
            known = self.lag_decoder[:lags]
        else:
            known = self.decoder.blocks(lags if self.decay == 1 else min(lags, self.lags))
        return torch.cat([known, known.new_zeros(lags - len(known), *known.shape[1:])])

    def scaled(self, factor: float) -> "ClosedForm":
        """The same fit of sequences multiplied by `factor`."""
        return self if factor == 1 else replace(self, singular_values=self.singular_values * factor)

    def expanded(self, active: list[int], features: int) -> "ClosedForm":
        """Insert zeros for the features that are zero throughout."""
        if len(active) == features:
            return self

        def place(tensor: Tensor, axis: int) -> Tensor:
            shape = list(tensor.shape)
            shape[axis] = features
            return tensor.new_zeros(shape).index_copy_(axis, torch.tensor(active, device=tensor.device), tensor)

        C_x, C_y = self.decoder
        return replace(
            self,
            A=place(self.A, 1),
            C=torch.cat([place(C_x, 0), C_y]),
            lag_decoder=None if self.lag_decoder is None else place(self.lag_decoder, 1),
            right_vectors=None if self.right_vectors is None else place(self.right_vectors, 1),
        )


def encoder(right_vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return A (p, a) and B / γ (p, p) of U (L, a, p)."""
    A = right_vectors[0].T.clone(memory_format=torch.contiguous_format)  # no view of U, as it would be for a = 1
    return A, least_squares.inner(right_vectors[1:], right_vectors[:-1])


def solve(
    history: HistoryOperator,
    memory_size: int | float | str | None,
    solver: Solver,
    decoder: str,
    refine: str | None,
    generator: torch.Generator,
) -> ClosedForm:
    """Fit the autoencoder to a history, wherever its data are stored."""
    spectrum, size = leading(solver, history, memory_size, generator)
    values, vectors = spectrum.singular_values[:size], spectrum.right_vectors[:, :, :size].contiguous()
    A, B = encoder(vectors)
    known = least_squares.moments(history, A, B)
    best = least_squares.tied(A, B)
    lag_decoder = None
    if decoder != "tied":
        candidate = least_squares.refit(known, best)
        if least_squares.error(known, candidate.blocks(history.lags)) < least_squares.error(
            known, best.blocks(history.lags)
        ):
            best = candidate
    if decoder == "optimal":
        lag_decoder = least_squares.optimal(known, best)
    elif decoder == "refit" and refine is not None:
        best = refine_decoder(known, best)
        if refine == "joint":
            (A, B, *both), known = refine_joint(history, Autoencoder(A, B, *best), known)
            best = Decoder(*both)
    error = least_squares.error(known, best.blocks(history.lags) if lag_decoder is None else lag_decoder)
    bound = max(0.0, 1 - float(values.square().sum()) / history.energy)
    unweighted = (bound, error)
    decay, lags = history.decay, history.lags
    if decay != 1:
        blocks = best.blocks(lags) if lag_decoder is None else lag_decoder
        unweighted = _unweighted(history, solver, size, known, blocks, generator)
        weights = lag_weights(lags, decay, B.device)[:, None, None]
        lag_decoder = None if lag_decoder is None else lag_decoder / weights
        B, best = decay * B, Decoder(best.C_x, best.C_y / decay)
    C = torch.cat(best)
    return ClosedForm(
        *(A, B, C, lag_decoder, vectors, values, bound, error, *unweighted),
        residual=spectrum.residual,
        converged=spectrum.converged,
        lags=lags,
        decay=decay,
    )


def _unweighted(
    history: HistoryOperator, solver: Solver, size: int, known: Moments, blocks: Tensor, generator: torch.Generator
) -> tuple[float, float]:
    """Bound and error with every lag counted equally; the bound is NaN where only weighted products are available."""
    weights = lag_weights(history.lags, history.decay, blocks.device)
    energy = history.lag_energy() / weights.square()
    total = float(energy.sum())
    scale = weights[:, None, None]
    plain = known._replace(cross=known.cross / scale, energy=total)
    error = least_squares.error(plain, blocks / scale)
    other = history.unweighted()
    if other is None:
        return math.nan, error
    kept = solver(other, size, generator).singular_values[:size].square().sum()
    return max(0.0, 1 - float(kept) / total), error
