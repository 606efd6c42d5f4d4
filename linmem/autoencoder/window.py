"""The last K inputs of a stream and their weighted energy, in amortized constant time per step.

The stream is cut into blocks of K steps. A window of K steps then is the end of one block and the beginning of the
next: its energy is a sum over the end, known when the block is full, plus a running sum over the beginning. Nothing is
ever subtracted, so that a large value leaves no rounding behind when it leaves the window.

Symbols: K lags, B sequences, a features, γ lag decay, e_t = ‖x_t‖², r filled steps of the newer block.
E_t = Σ_{i<K} γ^{2i} e_{t-i}.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


class Block:
    """Up to K steps, (K, B, a), that are written once each; windows that follow each other share it."""

    def __init__(self, values: Tensor, filled: int = 0) -> None:
        self.values, self.filled = values, filled


@dataclass(frozen=True)
class Window:
    """The window before a step. It never changes: `extend` returns the one after, and may be called again."""

    older: Tensor  # (K, B, a) the last full block
    ends: Tensor  # (K + 1, B) weighted energy of the older block from each of its steps on, seen from its last; then 0
    newer: Block
    filled: int  # r
    begun: Tensor  # (B,) weighted energy of the newer block's r steps, seen from the last of them
    weight: float  # γ²

    @staticmethod
    def empty(like: Tensor, lags: int, count: int, features: int, decay: float) -> "Window":
        """Return the window before the first step of `count` sequences."""
        zero = like.new_zeros(1)
        newer = Block(like.new_empty(lags, count, features))
        older, ends = zero.expand(lags, count, features), zero.expand(lags + 1, count)
        return Window(older, ends, newer, 0, zero.expand(count), decay**2)

    @property
    def shape(self) -> torch.Size:
        """(K, B, a)."""
        return self.older.shape

    def extend(self, values: Tensor) -> tuple[Tensor, Tensor, "Window"]:
        """Take in (T, B, a) steps; return the steps that leave, the (T, B) energies, and the window after them."""
        window, leaving, energies = self, [], []
        for start in _block_starts(len(values), self.filled, len(self.older)):
            left, energy, window = window._fill(values[start : start + len(self.older) - window.filled])
            leaving.append(left)
            energies.append(energy)
        return torch.cat(leaving), torch.cat(energies), window

    def _fill(self, values: Tensor) -> tuple[Tensor, Tensor, "Window"]:
        """`extend` by steps that fit into the newer block."""
        stop, newer = self.filled + len(values), self.newer
        if newer.filled != self.filled:  # another window has gone on from here
            newer = Block(newer.values.clone(), self.filled)
        newer.values[self.filled : stop], newer.filled = values, stop
        steps = self._powers(0, len(values))
        begun = steps * (self.weight * self.begun + (values.square().sum(2) / steps).cumsum(0))
        energy = begun + self._powers(self.filled + 1, stop + 1) * self.ends[self.filled + 1 : stop + 1]
        after = Window(self.older, self.ends, newer, stop, begun[-1], self.weight)
        return self.older[self.filled : stop], energy, after if stop < len(self.older) else after._next_block()

    def _next_block(self) -> "Window":
        """Return the window with the full newer block as its older one."""
        full = self.newer.values
        weighted = full.square().sum(2) * self._powers(0, len(full)).flip(0)
        ends = torch.cat([weighted.flip(0).cumsum(0).flip(0), torch.zeros_like(weighted[:1])])
        return Window(full, ends, Block(torch.empty_like(full)), 0, torch.zeros_like(self.begun), self.weight)

    def _powers(self, start: int, stop: int) -> Tensor:
        """γ^{2i} of i from start to stop − 1, a column."""
        return (self.weight ** torch.arange(start, stop, dtype=self.older.dtype, device=self.older.device))[:, None]


def _block_starts(steps: int, filled: int, lags: int) -> list[int]:
    """Steps at which a part of `steps` steps begins so that no part crosses the end of a block."""
    return [0, *range(lags - filled, steps, lags)]
