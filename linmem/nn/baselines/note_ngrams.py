"""N-grams of single notes: the probability that a note sounds, given its own last n − 1 values.

    p(x_{t+1,j} = 1 | x_{t,j}, …, x_{t−n+2,j}) ≈ (count of 1 + s r) / (count + s)

r is the same rate over all notes and s its weight (additive smoothing for rare notes). n = 1 is the marginal of each
note, n = 2 persistence with a rate for every note. The model is counted, not trained, and serves as a baseline.

Symbols: T_i steps, a notes, n order, C = 2^(n−1) contexts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from linmem.nn.base import SequenceLayer


class NoteGram(SequenceLayer):
    """Predict each note from its own last values, at the rates of the training set.

    Parameters
    ----------
    inputs, targets : list of Tensor
        Training frames and the frames that follow them, (T_i, a) each, with entries 0 or 1.
    order : int
        n ≥ 1; 1 gives the marginals. Frames before a sequence are zero.
    smoothing : float
        s > 0, the number of observations that the rate over all notes counts for.
    batch_first : bool
        Whether inputs are (B, T, a) instead of (T, B, a).

    Attributes
    ----------
    logits (C, a)
        Buffer; row c belongs to the context with x_{t−i} = bit i of c.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [1.0], [0.0], [1.0], [0.0]])
    >>> model = NoteGram([x[:-1]], [x[1:]], order=2)
    >>> model(x[None])[0].sigmoid().round(decimals=1).flatten()  # after a 0 comes a 1
    tensor([0.9000, 0.1000, 0.9000, 0.1000, 0.9000])
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
            raise ValueError(f"smoothing must be greater than 0, got {smoothing}. It keeps rates away from 0 and 1.")
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
        """The n − 2 zero frames before the first step, the newest first, (1, B, (n − 2) a)."""
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
        """Row of `logits` for every note of every frame, (T, B, a)."""
        if self.order == 1:
            return torch.zeros_like(x, dtype=torch.int64)
        frames = (torch.cat([self._past(state), x]) > 0.5).long()
        oldest, steps = self.order - 2, len(x)
        bits = [frames[oldest - i : oldest - i + steps] << i for i in range(self.order - 1)]
        return torch.stack(bits).sum(0)

    def extra_repr(self) -> str:
        """Order of the model."""
        return f"order={self.order}"
