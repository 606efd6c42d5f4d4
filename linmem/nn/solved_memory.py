"""Solved memories with a feed-forward readout: a network without backpropagation through time.

    y_t^γ = A^γ (x_t − μ) + B^γ y_{t-1}^γ            one memory per lag decay γ, solved in closed form and fixed
    q_t   = [x_t, y_t^γ / s^γ, …]                    s^γ: root mean square of each unit in training, 1 for a NADE
    z_t   = W q_t + b (+ V relu(U q_t + c))          linear bypass; the second term not with ridge regression

z_t are logits, or the biases of a NADE. A NADE with two orders has hidden units of its own for each. For one with pitch
windows, q_t ends with the earlier frames that it reads, x_{t-1}, …; the maps W and U leave them out.

Symbols: B sequences, T steps, a inputs, o outputs, p units per memory, n memories, h hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from linmem.autoencoder.linear_recurrence import encode_from, is_preferred
from linmem.nn.nade import NADE, FrameDistribution
from linmem.nn.recent_frames import recent_frames
from linmem.nn.scan.checks import check_dtype_and_device, check_tensor
from linmem.nn.sequence_model import SequenceModel


class SolvedMemory(nn.Module):
    """Fixed linear memories that read the input.

    Parameters
    ----------
    input_size : int
        a.
    memory_size : int
        p, units per memory.
    memories : int
        n.
    recent : int
        Number of earlier frames at the end of the features.

    Examples
    --------
    >>> memory = SolvedMemory(3, 5, memories=2)
    >>> features, state = memory(torch.zeros(4, 10, 3))
    >>> features.shape, state.shape
    (torch.Size([4, 10, 13]), torch.Size([4, 10]))
    """

    A: Tensor
    B: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, input_size: int, memory_size: int, memories: int = 1, recent: int = 0) -> None:
        super().__init__()
        self.input_size, self.memory_size, self.memories = input_size, memory_size, memories
        self.output_size, self.recent = input_size + memories * memory_size, recent
        self.register_buffer("A", torch.zeros(memories, memory_size, input_size))
        self.register_buffer("B", torch.zeros(memories, memory_size, memory_size))
        self.register_buffer("mean", torch.zeros(memories, input_size))
        self.register_buffer("scale", torch.ones(memories, memory_size))

    def set_memory(self, index: int, A: Tensor, B: Tensor, mean: Tensor) -> None:
        """Set one memory to the encoder of a linear autoencoder: A (p, a), B (p, p), mean (a,)."""
        for buffer, value in ((self.A, A), (self.B, B), (self.mean, mean)):
            if buffer[index].shape != value.shape:
                raise ValueError(
                    f"encoder must have shape {tuple(buffer[index].shape)}, got {tuple(value.shape)}. Fit it to size."
                )
            buffer[index].copy_(value)

    @torch.no_grad()
    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute the features [x_t, y_t / s, x_{t-1}, …] of all steps, with r = `recent` earlier frames.

        Parameters
        ----------
        x : Tensor
            (B, T, a) or (T, a).
        state : Tensor, optional
            (B, n p + r a) or (n p + r a,), as returned by an earlier call.

        Returns
        -------
        features : Tensor
            (B, T, a + n p + r a) or (T, a + n p + r a).
        state : Tensor
            (B, n p + r a) or (n p + r a,).

        Raises
        ------
        ValueError
            The input or the state has another shape, or the input another dtype or device than the memory.
        """
        check_tensor("input", x)
        self._check(x, state)
        if x.dim() == 2:
            features, after = self(x[None], None if state is None else state[None])
            return features[0], after[0]
        batch, steps, _ = x.shape
        y, before = x.new_zeros(self.memories, batch, self.memory_size), None
        if state is not None:
            own, last = state.split([self.memories * self.memory_size, self.recent * self.input_size], 1)
            y = own.reshape(batch, self.memories, self.memory_size).transpose(0, 1)
            before = last.view(batch, self.recent, self.input_size)
        if is_preferred(steps, batch, self.A[0], self.B[0]):
            encoders = zip(self.A, self.B, self.mean, y[:, 0], strict=True)
            states = [encode_from(x[0] - mean, A, B, None, y_0)[:, None] for A, B, mean, y_0 in encoders]
        else:
            states = list(self._loop(x, y).unbind(1))
        state = torch.cat([one[-1] for one in states], -1)
        scaled = [one.div_(scale) for one, scale in zip(states, self.scale, strict=True)]
        features = torch.cat([x, *(one.transpose(0, 1) for one in scaled)], -1)
        if not self.recent:
            return features, state
        recent = recent_frames(x, self.recent + 1, before)
        return torch.cat([features, recent.frames[:, :, 1:].flatten(2)], -1), torch.cat(
            [state, recent.after.flatten(1)], 1
        )

    def _check(self, x: Tensor, state: Tensor | None) -> None:
        a, width = self.input_size, self.memories * self.memory_size + self.recent * self.input_size
        if x.dim() not in (2, 3) or x.shape[-1] != a or x.shape[-2] < 1:
            raise ValueError(
                f"input must have shape (B, T, {a}) or (T, {a}) with T >= 1, got {tuple(x.shape)}. Add or remove axes."
            )
        check_dtype_and_device("input", x, self.A)
        expected = (*x.shape[:-2], width)
        if state is not None and tuple(state.shape) != expected:
            raise ValueError(
                f"state must have shape {expected}, got {tuple(state.shape)}. Pass what the call before returned."
            )

    def _loop(self, x: Tensor, y: Tensor) -> Tensor:
        """States (T, n, B, p) of x (B, T, a) from y (n, B, p), all memories at once."""
        inputs = torch.einsum("ntbi,npi->tnbp", x.transpose(0, 1)[None] - self.mean[:, None, None], self.A)
        transition = self.B.transpose(1, 2).contiguous()
        states = torch.empty_like(inputs)
        for step in range(x.shape[1]):
            y = torch.baddbmm(inputs[step], y, transition, out=states[step])
        return states


