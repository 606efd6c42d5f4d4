"""Time cut into chunks of steps, and the layout of states within one.

Within a chunk, states and gradients lie in blocks of rows, block t holding [m_{t-1}, h_t] or [δm_{t-1}, δv_t].
Block 0 has n_0 rows and block t + 1 has n_t rows, those of step t. Where sequences end (n_{t+1} < n_t), the last rows
of block t + 1 have no h.

Symbols: n_t rows of step t; p memory units.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from linmem.nn.scan.packing import kept_rows, previous_rows

ROWS_OF_A_CHUNK = 1024


class StepRange(NamedTuple):
    """Consecutive steps: the number of rows of each, and the range of rows of the whole batch that they cover."""

    sizes: tuple[int, ...]
    rows: slice

    @property
    def length(self) -> int:
        return self.rows.stop - self.rows.start

    @property
    def even(self) -> bool:
        return self.sizes[0] == self.sizes[-1]

    def kept(self, blocks: Tensor) -> Tensor:
        """The rows of all blocks except the last that have an h: one per row of x."""
        return blocks[: self.length] if self.even else blocks[kept_rows(self.sizes).to(blocks.device)]

    def memory_before(self, before: Tensor, memory: Tensor) -> Tensor:
        """m_{t-1} for each row of x, from m before the first step and m after every step (length, p)."""
        n = self.sizes[0]
        rest = memory[: self.length - n] if self.even else memory[previous_rows(self.sizes).to(memory.device)]
        return torch.cat([before, rest])


def chunks_of(sizes: tuple[int, ...], rows: int | None = None) -> list[StepRange]:
    """All steps, in chunks of about `rows` rows, 1024 by default."""
    rows = rows or ROWS_OF_A_CHUNK
    if sizes[0] == sizes[-1]:
        at_once = max(1, rows // sizes[0])
        firsts = range(0, len(sizes), at_once)
        return [
            StepRange(piece, slice(first * sizes[0], (first + len(piece)) * sizes[0]))
            for first, piece in ((first, sizes[first : first + at_once]) for first in firsts)
        ]
    chunks, first, start, stop = [], 0, 0, 0
    for step, size in enumerate(sizes):
        if step > first and stop + size - start > rows:
            chunks.append(StepRange(sizes[first:step], slice(start, stop)))
            first, start = step, stop
        stop += size
    return [*chunks, StepRange(sizes[first:], slice(start, stop))]
