"""Static memories: linear recurrences m_t = A x_t + B m_{t-1} that are set without training. [E21.]

Each kind has seven variants, of which a validation split chooses one: a delay line with the number of input directions
that it stores (the fewer, the longer), then with a leak; an orthogonal memory with its spectral radius; an LMU with
directions and window; a LAES with its lag decay. "LAES as solved" is the papers': all lags alike, nothing to choose.

Symbols: a inputs, p memory units, q principal directions of the inputs, the one with most energy first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.baselines import orthogonal_
from linmem.nn.baselines.lmu import legendre_system, zero_order_hold
from linmem.nn.lmn import LMN

RADII = (1.0, 0.97, 0.9, 0.8, 0.6, 0.4, 0.2)
VARIANTS = len(RADII)
WINDOWS = (16.0, 8.0, 4.0, 3.0, 2.0, 1.5, 1.0)  # of an LMU, in multiples of the units per direction
LEAKS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85)  # of a delay line: the share of its value that a unit keeps
KINDS = ("LAES as solved", "LAES", "orthogonal", "delay line", "LMU")
RANDOM_KINDS = ("orthogonal",)  # kinds that depend on the seed where the data do not
Variant = TypeVar("Variant")


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
    solved = fitted(sequences, p, seed, 1.0)
    if kind == "LAES as solved":
        return [solved]
    found = [solved, *(one for decay in RADII[1:] if (one := _fitted_or_none(sequences, p, seed, decay)))]
    return [*found, *scaled(solved.A, solved.B, RADII[1:])][:VARIANTS]


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
    return scaled(initial_state, recurrence, RADII if kind == "LAES" else RADII[:1])


def delay_line(inputs: Tensor, p: int) -> list[Memory]:
    """Return memories of the last p / q values of the first q directions, the rows of `inputs` (r, a).

    With a leak μ a unit keeps the share μ of its value and takes the rest from the one before (a gamma memory).
    """
    variants = []
    counts = _direction_counts(len(inputs), p)
    for leak, q in ([(0.0, q) for q in counts] + [(leak, q) for leak in LEAKS[1:] for q in counts])[:VARIANTS]:
        A, B = inputs.new_zeros(p, inputs.shape[1]), leak * torch.eye(p, dtype=torch.float64)
        A[:q] = (1 - leak) * inputs[:q]
        B[q:, : p - q] += (1 - leak) * torch.eye(p - q, dtype=torch.float64)
        variants.append(Memory(f"{q} direction{'s' * (q > 1)}" + f", leak {leak:g}" * (leak > 0), A, B))
    return variants


def legendre(inputs: Tensor, p: int) -> list[Memory]:
    """Return memories of p / q Legendre coefficients of a window of each of the first q directions, the rest unused.

    Where not all pairs are tried, few directions have long windows, and many directions short ones.
    """
    variants = []
    for q, window in evenly([(q, window) for q in _direction_counts(len(inputs), p) for window in WINDOWS]):
        order = p // q
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


def fitted(sequences: Sequence[Tensor], p: int, seed: int, lag_decay: float) -> Memory:
    """Return the encoder of a LAES."""
    solved = solve(sequences, p, seed, lag_decay)
    return Memory(f"lag decay {lag_decay:g}", torch.as_tensor(solved.A_).double(), torch.as_tensor(solved.B_).double())


def _fitted_or_none(sequences: Sequence[Tensor], p: int, seed: int, lag_decay: float) -> Memory | None:
    try:
        return fitted(sequences, p, seed, lag_decay)
    except ValueError:  # the rank of the weighted past is below p
        return None


def scaled(A: Tensor, B: Tensor, radii: Sequence[float]) -> list[Memory]:
    """Return A with B times each radius."""
    return [Memory(f"radius {radius:g}", A.double(), radius * B.double()) for radius in radii]


def solve(sequences: Sequence[Tensor], p: int, seed: int, lag_decay: float = 1.0) -> LinearAutoencoder:
    """Fit a LAES of p units with the papers' decoder; only its encoder is used."""
    solver = LinearAutoencoder(p, decoder="tied", lag_decay=lag_decay, random_state=seed)
    return solver.fit([x.double() for x in sequences])


def evenly(variants: Sequence[Variant]) -> list[Variant]:
    """Return VARIANTS of the variants, evenly spaced; all where there are no more."""
    count = min(VARIANTS, len(variants))
    return [variants[round(i * (len(variants) - 1) / max(count - 1, 1))] for i in range(count)]


def directions(sequences: Sequence[Tensor]) -> Tensor:
    """Return orthonormal rows (r, a): the principal directions of the inputs, r their rank."""
    x = torch.cat(list(sequences)).double()
    values, vectors = torch.linalg.eigh(x.T @ x)
    return vectors.T.flip(0)[: int((values > 1e-10 * values[-1]).sum())]


def _direction_counts(rank: int, p: int) -> list[int]:
    """Return the numbers of directions to try: powers of two, and the largest possible number, at most VARIANTS."""
    most = min(rank, p)
    return evenly(sorted({2**i for i in range(most.bit_length()) if 2**i <= most} | {most}))
