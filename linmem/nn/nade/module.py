"""A NADE as a readout: linear maps from features to its biases, and the distribution over frames that they define.

    [c, b] = W_q q + b_q,      p(v_i = 1 | v_{<i}, q) = σ(b_i + V_i · relu(c + Σ_{j<i} W_j v_j))

Symbols: q features, D notes, H hidden units, M frames. Larochelle & Murray (AISTATS 2011); [B12].
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from linmem.nn.nade.fused import nade_nll
from linmem.nn.nade.joint_sampling import Marginals, Voices, estimate_marginals, sample_frames

ORDERS = ("ascending", "descending")
WEIGHT_STD = 0.05  # standard deviation of W and V at the start


@dataclass(frozen=True)
class FrameDistribution:
    """A joint distribution over binary frames for each of (…,) positions; it is indexed like a tensor of positions."""

    hidden_bias: Tensor  # c (…, H)
    note_bias: Tensor  # b (…, D)
    weight_in: Tensor  # W (D, H)
    weight_out: Tensor  # V (D, H)
    order: Tensor | None  # (D,), order[0] is the first note; None: ascending

    def __getitem__(self, index: Any) -> FrameDistribution:
        """Return the distributions at some positions."""
        return replace(self, hidden_bias=self.hidden_bias[index], note_bias=self.note_bias[index])

    def __len__(self) -> int:
        return len(self.note_bias)

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.note_bias.device

    def float(self) -> FrameDistribution:
        """Return the distributions with parameters in float32."""
        c, b, w, v = (x.float() for x in (self.hidden_bias, self.note_bias, self.weight_in, self.weight_out))
        return FrameDistribution(c, b, w, v, self.order)

    def cpu(self) -> FrameDistribution:
        """Return the distributions with parameters on the CPU."""
        c, b, w, v = (x.cpu() for x in (self.hidden_bias, self.note_bias, self.weight_in, self.weight_out))
        return FrameDistribution(c, b, w, v, None if self.order is None else self.order.cpu())

    def nll(self, frames: Tensor) -> Tensor:
        """Exact negative log-likelihood (…,) of frames (…, D) in nats."""
        c, b = self._rows()
        return nade_nll(c, b, self.weight_in, self.weight_out, frames.reshape(b.shape), self.order).view(
            frames.shape[:-1]
        )

    def sample(
        self,
        given: Tensor | None = None,
        voices: Voices | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Sample frames (…, D); `given` is (…, D) with NaN where a note is sampled. See `sample_frames`."""
        c, b = self._rows()
        given = None if given is None else given.reshape(b.shape)
        frames = sample_frames(
            c, b, self.weight_in, self.weight_out, order=self.order, given=given, voices=voices, generator=generator
        )
        return frames.view(self.note_bias.shape)

    def marginals(self, n_samples: int = 100, generator: torch.Generator | None = None) -> Marginals:
        """Estimate the marginal probabilities (…, D) of the notes, with their standard errors."""
        c, b = self._rows()
        estimate = estimate_marginals(
            c, b, self.weight_in, self.weight_out, n_samples, order=self.order, generator=generator
        )
        return Marginals(*(x.view(self.note_bias.shape) for x in estimate))

    def _rows(self) -> tuple[Tensor, Tensor]:
        return self.hidden_bias.reshape(-1, self.hidden_bias.shape[-1]), self.note_bias.reshape(
            -1, self.note_bias.shape[-1]
        )


class NADE(nn.Module):
    """Joint distribution over the notes of a frame, given features.

    Parameters
    ----------
    features : int
        Size of q.
    notes : int
        D.
    hidden_size : int
        H.
    order : str
        "ascending" or "descending": in which order the chain visits the notes. With "descending", notes above a given
        one come before it, so that a given soprano is conditioned on exactly.

    Attributes
    ----------
    biases : Linear
        From features to [c, b], (H + D) outputs.
    weight_in, weight_out : Parameter
        W and V, (D, H) each.

    Raises
    ------
    ValueError
        A size is below 1, or the order is unknown.

    Notes
    -----
    Costs O(M k H D) with k the mean number of sounding notes per frame; see `linmem.nn.nade.fused`.

    Examples
    --------
    >>> nade = NADE(features=10, notes=88, hidden_size=50)
    >>> features, frames = torch.randn(4, 10), (torch.rand(4, 88) < 0.05).float()
    >>> nade(features, frames).shape
    torch.Size([4])
    >>> nade.sample(features, voices=Voices(minimum=4, maximum=4)).sum(1)
    tensor([4., 4., 4., 4.])
    """

    def __init__(
        self,
        features: int,
        notes: int,
        hidden_size: int,
        order: str = "ascending",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("features", features), ("notes", notes), ("hidden_size", hidden_size)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        if order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {order!r}.")
        self.in_features, self.notes, self.hidden_size, self.order = features, notes, hidden_size, order
        self.biases = nn.Linear(features, hidden_size + notes, device=device, dtype=dtype)
        self.weight_in = nn.Parameter(torch.empty(notes, hidden_size, device=device, dtype=dtype))
        self.weight_out = nn.Parameter(torch.empty(notes, hidden_size, device=device, dtype=dtype))
        nn.init.normal_(self.weight_in, std=WEIGHT_STD)
        nn.init.normal_(self.weight_out, std=WEIGHT_STD)

    @property
    def note_bias(self) -> Tensor:
        """Constant part of b, (D,), a view of the linear map's bias."""
        return self.biases.bias[self.hidden_size :]

    @torch.no_grad()
    def set_note_biases_(self, weight: Tensor, bias: Tensor) -> None:
        """Set the map from features to b, which is that of a linear readout of independent notes: (D, q) and (D,)."""
        self.biases.weight[self.hidden_size :].copy_(weight)
        self.biases.bias[self.hidden_size :].copy_(bias)

    def distribution(self, biases: Tensor) -> FrameDistribution:
        """Return the distributions with the biases [c, b] (…, H + D)."""
        c, b = biases.split([self.hidden_size, self.notes], -1)
        order = torch.arange(self.notes - 1, -1, -1, device=b.device) if self.order == "descending" else None
        return FrameDistribution(c, b, self.weight_in, self.weight_out, order)

    def forward(self, features: Tensor, frames: Tensor) -> Tensor:
        """Exact negative log-likelihood (…,) in nats of frames (…, D), given features (…, q)."""
        return self.distribution(self.biases(features)).nll(frames)

    def sample(
        self,
        features: Tensor,
        given: Tensor | None = None,
        voices: Voices | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Sample frames (…, D), given features (…, q) and, where `given` (…, D) is not NaN, notes."""
        return self.distribution(self.biases(features)).sample(given, voices, generator)

    def marginals(self, features: Tensor, n_samples: int = 100, generator: torch.Generator | None = None) -> Marginals:
        """Estimate the marginal probabilities of the notes from samples, with their standard errors, (…, D) each."""
        return self.distribution(self.biases(features)).marginals(n_samples, generator)
