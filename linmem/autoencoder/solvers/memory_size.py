"""How many directions: an integer, a share of the energy, or the knee of the spectrum.

Symbols: p memory units, σ_i singular values, bound(p) = 1 − Σ_{i≤p} σ_i² / ‖Ξ‖² (Eckart–Young).
"""

from numbers import Integral, Real

import torch
from torch import Tensor

from linmem.autoencoder.history.operator import HistoryOperator
from linmem.autoencoder.solvers.spectrum import Solver, Spectrum

DEFAULT_SIZE = 100  # memory_size=None: this many units, or the rank where that is lower
KNEE_WINDOW = 256  # "auto" searches for the knee among so many directions, or until 99 % of the energy
KNEE_ENERGY = 0.99
COUNTED = 2000  # above so many rows or columns a memory that cannot be filled is refused without counting directions


def check_memory_size(memory_size: int | float | str | None) -> None:
    """Raise ValueError unless `memory_size` is None, a positive integer, a float between 0 and 1, or "auto"."""
    if memory_size is None:
        good = True
    elif isinstance(memory_size, str):
        good = memory_size == "auto"
    elif isinstance(memory_size, bool):
        good = False
    elif isinstance(memory_size, Integral):
        good = memory_size >= 1
    else:
        good = isinstance(memory_size, Real) and 0 < memory_size < 1
    if not good:
        raise ValueError(
            "memory_size must be a positive integer, a share of the energy between 0 and 1, 'auto' or None, "
            f"got {memory_size!r}. Choose one of them."
        )


def leading(
    solver: Solver, history: HistoryOperator, memory_size: int | float | str | None, generator: torch.Generator
) -> tuple[Spectrum, int]:
    """Solve for as many directions as `memory_size` specifies; return the spectrum and p."""
    check_memory_size(memory_size)
    if memory_size is None:
        spectrum = solver(history, DEFAULT_SIZE, generator)
        return spectrum, min(DEFAULT_SIZE, len(spectrum.singular_values))
    if isinstance(memory_size, str):
        spectrum = solver(history, min(KNEE_WINDOW, history.lags * history.features), generator)
        return spectrum, knee(spectrum.singular_values, history.energy)
    if memory_size >= 1:
        if memory_size > (most := min(history.rows, history.lags * history.features)) > COUNTED:
            raise RankError(int(memory_size), most, counted=False)
        spectrum = solver(history, int(memory_size), generator)
        found = len(spectrum.singular_values)
        if memory_size > found:
            raise RankError(int(memory_size), found)
        return spectrum, int(memory_size)
    size = 32
    while True:
        spectrum = solver(history, size, generator)
        energy = spectrum.singular_values.square().cumsum(0) / history.energy
        enough = int((energy < memory_size).sum()) + 1
        if enough <= len(energy):
            return spectrum, enough
        if len(energy) < size:
            return spectrum, max(len(energy), 1)
        size *= 2


class RankError(ValueError):
    """The rank of the history matrix is lower than the memory size.

    `rank` is the number of its rows or columns, whichever is less, where the rank was not `counted`.
    """

    def __init__(self, memory_size: int, rank: int, counted: bool = True) -> None:
        super().__init__(memory_size, rank, counted)
        self.memory_size, self.rank, self.counted = memory_size, rank, counted

    def __str__(self) -> str:
        rank = str(self.rank) if self.counted else f"at most {self.rank}"
        return (
            f"memory_size must be at most the rank of the history matrix ({rank}), got {self.memory_size}. "
            "Lower memory_size."
        )


def knee(singular_values: Tensor, energy: float) -> int:
    """Return the p at which the error curve bound(p) lies furthest below the straight line between its ends.

    The curve runs from p = 0 to where 99 % of the energy is kept, or to the last singular value given.
    """
    kept = singular_values.square().cumsum(0) / energy
    last = min(int((kept < KNEE_ENERGY).sum()) + 1, len(kept))
    if last < 1:
        raise ValueError("sequences must not be all zero for memory_size='auto', got no energy. Check the data.")
    line = kept[last - 1] * torch.arange(1, last + 1, dtype=kept.dtype, device=kept.device) / last
    return int((kept[:last] - line).argmax()) + 1
