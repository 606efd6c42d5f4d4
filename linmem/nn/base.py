"""The manners that all recurrent layers here share with `torch.nn.LSTM`; a layer itself writes its recurrence alone.

Called `y, state = layer(x, state)`: x is (T, B, a), (B, T, a) if `batch_first`, or (T, a) unbatched. A state is a
tensor (1, B, n), or a tuple of such tensors, (1, n) each where x is unbatched. Given back, it goes on where it was: a
sequence in chunks gives what the whole sequence gives. A layer whose parts move at different steps has a clock in its
state, (1, B) int64 on the CPU: the steps that each sequence has behind it, the same for a whole batch.

Letters: T steps, B sequences, a inputs, n numbers of a state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import chain
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

Clocked = tuple[Tensor, Tensor]  # memory (1, B, n), clock (1, B)


def new_clock(x: Tensor) -> Tensor:
    """A clock (1, B) at 0 for sequences x (T, B, a)."""
    return torch.zeros(1, x.shape[1], dtype=torch.int64)


def read_clock(clock: Tensor) -> int:
    """Steps that the sequences of a batch have behind them."""
    steps = clock.unique().tolist()
    if len(steps) != 1:
        raise ValueError(
            f"the clocks of this batch show {steps}: only sequences that are equally far can go on together"
        )
    return int(steps[0])


class SequenceLayer(nn.Module, ABC):
    """A recurrent layer of one direction; a subclass gives `start` and `recur` on batches with time first."""

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
        """Outputs (T, B, o) and the state after the last step, of x (T, B, a), T ≥ 1, and a state of its own kind."""

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run over whole sequences.

        Parameters
        ----------
        x : Tensor
            (T, B, a); (B, T, a) if `batch_first`; (T, a) unbatched.
        state : optional
            What an earlier call returned, to go on from there; by default a sequence begins.

        Returns
        -------
        y : Tensor
            Outputs in the layout of `x`, with `output_size` features.
        state
            State after the last step.

        Raises
        ------
        ValueError
            Wrong shape, type or device of `x` or `state`, or sequences without a step.
        TypeError
            `x` is no tensor; a PackedSequence has to be padded.
        """
        if not isinstance(x, Tensor):
            raise TypeError(
                f"input is {type(x).__name__}, expected a torch.Tensor: unpack a PackedSequence with"
                " torch.nn.utils.rnn.pad_packed_sequence, padding at the end changes nothing before it"
            )
        if x.dim() not in (2, 3):
            raise ValueError(f"input must have 2 dimensions (unbatched) or 3, got shape {tuple(x.shape)}")
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
            if not isinstance(size, Integral) or size < 1:
                raise ValueError(f"{name} must be at least 1, got {size!r}: a whole number was wanted")

    def _check_input(self, x: Tensor) -> None:
        weight = next(chain(self.parameters(), self.buffers()))
        if x.shape[-1] != self.input_size:
            raise ValueError(f"input has {x.shape[-1]} features in its last dimension, expected {self.input_size}")
        if x.shape[0] == 0:
            raise ValueError("input has no time step: at least one was wanted")
        if (x.dtype, x.device) != (weight.dtype, weight.device):
            raise ValueError(
                f"input is {x.dtype} on {x.device}, but the parameters are {weight.dtype} on {weight.device}: "
                "convert or move one of them"
            )


def _map(function: Callable[[Tensor], Tensor], state: Any) -> Any:
    """Apply a function to every tensor of a state."""
    return tuple(_map(function, part) for part in state) if isinstance(state, tuple) else function(state)


def _with_batch(part: Tensor) -> Tensor:
    return part.unsqueeze(1)


def _without_batch(part: Tensor) -> Tensor:
    return part.squeeze(1)


def _check_state(state: Any, wanted: Any) -> None:
    came, needed = _describe(state), _describe(wanted)
    if came != needed:
        raise ValueError(f"state is {came}, expected {needed}: give back what an earlier call on this batch returned")


def _describe(state: Any) -> str:
    if isinstance(state, Tensor):
        place = f" on {state.device}" if state.dtype != torch.int64 else ""  # a clock may be anywhere
        return f"{state.dtype} {tuple(state.shape)}{place}"
    if isinstance(state, tuple):
        return f"({', '.join(map(_describe, state))})"
    return type(state).__name__
