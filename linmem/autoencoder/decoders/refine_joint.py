"""Refine encoder and decoder together: (A, B, C_x, C_y) by L-BFGS from the closed-form solution.

The error is ‖Ξ‖² − 2 ⟨Ξ Ω, Ξ E⟩ + ⟨YᵀY, W⟩ with W = Σ_i (C_yⁱ)ᵀ C_xᵀ C_x C_yⁱ. Its Gauss–Newton matrix is close to
W̃ ⊗ XᵀX for A, W̃ ⊗ G for B, I ⊗ G̃ for C_x and W ⊗ G̃ for C_y, with G = YᵀY, G̃ = Σ C_yⁱ G (C_yⁱ)ᵀ and W̃ = Σ (Bⁱ)ᵀ W Bⁱ;
with this scaling L-BFGS converges in about 40 evaluations. The factors are recomputed once, halfway.

An autoencoder is invariant under a change of basis of its states. The result is given in the basis in which the states
are closest to the principal ones, V Σ, so that U still decodes them.

Symbols: a features, p memory units, L lags.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from linmem.autoencoder.decoders import least_squares
from linmem.autoencoder.decoders.descent import Scale, descend
from linmem.autoencoder.decoders.filters import Packed, Sums, gram_sums
from linmem.autoencoder.decoders.least_squares import Decoder, Moments
from linmem.autoencoder.decoders.refine_decoder import NOTHING_TO_GAIN, SINGLE, lag_sum
from linmem.autoencoder.history.operator import HistoryOperator

ITERATIONS, TOLERANCE, ROUNDS = 60, 1e-6, 2


class Autoencoder(NamedTuple):
    """The four matrices of a linear autoencoder."""

    A: Tensor  # (p, a)
    B: Tensor  # (p, p)
    C_x: Tensor  # (a, p)
    C_y: Tensor  # (p, p)

    @property
    def decoder(self) -> Decoder:
        """Return (C_x, C_y)."""
        return Decoder(self.C_x, self.C_y)


SumsOf = Callable[[Autoencoder, Tensor], Sums]  # of an autoencoder and W


def refine_joint(history: HistoryOperator, start: Autoencoder, known: Moments) -> tuple[Autoencoder, Moments]:
    """Return an autoencoder with a lower error and its moments, or the given ones if the search finds none.

    A candidate whose encoder is unstable is rejected, whatever its error.
    """
    before = least_squares.error(known, start.decoder.blocks(history.lags))
    if before < NOTHING_TO_GAIN:
        return start, known
    dtype = torch.float32 if before > SINGLE else torch.float64
    sums_of = _sums_function(history, dtype)
    inputs = _input_covariance(history)

    def objective(matrices: list[Tensor]) -> tuple[float, list[Tensor]]:
        value, gradients = error_and_gradients(sums_of, Autoencoder(*matrices), history.lags, history.energy)
        return value / before, [gradient / before for gradient in gradients]

    best, states = start, known.states
    for _ in range(ROUNDS):
        unit = history.energy * before
        scales = factors(best, states / unit, inputs / unit, history.lags)
        best = Autoencoder(*descend(objective, best, scales, ITERATIONS, TOLERANCE))
        states = sums_of(best, lag_sum(best.C_x.T @ best.C_x, best.C_y, history.lags)).states.to(inputs)
    candidate, found = towards_principal(best, least_squares.moments(history, best.A, best.B), known)
    stable = float(torch.linalg.eigvals(candidate.B).abs().max()) <= 1
    better = least_squares.error(found, candidate.decoder.blocks(history.lags)) < before
    return (candidate, found) if stable and better else (start, known)


def error_and_gradients(sums_of: SumsOf, matrices: Autoencoder, lags: int, energy: float) -> tuple[float, list[Tensor]]:
    """Return the relative error and its gradients; autograd differentiates the small term through W."""
    with torch.enable_grad():
        C_x, C_y = (matrix.detach().requires_grad_() for matrix in matrices.decoder)
        weight = lag_sum(C_x.T @ C_x, C_y, lags)
        sums = sums_of(matrices, weight.detach())
        states = sums.states.to(weight)
        through_weight = torch.autograd.grad(
            (states * weight).sum(), (C_x, C_y), allow_unused=True, materialize_grads=True
        )
    value = energy - 2 * float(sums.cross) + float((states * weight.detach()).sum())
    gradients = [sums.A, sums.B, sums.C_x, sums.C_y]
    gradients = [gradient.to(weight.dtype) for gradient in gradients]
    gradients[2], gradients[3] = gradients[2] + through_weight[0], gradients[3] + through_weight[1]
    return value / energy, [gradient / energy for gradient in gradients]


def factors(matrices: Autoencoder, states: Tensor, inputs: Tensor, lags: int) -> list[Scale]:
    """Return the Kronecker factors of the Gauss–Newton matrix of each of A, B, C_x and C_y."""
    weight = lag_sum(matrices.C_x.T @ matrices.C_x, matrices.C_y, lags)
    encoder_weight = lag_sum(weight, matrices.B, lags)
    decoder_states = lag_sum(states, matrices.C_y.T, lags)
    eye = torch.eye(len(inputs), dtype=inputs.dtype, device=inputs.device)
    return [
        Scale.of(encoder_weight, inputs),
        Scale.of(encoder_weight, states),
        Scale.of(eye, decoder_states),
        Scale.of(weight, decoder_states),
    ]


def towards_principal(matrices: Autoencoder, found: Moments, known: Moments) -> tuple[Autoencoder, Moments]:
    """Change the basis, y' = T y, to bring the states closest to those of `known`: Tᵀ = (YᵀY)⁻¹ Yᵀ Y_known."""
    back = torch.linalg.solve(found.states, least_squares.inner(found.encoder, known.cross))
    forward, inverse = back.T, torch.linalg.inv(back.T)
    A, B, C_x, C_y = matrices
    changed = Autoencoder(forward @ A, forward @ B @ inverse, C_x @ inverse, forward @ C_y @ inverse)
    return changed, Moments(found.energy, found.encoder @ back, found.cross @ back, forward @ found.states @ back)


def _sums_function(history: HistoryOperator, dtype: torch.dtype) -> SumsOf:
    if "sequences" not in history.provides or history.decay != 1:
        return lambda given, weight: gram_sums(history, given.A, given.B, given.decoder, weight)
    packed = Packed(history.sequences(), dtype)

    def sums_of(matrices: Autoencoder, weight: Tensor) -> Sums:
        A, B, C_x, C_y = (matrix.to(dtype) for matrix in matrices)
        return packed.sums(A, B, Decoder(C_x, C_y), weight.to(dtype))

    return sums_of


def _input_covariance(history: HistoryOperator) -> Tensor:
    """XᵀX, (a, a): the Gram matrix of lag 0."""
    first = torch.zeros(history.lags, history.features, history.features, dtype=torch.float64, device=history.device)
    first[0] = torch.eye(history.features, dtype=torch.float64, device=history.device)
    return history.gram_matvec(first)[0]
