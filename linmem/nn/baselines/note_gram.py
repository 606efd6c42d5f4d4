"""N-grams of single notes: how often a note sounds next, given its own last n − 1 values.

    p(x_{t+1,j} = 1 | x_{t,j}, …, x_{t−n+2,j}) ≈ (count of 1 + s r) / (count + s)

with r the same rate over all notes, and s its weight, so that rare notes borrow from the others. n = 1 gives the
marginal of each note, n = 2 persistence with rates for every note. Counted, not trained; what a memory must beat.

Letters: T_i steps, a notes, n order, C = 2^(n−1) contexts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from linmem.nn.base import SequenceLayer


class NoteGram(SequenceLayer):
    """Predict every note from its own recent past, at the rates of the training set.

    Parameters
    ----------
    inputs, targets : the training frames and the frames that follow them, lists of (T_i, a), entries 0 or 1.
    order : n ≥ 1; 1 gives the marginals. Frames before a sequence are silent.
    smoothing : s > 0, how many observations the rate over all notes counts for.
    batch_first : whether batches are (B, T, a) instead of (T, B, a).

    Attributes
    ----------
    logits (C, a)
        A buffer; row c belongs to the context with x_{t−i} = bit i of c.
    """

    def __init__(
        self,
        inputs: list[Tensor],
        targets: list[Tensor],
        order: int = 2,
        smoothing: float = 2.0,
        *,
        batch_first: bool = True,
    ) -> None:
        super().__init__()
        self._check_sizes(order=order)
        if not smoothing > 0:
            raise ValueError(f"smoothing is {smoothing}, but a weight above 0 was wanted: it keeps rates off 0 and 1")
        self.order, self.input_size, self.batch_first = order, inputs[0].shape[1], batch_first
        seen, sounded = torch.zeros(2, 2 ** (order - 1), self.input_size, dtype=torch.float64)
        for x, y in zip(inputs, targets, strict=True):
            context = self._contexts(x.unsqueeze(1), self.start(x.unsqueeze(1)))[:, 0]
            seen.scatter_add_(0, context, torch.ones_like(context, dtype=torch.float64))
            sounded.scatter_add_(0, context, y.double())
        rate = (sounded.sum(1, keepdim=True) + 0.5) / (seen.sum(1, keepdim=True) + 1)
        self.register_buffer("logits", torch.logit((sounded + smoothing * rate) / (seen + smoothing)).to(inputs[0]))
        self.logits: Tensor

    @property
    def output_size(self) -> int:
        """Features of each output step."""
        return self.input_size

    def start(self, x: Tensor) -> Tensor:
        """The n − 2 silent frames before the first, the newest first, (1, B, (n − 2) a)."""
        return x.new_zeros(1, x.shape[1], max(self.order - 2, 0) * self.input_size)

    def recur(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (T, B, a) of x (T, B, a)."""
        frames = torch.cat([self._past(state), x])
        last = frames[len(x) :].flip(0).transpose(0, 1).flatten(1)
        return self.logits.gather(0, self._contexts(x, state).flatten(0, 1)).view_as(x), last.unsqueeze(0)

    def _past(self, state: Tensor) -> Tensor:
        """(n − 2, B, a) frames, the oldest first, of a state."""
        return state[0].unflatten(1, (max(self.order - 2, 0), self.input_size)).transpose(0, 1).flip(0)

    def _contexts(self, x: Tensor, state: Tensor) -> Tensor:
        """(T, B, a) the row of `logits` for every note of every frame."""
        if self.order == 1:
            return torch.zeros_like(x, dtype=torch.int64)
        frames = (torch.cat([self._past(state), x]) > 0.5).long()
        oldest, steps = self.order - 2, len(x)
        bits = [frames[oldest - i : oldest - i + steps] << i for i in range(self.order - 1)]
        return torch.stack(bits).sum(0)

    def extra_repr(self) -> str:
        """The order."""
        return f"order={self.order}"
