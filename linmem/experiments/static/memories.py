"""Static memories: linear recurrences m_t = A x_t + B m_{t-1} that are set without training. [E21.]

Each kind has variants, of which a validation split chooses one: a delay line with the number of input directions that
it stores (the fewer, the longer), an orthogonal memory with its spectral radius, an LMU with directions and window, a
LAES with the length of the pieces that it is fitted to and a radius. "LAES as solved" is the papers': fitted to whole
sequences, without anything to choose.

Symbols: a inputs, p memory units, q principal directions of the inputs, the one with most energy first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.baselines import orthogonal_
from linmem.nn.baselines.lmu import legendre_system, zero_order_hold
from linmem.nn.lmn import LMN

RADII = (1.0, 0.97, 0.9, 0.8, 0.6, 0.4)
WINDOWS = (1.0, 1.5, 2.0, 4.0, 8.0)  # of an LMU, in multiples of the units per direction
PIECES: tuple[int | None, ...] = (None, 80, 40, 20, 10)  # steps; None: whole sequences
KINDS = ("delay line", "orthogonal", "LMU", "LAES as solved", "LAES")
RANDOM_KINDS = ("orthogonal",)  # kinds that depend on the seed where the data do not


class Memory(NamedTuple):
    """One variant; float64."""

    label: str
    A: Tensor  # (p, a)
    B: Tensor  # (p, p)


def candidates(kind: str, sequences: Sequence[Tensor], p: int, seed: int) -> list[Memory]:
    """Return the variants of a kind of memory of p units for the training sequences (T_i, a).

    Raises
    ------
    ValueError
        The kind is unknown.
    """
    if kind == "orthogonal":
        return orthogonal(sequences[0].shape[1], p, seed)
    if kind == "delay line":
        return delay_line(directions(sequences), p)
    if kind == "LMU":
        return legendre(directions(sequences), p)
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}. Choose one of these.")
    lengths = PIECES if kind == "LAES" else (None,)
    return [memory for length in lengths for memory in fitted(sequences, p, length, seed, _laes_radii(kind))]


def generators(kind: str, waveform: Tensor, p: int, seed: int) -> list[Memory]:
    """Return the variants of a memory that runs by itself after an impulse, to generate `waveform` (T, o).

    A LAES is fitted to the reversed waveform: its last state is the initial state, its decoder the recurrence, which
    decodes the last input first.
    """
    impulse = torch.ones(1, 1, dtype=torch.float64)
    if kind == "orthogonal":
        return orthogonal(1, p, seed)
    if kind == "delay line":
        return delay_line(impulse, p)
    if kind == "LMU":
        return legendre(impulse, p)
    solved = solve([waveform.flip(0)], p, seed)
    initial_state = torch.as_tensor(solved.transform([waveform.flip(0)])).double().T
    recurrence = torch.as_tensor(solved.C_)[waveform.shape[1] :]
    return scaled(initial_state, recurrence, _laes_radii(kind))


def delay_line(inputs: Tensor, p: int) -> list[Memory]:
    """Return memories of the last p / q values of the first q directions, the rows of `inputs` (r, a)."""
    variants = []
    for q in _direction_counts(len(inputs), p):
        A, B = inputs.new_zeros(p, inputs.shape[1]), inputs.new_zeros(p, p)
        A[:q] = inputs[:q]
        B[q:, : p - q] = torch.eye(p - q, dtype=torch.float64)
        variants.append(Memory(f"{q} direction{'s' * (q > 1)}", A, B))
    return variants


def legendre(inputs: Tensor, p: int) -> list[Memory]:
    """Return memories of p / q Legendre coefficients of a window of each of the first q directions, the rest unused."""
    variants = []
    for q in _direction_counts(len(inputs), p):
        order = p // q
        for window in WINDOWS:
            system = zero_order_hold(legendre_system(order, window * order))
            unused = p - q * order
            A = pad(torch.kron(inputs[:q], system.B[:, None]), (0, 0, 0, unused))  # q · order rows by direction
            B = pad(torch.kron(torch.eye(q, dtype=torch.float64), system.A), (0, unused, 0, unused))
            variants.append(Memory(f"{q} direction{'s' * (q > 1)}, window {window * order:g}", A, B))
    return variants


def orthogonal(a: int, p: int, seed: int, radii: Sequence[float] = RADII) -> list[Memory]:
    """Return a random orthogonal matrix times each radius, with Gaussian input weights."""
    layer = orthogonal_(LMN(1, 1, p, dtype=torch.float64), seed=seed)
    A = torch.randn(p, a, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return scaled(A, layer.get_parameter("weight_mm_l0").detach(), radii)


def fitted(sequences: Sequence[Tensor], p: int, length: int | None, seed: int, radii: Sequence[float]) -> list[Memory]:
    """Return the encoder of a LAES of pieces of `length` steps (None: whole sequences); [] if their rank is below p."""
    pieces = [piece for x in sequences for piece in x.split(length or len(x))]
    try:
        solved = solve(pieces, p, seed)
    except ValueError:  # the rank of short pieces is below p
        return []
    return scaled(torch.as_tensor(solved.A_), torch.as_tensor(solved.B_), radii, f"pieces of {length}, " * bool(length))


def scaled(A: Tensor, B: Tensor, radii: Sequence[float], prefix: str = "") -> list[Memory]:
    """Return A with B times each radius."""
    return [Memory(f"{prefix}radius {radius:g}", A.double(), radius * B.double()) for radius in radii]


def solve(sequences: Sequence[Tensor], p: int, seed: int) -> LinearAutoencoder:
    """Fit a LAES of p units with the papers' decoder; only its encoder is used."""
    return LinearAutoencoder(p, decoder="tied", random_state=seed).fit([x.double() for x in sequences])


def directions(sequences: Sequence[Tensor]) -> Tensor:
    """Return orthonormal rows (r, a): the principal directions of the inputs, r their rank."""
    x = torch.cat(list(sequences)).double()
    values, vectors = torch.linalg.eigh(x.T @ x)
    return vectors.T.flip(0)[: int((values > 1e-10 * values[-1]).sum())]


def _laes_radii(kind: str) -> tuple[float, ...]:
    return RADII if kind == "LAES" else (1.0,)


def _direction_counts(rank: int, p: int) -> list[int]:
    """Return the numbers of directions to try: powers of two, and the largest possible number."""
    most = min(rank, p)
    return sorted({2**i for i in range(most.bit_length()) if 2**i <= most} | {most})
