"""The interface that the recurrent layers here share with `torch.nn.LSTM`; a subclass adds only its recurrence.

Called `y, state = layer(x, state)`: x is (T, B, a), (B, T, a) if `batch_first`, or (T, a) unbatched. A state is a
tensor (1, B, n), or a tuple of such tensors, (1, n) each where x is unbatched. Passed to the next call, it continues
the sequence: a sequence in chunks has the same outputs as the whole sequence. A layer whose parts update at different
steps has a clock in its state, (1, B) int64 on the CPU: the number of past steps, the same for a whole batch.

Symbols: T steps, B sequences, a inputs, n numbers of a state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from linmem.nn.scan.checks import check_dtype_and_device
from linmem.validation import check_count

Clocked = tuple[Tensor, Tensor]  # memory (1, B, n), clock (1, B)


def new_clock(x: Tensor) -> Tensor:
    """A clock (1, B) at 0 for sequences x (T, B, a)."""
    return torch.zeros(1, x.shape[1], dtype=torch.int64)


def read_clock(clock: Tensor) -> int:
    """The number of past steps of the sequences of a batch."""
    steps = clock.unique().tolist()
    if len(steps) != 1:
        raise ValueError(
            f"state must have the same number of past steps in all sequences of a batch, got {steps}. Split the batch."
        )
    return int(steps[0])


class SequenceLayer(nn.Module, ABC):
    """A recurrent layer of one direction; a subclass defines `start` and `recur` on batches with time first."""

    input_size: int
    batch_first: bool

    @property
    @abstractmethod
    def output_size(self) -> int:
        """Features of each output step."""

    @abstractmethod
    def start(self, x: Tensor) -> Any:
        """State before the first step of x (T, B, a): zeros like x."""

    @abstractmethod
    def recur(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs (T, B, o) and the state after the last step, from x (T, B, a), T ≥ 1, and a state."""

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run over whole sequences.

        Parameters
        ----------
        x : Tensor
            (T, B, a); (B, T, a) if `batch_first`; (T, a) unbatched.
        state : optional
            The state that an earlier call returned, to continue from there; zero by default.

        Returns
        -------
        y : Tensor
            Outputs in the layout of `x`, with `output_size` features.
        state
            State after the last step.

        Raises
        ------
        ValueError
            Wrong shape, dtype or device of `x` or `state`, or sequences without a step.
        TypeError
            `x` is not a tensor; a PackedSequence must be padded first.
        """
        if not isinstance(x, Tensor):
            raise TypeError(
                f"input must be a torch.Tensor, got {type(x).__name__}. Pad a PackedSequence with "
                "torch.nn.utils.rnn.pad_packed_sequence; padding at the end changes no earlier output."
            )
        if x.dim() not in (2, 3):
            raise ValueError(f"input must have 2 dimensions (unbatched) or 3, got shape {tuple(x.shape)}.")
        batched = x.dim() == 3
        rows = x.unsqueeze(1) if not batched else x.transpose(0, 1) if self.batch_first else x
        self._check_input(rows)
        begin = self.start(rows)
        if state is None:
            state = begin
        else:
            _check_state(state, begin if batched else _map(_without_batch, begin))
            state = state if batched else _map(_with_batch, state)
        y, state = self.recur(rows, state)
        if not batched:
            return y.squeeze(1), _map(_without_batch, state)
        return (y.transpose(0, 1) if self.batch_first else y), state

    @staticmethod
    def _check_sizes(**sizes: int) -> None:
        for name, size in sizes.items():
            check_count(name, size)

    def _check_input(self, x: Tensor) -> None:
        weight = next(chain(self.parameters(), self.buffers()))
        if x.shape[-1] != self.input_size:
            raise ValueError(
                f"input must have input_size={self.input_size} features in its last dimension, got {x.shape[-1]}."
            )
        if x.shape[0] == 0:
            raise ValueError(f"input must have at least one step, got shape {tuple(x.shape)}.")
        check_dtype_and_device("input", x, weight)


def _map(function: Callable[[Tensor], Tensor], state: Any) -> Any:
    """Apply a function to every tensor of a state."""
    return tuple(_map(function, part) for part in state) if isinstance(state, tuple) else function(state)


def _with_batch(part: Tensor) -> Tensor:
    return part.unsqueeze(1)


def _without_batch(part: Tensor) -> Tensor:
    return part.squeeze(1)


def _check_state(state: Any, expected: Any) -> None:
    if _describe(state) != _describe(expected):
        raise ValueError(
            f"state must be {_describe(expected)}, got {_describe(state)}. Pass the state of an earlier call."
        )


def _describe(state: Any) -> str:
    if isinstance(state, Tensor):
        place = f" on {state.device}" if state.dtype != torch.int64 else ""  # a clock may be on any device
        return f"{state.dtype} {tuple(state.shape)}{place}"
    if isinstance(state, tuple):
        return f"({', '.join(map(_describe, state))})"
    return type(state).__name__
