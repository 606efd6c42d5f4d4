"""From a history to a linear autoencoder: A and B from the right singular vectors, then a decoder.

A is the transpose of U's first block, B = Uᵀ R U with R the shift of one block row down: B_{ij} = Σ_l ⟨U_{l+1,i},
U_{l,j}⟩. `R_row Ξ = Ξ R` holds for ragged sequences too, so at full rank the recurrence *is* V Σ; below it, ‖B‖₂ ≤ 1.

Letters: a features, p memory units, L lags. Sperduti 2013; [P14] sec. 2.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from linmem.autoencoder.decoders import least_squares
from linmem.autoencoder.decoders.least_squares import Decoder
from linmem.autoencoder.decoders.refine_decoder import refine_decoder
from linmem.autoencoder.decoders.refine_joint import Autoencoder, refine_joint
from linmem.autoencoder.history.in_memory import Gram
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
    right_vectors: Tensor  # (L, a, p)
    singular_values: Tensor  # (p,)
    optimal_error: float  # the Eckart–Young bound at p
    training_error: float  # relative reconstruction error on the history
    residual: float  # energy that the solver estimates to be missing from the singular values, as a share of ‖Ξ‖²
    converged: bool

    @property
    def decoder(self) -> Decoder:
        """C as its two parts."""
        return Decoder(self.C[: self.A.shape[1]], self.C[self.A.shape[1] :])

    def blocks(self, lags: int) -> Tensor:
        """Return Ω, (lags, a, p); an optimal decoder knows nothing of lags beyond those it was fitted on."""
        if self.lag_decoder is None:
            return self.decoder.blocks(lags)
        known = self.lag_decoder[:lags]
        return torch.cat([known, known.new_zeros(lags - len(known), *known.shape[1:])])

    def spread(self, heard: list[int], features: int) -> "ClosedForm":
        """Put the matrices of the features that were heard back among zeros for the silent ones."""
        if len(heard) == features:
            return self

        def place(tensor: Tensor, axis: int) -> Tensor:
            shape = list(tensor.shape)
            shape[axis] = features
            return tensor.new_zeros(shape).index_copy_(axis, torch.tensor(heard, device=tensor.device), tensor)

        C_x, C_y = self.decoder
        return replace(
            self,
            A=place(self.A, 1),
            C=torch.cat([place(C_x, 0), C_y]),
            lag_decoder=None if self.lag_decoder is None else place(self.lag_decoder, 1),
            right_vectors=place(self.right_vectors, 1),
        )


def encoder(right_vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return A (p, a) and B (p, p) of U (L, a, p)."""
    A = right_vectors[0].T.clone(memory_format=torch.contiguous_format)  # no view of U, as it would be for a = 1
    return A, least_squares.inner(right_vectors[1:], right_vectors[:-1])


def solve(
    history: Gram,
    memory_size: int | float | str,
    solver: Solver,
    decoder: str,
    refine: str | None,
    generator: torch.Generator,
) -> ClosedForm:
    """Fit the autoencoder to a history, wherever its data are."""
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
    C = torch.cat(best)
    return ClosedForm(A, B, C, lag_decoder, vectors, values, bound, error, spectrum.residual, spectrum.converged)