class BlockDiagonal(nn.Module):
    """A linear map without bias whose blocks read equal parts of the input.

    Parameters
    ----------
    blocks, inputs, outputs : int
        Number of blocks, and the sizes of each.
    """

    def __init__(self, blocks: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(blocks, outputs, inputs))
        nn.init.uniform_(self.weight, -(inputs**-0.5), inputs**-0.5)  # as in nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        """`x` (…, blocks · inputs) → (…, blocks · outputs)."""
        parts = zip(x.chunk(len(self.weight), -1), self.weight, strict=True)
        return torch.cat([nn.functional.linear(part, weight) for part, weight in parts], -1)


class SolvedMemoryModel(SequenceModel):
    """Solved memories with a feed-forward readout, trained on single steps.

    Parameters
    ----------
    memory : SolvedMemory
    readout : Linear or NADE
        Maps the features to o logits, or to a joint distribution over o notes.
    hidden_size : int
        h, hidden units between features and outputs, in parallel to the readout; 0 for none.
    feature_dropout, hidden_dropout : float
        Probability of zeroing a feature, and a hidden unit.

    Examples
    --------
    >>> model = SolvedMemoryModel(SolvedMemory(3, 5), nn.Linear(8, 2), hidden_size=7)
    >>> model(torch.zeros(4, 10, 3))[0].shape
    torch.Size([4, 10, 2])
    """

    recurrent: SolvedMemory

    def __init__(
        self,
        memory: SolvedMemory,
        readout: nn.Linear | NADE,
        hidden_size: int = 0,
        feature_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
    ) -> None:
        super().__init__(memory, readout, feature_dropout, hidden_dropout)
        outputs, chains = self._linear().out_features, readout.orders if isinstance(readout, NADE) else 1
        self.hidden = nn.Linear(memory.output_size, chains * hidden_size) if hidden_size else None
        self.hidden_readout: nn.Linear | BlockDiagonal | None = None
        if hidden_size:
            self.hidden_readout = (
                nn.Linear(hidden_size, outputs, bias=False)
                if chains == 1
                else BlockDiagonal(chains, hidden_size, outputs // chains)
            )
        self.reads_features = False

    def predict(self, features: Tensor) -> Tensor | FrameDistribution:
        """Compute the logits (…, o), or the distributions, of features (…, a + n p) or (…, a + n p + r a)."""
        all_features, features = features, self.input_dropout(features[..., : self.recurrent.output_size])
        outputs: Tensor = self._linear()(features)
        if self.hidden is not None and self.hidden_readout is not None:
            outputs = outputs + self.hidden_readout(self.readout_dropout(torch.relu(self.hidden(features))))
        if not self.is_joint:
            return outputs
        return self.readout.distribution(outputs, self._recent(all_features) if self.readout.windows else None)

    def _recent(self, features: Tensor) -> Tensor:
        """The last frames (…, L, a) that the features hold."""
        a, width = self.recurrent.input_size, self.recurrent.output_size
        frames = torch.cat([features[..., :a], features[..., width:]], -1)
        return frames.view(*frames.shape[:-1], -1, a)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor | FrameDistribution, Tensor | None]:
        """`x` (B, T, a) or (T, a) → logits or distributions, and the state of the memories after the last step."""
        if self.reads_features:
            return self.predict(x), None
        features, state = self.recurrent(x, state)
        return self.predict(features), state


@contextmanager
def features_as_inputs(model: SolvedMemoryModel) -> Iterator[None]:
    """Let the model read features that were computed before, as in training on single steps."""
    model.reads_features = True
    try:
        yield
    finally:
        model.reads_features = False


def check_lag_decays(decays: Sequence[float]) -> None:
    """Check that every decay is above 0 and at most 1, and that there is one.

    Raises
    ------
    ValueError
    """
    if not decays or not all(0 < decay <= 1 for decay in decays):
        raise ValueError(f"lag_decay must be one or more numbers above 0 and at most 1, got {list(decays)}.")
