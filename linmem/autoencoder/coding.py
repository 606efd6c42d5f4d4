"""Running a linear autoencoder: the states of sequences, the inputs that a state remembers, and how well it does.

Symbols: a features, p memory units, K lags, γ lag decay, T steps of B sequences.
Encoding y_t = A (x_t − mean) + B y_{t-1}; decoding x̂_{t-i} = C_x C_yⁱ y_t + mean.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from linmem.autoencoder.decoders.least_squares import Decoder
from linmem.autoencoder.decoders.refine_decoder import lag_sum
from linmem.autoencoder.linear_recurrence import encode_long, is_preferred
from linmem.autoencoder.window import Window
from linmem.sequences import length_buckets, pad

BATCH = 256
WINDOW_NUMBERS = 4_000_000  # numbers of a batch's window, two blocks of K inputs: 32 MB


def encode(sequences: Sequence[Tensor], A: Tensor, B: Tensor, mean: Tensor | None) -> list[Tensor]:
    """(T_i, p) states after every step, one tensor per sequence; O(N p (a + p))."""
    out: list[Tensor] = [sequences[0]] * len(sequences)
    for members in length_buckets([len(sequence) for sequence in sequences], BATCH):
        padded = pad([sequences[index] for index in members]).values.transpose(0, 1)
        centred = padded if mean is None else padded - mean
        if is_preferred(len(padded), len(members), A, B):
            out[members[0]] = encode_long(centred[:, 0], A, B)
            continue
        states = centred @ A.T
        transition = B.T.contiguous()
        for step in range(1, len(states)):
            states[step].addmm_(states[step - 1], transition)
        for column, index in enumerate(members):
            out[index] = states[: len(sequences[index]), column].clone()
    return out


def decode(states: Tensor, blocks: Tensor, mean: Tensor | None) -> Tensor:
    """(n, L, a): the last L inputs of each of n states, oldest first, by the decoder's blocks Ω (L, a, p)."""
    lags, features, _ = blocks.shape
    newest_first = (states @ blocks.flatten(0, 1).T).view(len(states), lags, features)
    return newest_first.flip(1) if mean is None else newest_first.flip(1) + mean


class ScoreState(NamedTuple):
    """What scoring carries from one step to the next, of B sequences."""

    y: Tensor  # (B, p) state
    z: Tensor  # (B, p) Ωᵀ ξ_t
    recent: Window  # (K, B, a) last K inputs and ‖ξ_t‖²


class Scorer:
    """The error ‖ξ_t − Ω y_t‖² at every step, from two recurrences, O(p (a + p)) per step.

    With Ω_i = C_x (γ C_y)ⁱ, the error is ‖ξ_t‖² − 2 ⟨z_t, y_t⟩ + ⟨y_t, ΩᵀΩ y_t⟩, where z_t = Ωᵀ ξ_t follows from its
    value one step before, less the input that leaves the window of K lags. The weight ΩᵀΩ costs O(p³ log K), once.
    """

    def __init__(self, A: Tensor, B: Tensor, decoder: Decoder, decay: float, lags: int) -> None:
        self.A, self.B, self.decay, self.lags = A, B, decay, lags
        step = decay * decoder.C_y
        self.first, self.step = decoder.C_x, decay * step
        self.last = decoder.C_x @ torch.linalg.matrix_power(self.step, lags)
        self.weight = lag_sum(decoder.C_x.T @ decoder.C_x, step, lags)

    def start(self, count: int) -> ScoreState:
        """Return the state before the first step of `count` sequences."""
        p, a = self.A.shape
        zero = self.A.new_zeros(count, p)
        return ScoreState(zero, zero, Window.empty(zero, self.lags, count, a, self.decay))

    def __call__(self, values: Tensor, state: ScoreState) -> tuple[Tensor, ScoreState]:
        """Return the (T, B) errors of (T, B, a) steps, centred, and the state after them."""
        leaving, energy, recent = state.recent.extend(values)
        y, z = values @ self.A.T, values @ self.first - leaving @ self.last
        before = state.y, state.z
        for t in range(len(values)):
            y[t] += before[0] @ self.B.T
            z[t] += before[1] @ self.step
            before = y[t], z[t]
        errors = energy - 2 * (z * y).sum(2) + ((y @ self.weight) * y).sum(2)
        return errors.clamp_min(0), ScoreState(*before, recent)

    def score(self, sequences: Sequence[Tensor]) -> list[Tensor]:
        """(T_i,) errors, one tensor per sequence."""
        out: list[Tensor] = [sequences[0]] * len(sequences)
        batch = max(1, min(BATCH, WINDOW_NUMBERS // (2 * self.lags * self.A.shape[1])))
        for members in length_buckets([len(sequence) for sequence in sequences], batch):
            padded = pad([sequences[index] for index in members]).values.transpose(0, 1)
            errors, _ = self(padded, self.start(len(members)))
            for column, index in enumerate(members):
                out[index] = errors[: len(sequences[index]), column].clone()
        return out
