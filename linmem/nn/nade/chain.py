"""One chain of a NADE: the joint distribution over frames that visits the notes in one order.

    p(v_i = 1 | v_{<i}) = σ(b_i + f_i(v_{<i}) + V_i · relu(c + Σ_{j<i} W_j v_j))

f are the pitch windows of `linmem.nn.nade.windows`, 0 without them.

Symbols: M frames, D notes, H hidden units, K channels, L recent frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from linmem.nn.nade.chain_state import ChainState, Windows
from linmem.nn.nade.fused import nade_logits
from linmem.nn.nade.joint_sampling import Marginals, Voices, estimate_marginals, sample_frames
from linmem.nn.nade.reference import frame_nll
from linmem.nn.nade.windows import WindowWeights, window_logits


@dataclass(frozen=True)
class Chain:
    """Distributions over binary frames in one order of the notes, one for each of (…,) positions."""

    hidden_bias: Tensor  # c (…, H)
    note_bias: Tensor  # b (…, D)
    weight_in: Tensor  # W (D, H)
    weight_out: Tensor  # V (D, H)
    order: Tensor | None = None  # (D,), order[0] is the first note; None: ascending
    windows: WindowWeights | None = None
    channel_bias: Tensor | None = None  # u (…, K), with windows
    recent: Tensor | None = None  # (…, L, D), with windows

    def __getitem__(self, index: Any) -> Chain:
        """Return the distributions at some positions."""
        return self._at_positions(lambda x: x[index])

    def convert(self, function: Callable[[Tensor], Tensor]) -> Chain:
        """Apply a conversion of dtype or device to all tensors but the order."""
        windows = None if self.windows is None else self.windows.convert(function)
        w, v = function(self.weight_in), function(self.weight_out)
        return replace(self._at_positions(function), weight_in=w, weight_out=v, windows=windows)

    def rows(self) -> Chain:
        """Return the distributions with all positions in one dimension, (M,)."""
        batch = self.note_bias.dim() - 1
        return self._at_positions(lambda x: x.reshape(-1, *x.shape[batch:]))

    def nll(self, frames: Tensor) -> Tensor:
        """Exact negative log-likelihood (M,) of frames (M, D) in nats; positions in one dimension."""
        return frame_nll(self.logits(frames), frames)

    def logits(self, frames: Tensor) -> Tensor:
        """Logits (M, D) of every note given the notes before it in frames (M, D)."""
        windows = self._windows()
        bias = self.note_bias if windows is None else self.note_bias + window_logits(*windows, frames, self.order)
        return nade_logits(self.hidden_bias, bias, self.weight_in, self.weight_out, frames, self.order)

    def sample(
        self, given: Tensor | None = None, voices: Voices | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Sample frames (M, D); `given` (M, D) is NaN where a note is sampled. See `sample_frames`."""
        return sample_frames(
            self.hidden_bias,
            self.note_bias,
            self.weight_in,
            self.weight_out,
            order=self.order,
            given=given,
            voices=voices,
            generator=generator,
            windows=self._windows(),
        )

    def marginals(self, n_samples: int, generator: torch.Generator | None = None) -> Marginals:
        """Estimate the marginal probabilities (M, D) of the notes, with their standard errors."""
        return estimate_marginals(
            self.hidden_bias,
            self.note_bias,
            self.weight_in,
            self.weight_out,
            n_samples,
            order=self.order,
            generator=generator,
            windows=self._windows(),
        )

    def begin(self) -> ChainState:
        """State before the first note of every frame (M, D); positions in one dimension."""
        return ChainState(
            self.hidden_bias, self.note_bias, self.weight_in, self.weight_out, self.order, self._windows()
        )

    def _windows(self) -> Windows | None:
        if self.windows is None or self.recent is None or self.channel_bias is None:
            return None
        return self.windows, self.windows.before_frame(self.recent, self.channel_bias)

    def _at_positions(self, function: Callable[[Tensor], Tensor]) -> Chain:
        """Apply a function to the tensors that have positions."""
        return replace(
            self,
            hidden_bias=function(self.hidden_bias),
            note_bias=function(self.note_bias),
            channel_bias=None if self.channel_bias is None else function(self.channel_bias),
            recent=None if self.recent is None else function(self.recent),
        )
