"""Static memories: linear recurrences m_t = A x_t + B m_{t-1} that are set, not trained. [E21.]

Each kind comes with the variants of which a validation split chooses one: a delay line with the number of input
directions that it holds (the fewer, the longer), an orthogonal memory with its radius, an LMU with directions and
window, an autoencoder with the length of the pieces that it is fitted to and the radius that it fades by; an
autoencoder as it was solved, of whole sequences, has nothing to choose.

Letters: a inputs, p memory units, q directions of the inputs, the strongest first.
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
WINDOWS = (1.0, 1.5, 2.0, 4.0, 8.0)  # of an LMU, in multiples of the units a direction has
PIECES: tuple[int | None, ...] = (None, 80, 40, 20, 10)  # steps
KINDS = ("delay line", "orthogonal", "LMU", "LAES as solved", "LAES")
DRAWN = ("orthogonal",)  # kinds that hang on the seed where the data do not


class Memory(NamedTuple):
    """One variant; float64."""

    chosen: str
    A: Tensor  # (p, a)
    B: Tensor  # (p, p)


def candidates(kind: str, sequences: Sequence[Tensor], p: int, seed: int) -> list[Memory]:
    """Variants of a kind of memory of p units for sequences (T_i, a), those of the training split."""
    if kind == "orthogonal":
        return orthogonal(sequences[0].shape[1], p, seed)
    if kind == "delay line":
        return delay_line(directions(sequences), p)
    if kind == "LMU":
        return legendre(directions(sequences), p)
    return [memory for length in _lengths(kind) for memory in fitted(sequences, p, length, seed, _radii(kind))]


def started(kind: str, waveform: Tensor, p: int, seed: int) -> list[Memory]:
    """Variants of a memory that an impulse starts and that then runs by itself, to reproduce `waveform` (T, o).

    The autoencoder is that of the reversed waveform: its last state is the start, its decoder the recurrence, which
    recalls the last input first.
    """
    impulse = torch.ones(1, 1, dtype=torch.float64)
    if kind == "orthogonal":
        return orthogonal(1, p, seed)
    if kind == "delay line":
        return delay_line(impulse, p)
    if kind == "LMU":
        return legendre(impulse, p)
    solved = solve([waveform.flip(0)], p, seed)
    start = torch.as_tensor(solved.transform([waveform.flip(0)])).double().T
    onward = torch.as_tensor(solved.C_)[waveform.shape[1] :]
    return faded(start, onward, _radii(kind))


def delay_line(inputs: Tensor, p: int) -> list[Memory]:
    """The last p / q values of the first q directions, `inputs` (r, a) their rows: A writes, B moves q places on."""
    found = []
    for q in _counts(len(inputs), p):
        A, B = inputs.new_zeros(p, inputs.shape[1]), inputs.new_zeros(p, p)
        A[:q] = inputs[:q]
        B[q:, : p - q] = torch.eye(p - q, dtype=torch.float64)
        found.append(Memory(f"{q} direction{'s' * (q > 1)}", A, B))
    return found


def legendre(inputs: Tensor, p: int) -> list[Memory]:
    """A window of each of the first q directions, by p / q Legendre coefficients; what does not divide stays unused."""
    found = []
    for q in _counts(len(inputs), p):
        order = p // q
        for window in WINDOWS:
            system = zero_order_hold(legendre_system(order, window * order))
            A = torch.kron(inputs[:q], system.B[:, None])  # rows q · order: direction by direction
            B = torch.kron(torch.eye(q, dtype=torch.float64), system.A)
            found.append(Memory(f"{q} direction{'s' * (q > 1)}, window {window * order:g}", *widened(A, B, p)))
    return found


def orthogonal(a: int, p: int, seed: int) -> list[Memory]:
    """A random rotation, shrunk by a radius, written to by Gaussian weights."""
    layer = orthogonal_(LMN(1, 1, p, dtype=torch.float64), seed=seed)
    write = torch.randn(p, a, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return faded(write, layer.get_parameter("weight_mm_l0").detach(), RADII)


def fitted(sequences: Sequence[Tensor], p: int, length: int | None, seed: int, radii: Sequence[float]) -> list[Memory]:
    """The encoder of an autoencoder of pieces of `length` steps, or of whole sequences; none if too few steps for p."""
    pieces = [piece for x in sequences for piece in x.split(length or len(x))]
    try:
        solved = solve(pieces, p, seed)
    except ValueError:  # the rank of short pieces is below p
        return []
    name = f"pieces of {length}, " if length else ""
    return faded(torch.as_tensor(solved.A_), torch.as_tensor(solved.B_), radii, name)


def faded(A: Tensor, B: Tensor, radii: Sequence[float], name: str = "") -> list[Memory]:
    """B times each of `radii`."""
    return [Memory(f"{name}radius {radius:g}", A.double(), radius * B.double()) for radius in radii]


def solve(sequences: Sequence[Tensor], p: int, seed: int) -> LinearAutoencoder:
    """The autoencoder of p units; only its encoder and the papers' decoder are needed."""
    return LinearAutoencoder(p, decoder="tied", random_state=seed).fit([x.double() for x in sequences])


def directions(sequences: Sequence[Tensor]) -> Tensor:
    """Orthonormal rows (r, a): the directions of the inputs by their energy, r their rank."""
    x = torch.cat(list(sequences)).double()
    values, vectors = torch.linalg.eigh(x.T @ x)
    return vectors.T.flip(0)[: int((values > 1e-10 * values[-1]).sum())]


def widened(A: Tensor, B: Tensor, p: int) -> tuple[Tensor, Tensor]:
    """The same memory with silent units, so that it has p."""
    missing = p - len(A)
    return pad(A, (0, 0, 0, missing)), pad(B, (0, missing, 0, missing))


def _lengths(kind: str) -> tuple[int | None, ...]:
    if kind not in KINDS:
        raise ValueError(f"unknown memory {kind!r}: the known ones are {', '.join(KINDS)}")
    return PIECES if kind == "LAES" else (None,)


def _radii(kind: str) -> tuple[float, ...]:
    return RADII if kind == "LAES" else (1.0,)


def _counts(rank: int, p: int) -> list[int]:
    """Numbers of directions to try: powers of two, and all."""
    most = min(rank, p)
    return sorted({2**i for i in range(most.bit_length()) if 2**i <= most} | {most})
