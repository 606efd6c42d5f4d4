"""Running a linear autoencoder: the states of sequences, and the inputs that a state remembers.

Letters: a features, p memory units. Encoding y_t = A (x_t − mean) + B y_{t-1}; decoding x̂_{t-i} = C_x C_yⁱ y_t + mean.
"""

from collections.abc import Sequence

from torch import Tensor

from linmem.sequences import length_buckets, pad

BATCH = 256


def encode(sequences: Sequence[Tensor], A: Tensor, B: Tensor, mean: Tensor | None) -> list[Tensor]:
    """(T_i, p) states after every step, one tensor a sequence; O(N p (a + p))."""
    out: list[Tensor] = [sequences[0]] * len(sequences)
    for members in length_buckets([len(sequence) for sequence in sequences], BATCH):
        padded = pad([sequences[index] for index in members]).values.transpose(0, 1)
        states = (padded if mean is None else padded - mean) @ A.T
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
