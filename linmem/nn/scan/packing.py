"""Rows of a packed batch: the first row of each step, the last row of each sequence, and the order that reverses time.

Symbols: row (t, i) is step t of the i-th longest sequence and stands at ``starts[t] + i``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from linmem.nn.scan.checks import check_tensor


def step_starts(batch_sizes: Sequence[int]) -> list[int]:
    """First row of every step."""
    starts, row = [], 0
    for size in batch_sizes:
        starts.append(row)
        row += size
    return starts


def _steps_sequences_lengths(batch_sizes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    sizes = torch.as_tensor(batch_sizes)
    step = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    sequence = torch.arange(len(step)) - torch.as_tensor(step_starts(batch_sizes))[step]
    return step, sequence, torch.bincount(sequence)


def steps_and_sequences(batch_sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Step and sequence of every row, (N,) each."""
    step, sequence, _ = _steps_sequences_lengths(batch_sizes)
    return step, sequence


def last_rows(batch_sizes: Sequence[int]) -> Tensor:
    """Row of the last step of each sequence, (B,)."""
    if batch_sizes[0] == batch_sizes[-1]:
        rows = batch_sizes[0] * len(batch_sizes)
        return torch.arange(rows - batch_sizes[0], rows)
    _, _, lengths = _steps_sequences_lengths(batch_sizes)
    return torch.as_tensor(step_starts(batch_sizes))[lengths - 1] + torch.arange(len(lengths))


def kept_rows(batch_sizes: Sequence[int]) -> Tensor:
    """Position of the row of step t and sequence i among blocks 0, 1, … with as many rows as step t - 1, (N,)."""
    step, sequence, _ = _steps_sequences_lengths(batch_sizes)
    return torch.as_tensor(step_starts([batch_sizes[0], *batch_sizes]))[step] + sequence


def previous_rows(batch_sizes: Sequence[int]) -> Tensor:
    """The row of the same sequence one step before, for every row of the steps after the first, (N - B,)."""
    return kept_rows(batch_sizes)[batch_sizes[0] :] - batch_sizes[0]


def reversed_rows(batch_sizes: Sequence[int]) -> Tensor:
    """The rows in the order that reverses every sequence in time, (N,); its own inverse."""
    step, sequence, lengths = _steps_sequences_lengths(batch_sizes)
    return torch.as_tensor(step_starts(batch_sizes))[lengths[sequence] - 1 - step] + sequence


class Rows(NamedTuple):
    """Input in the layout of scans: (T, B, a), or rows (N, a) with the batch sizes of a PackedSequence."""

    values: Tensor
    batch_sizes: tuple[int, ...] | None

    def reversed(self, values: Tensor) -> Tensor:
        """`values`, in the layout of this batch, with every sequence reversed in time."""
        if self.batch_sizes is None:
            return values.flip(0)
        return values[reversed_rows(self.batch_sizes).to(values.device)]


def to_rows(x: Tensor | PackedSequence, batch_first: bool) -> Rows:
    """The input of a layer in the layout of scans; ``ValueError`` or ``TypeError`` if it is not valid."""
    if isinstance(x, PackedSequence):
        return _packed_rows(x)
    check_tensor("input", x)
    if x.dim() not in (2, 3):
        raise ValueError(f"input must have 2 dimensions (unbatched) or 3, got shape {tuple(x.shape)}.")
    if 0 in x.shape[:-1]:
        raise ValueError(f"input must have at least one step and one sequence, got shape {tuple(x.shape)}.")
    if x.dim() == 2:
        return Rows(x.unsqueeze(1), None)
    return Rows(x.transpose(0, 1) if batch_first else x, None)


def _packed_rows(x: PackedSequence) -> Rows:
    sizes = x.batch_sizes.tolist()
    if x.data.dim() != 2 or x.data.shape[0] == 0:
        raise ValueError(f"packed input must have data of shape (rows, features), got {tuple(x.data.shape)}.")
    if sum(sizes) != x.data.shape[0]:
        raise ValueError(
            f"batch_sizes of the packed input must add up to its number of rows ({x.data.shape[0]}), got {sum(sizes)}."
        )
    if sizes[-1] < 1 or sizes != sorted(sizes, reverse=True):
        raise ValueError(
            f"batch_sizes of the packed input must be at least 1 and must not increase, got {sizes}. "
            "Pack sequences of length 1 or more."
        )
    return Rows(x.data, tuple(sizes))
