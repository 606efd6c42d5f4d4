"""Two linear recurrences over a set of sequences: the sums from which the reconstruction error and its gradient follow.

‖Ξ − Y Ωᵀ‖² = ‖Ξ‖² − 2 ⟨Ξ Ω, Y⟩ + ⟨YᵀY, ΩᵀΩ⟩, and Z = Ξ Ω is computed by a recurrence like that of the states:
    y_t = A x_t + B y_{t-1},    z_t = C_xᵀ x_t + C_yᵀ z_{t-1}.
The error of an autoencoder needs two forward passes and its gradient two backward passes. Ξ and Ω are never formed,
only W = ΩᵀΩ. All results are sums over sequences, hence over chunks and workers.

Sequences are packed by time step, longest first: every step is one product without padding.

Symbols: N steps of all sequences, a features, p memory units, n_t sequences longer than t steps.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from linmem.autoencoder.decoders.least_squares import Decoder, inner, powers
from linmem.autoencoder.history.operator import HistoryOperator


class Sums(NamedTuple):
    """Sums over sequences; the sums of several chunks or workers add up."""

    cross: Tensor  # (), ⟨Z, Y⟩
    states: Tensor  # (p, p), YᵀY
    A: Tensor  # (p, a), gradient of −2 ⟨Z, Y⟩ + ⟨YᵀY, W⟩ at fixed W
    B: Tensor  # (p, p)
    C_x: Tensor  # (a, p)
    C_y: Tensor  # (p, p)


class Packed:
    """Sequences packed by time step: the rows of step t, longest sequence first, then those of step t + 1."""

    def __init__(self, sequences: Iterable[Tensor], dtype: torch.dtype) -> None:
        ordered = sorted((sequence.to(dtype) for sequence in sequences), key=len, reverse=True)
        lengths = torch.tensor([len(sequence) for sequence in ordered])
        steps = torch.arange(int(lengths[0]))
        self.counts = (len(ordered) - torch.searchsorted(lengths.flip(0), steps, right=True)).tolist()
        self.starts = [0, *torch.tensor(self.counts).cumsum(0).tolist()]
        self.inputs = torch.cat(ordered).new_empty(self.starts[-1], ordered[0].shape[1])  # (N, a)
        starts = torch.tensor(self.starts)
        for row, sequence in enumerate(ordered):
            self.inputs[(starts[: len(sequence)] + row).to(sequence.device)] = sequence
        before = [torch.arange(s, s + n) for s, n in zip(self.starts, self.counts[1:], strict=False)]
        self.before = torch.cat(before or [starts[:0]]).to(
            self.inputs.device
        )  # row of the previous step, from step 1 on

    def forward(self, driven: Tensor, transition: Tensor) -> Tensor:
        """Compute row_t += row_{t-1} · transition in place, from the first step to the last."""
        for step, count in enumerate(self.counts[1:], 1):
            start, last = self.starts[step], self.starts[step - 1]
            driven[start : start + count].addmm_(driven[last : last + count], transition)
        return driven

    def backward(self, adjoint: Tensor, transition: Tensor) -> Tensor:
        """Compute row_{t-1} += row_t · transition in place, from the last step to the first."""
        for step in range(len(self.counts) - 1, 0, -1):
            start, last, count = self.starts[step], self.starts[step - 1], self.counts[step]
            adjoint[last : last + count].addmm_(adjoint[start : start + count], transition)
        return adjoint

    def sums(self, A: Tensor, B: Tensor, decoder: Decoder, weight: Tensor) -> Sums:
        """Return the sums of one evaluation; 8 N p² + 4 N a p multiplications."""
        Y = self.forward(self.inputs @ A.T, B.T.contiguous())
        Z = self.forward(self.inputs @ decoder.C_x, decoder.C_y)
        cross, states = (Y * Z).sum(dtype=torch.float64), Y.T @ Y
        later = self.counts[0]
        Y_before, Z_before = Y[self.before], Z[self.before]
        dY = self.backward((Y @ weight).sub_(Z).mul_(2), B)
        A_gradient, B_gradient = dY.T @ self.inputs, dY[later:].T @ Y_before
        dZ = self.backward(Y.mul_(-2), decoder.C_y.T.contiguous())
        return Sums(cross, states, A_gradient, B_gradient, self.inputs.T @ dZ, Z_before.T @ dZ[later:])


def gram_sums(history: HistoryOperator, A: Tensor, B: Tensor, decoder: Decoder, weight: Tensor) -> Sums:
    """Return the same sums from two products with the Gram matrix, for a history without sequences."""
    E, Omega = powers(A.T.contiguous(), B.T.contiguous(), history.lags), decoder.blocks(history.lags)
    GE, GO = history.gram_matvec(E), history.gram_matvec(Omega)
    E_first, E_step = _power_gradients(E, 2 * (GE @ weight - GO), B.T)
    O_first, O_step = _power_gradients(Omega, -2 * GE, decoder.C_y)
    return Sums((GE * Omega).sum(), inner(E, GE), E_first.T, E_step.T, O_first, O_step)


def _power_gradients(blocks: Tensor, adjoint: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Convert gradients in first · stepⁱ, (L, a, p), into those in `first` and `step`; overwrites `adjoint`."""
    running, transposed = torch.zeros_like(adjoint[0]), step.T.contiguous()
    for lag in range(len(blocks) - 1, -1, -1):
        running = adjoint[lag].addmm_(running, transposed)
    return adjoint[0], inner(blocks[:-1], adjoint[1:])
