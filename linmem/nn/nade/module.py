"""A NADE as a readout: linear maps from features to its biases, and the distribution over frames that they define.

    [c, b, u] = W_q q + b_q,      p(v_i = 1 | v_{<i}, q) = σ(b_i + f_i + V_i · relu(c + Σ_{j<i} W_j v_j))

With windows, f_i reads the neighbourhood of note i in the recent frames and in the frame itself, else f_i = 0 and there
is no u. With two orders there are two chains, one from the lowest note up and one from the highest note down, and their
probabilities are averaged.

Symbols: q features, D notes, H hidden units, O orders, K channels, L recent frames, M frames. Larochelle & Murray
(AISTATS 2011); [B12].
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from linmem.nn.nade.chain import Chain
from linmem.nn.nade.distribution import FrameDistribution
from linmem.nn.nade.joint_sampling import Marginals, Voices
from linmem.nn.nade.windows import PitchWindows

ORDERS = ("ascending", "descending")
KINDS = ("plain", "windows")
WEIGHT_STD = 0.05  # standard deviation of W and V at the start


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
        "ascending" or "descending": in which order the first chain visits the notes. With "descending", notes above a
        given one come before it, so that a given soprano is conditioned on exactly.
    orders : int
        O, 1 or 2: with 2, a second chain visits the notes in the opposite order.
    kind : str
        "plain", or "windows": logits also read pitch windows (`linmem.nn.nade.windows`).

    Attributes
    ----------
    biases : Linear
        From features to [c, b, u] of every chain, O (H + D + K) outputs.
    weight_in, weight_out : Parameter
        W and V, (O, D, H) each.
    windows : ModuleList
        One `PitchWindows` per chain, or none.

    Raises
    ------
    ValueError
        A size is below 1, or the order, the number of orders or the kind is unknown.

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
        orders: int = 1,
        kind: str = "plain",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("features", features), ("notes", notes), ("hidden_size", hidden_size)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        if order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {order!r}.")
        if orders not in (1, 2):
            raise ValueError(f"orders must be 1 or 2, got {orders!r}.")
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}.")
        self.in_features, self.notes, self.hidden_size, self.order, self.orders = (
            features,
            notes,
            hidden_size,
            order,
            orders,
        )
        windows = [PitchWindows(notes, device=device, dtype=dtype) for _ in range(orders)] if kind == "windows" else []
        self.windows = nn.ModuleList(windows)
        self.channels = windows[0].channels if windows else 0
        self.recent = windows[0].recent if windows else 0
        outputs = orders * (hidden_size + notes + self.channels)
        self.biases = nn.Linear(features, outputs, device=device, dtype=dtype)
        self.weight_in = nn.Parameter(torch.empty(orders, notes, hidden_size, device=device, dtype=dtype))
        self.weight_out = nn.Parameter(torch.empty(orders, notes, hidden_size, device=device, dtype=dtype))
        nn.init.normal_(self.weight_in, std=WEIGHT_STD)
        nn.init.normal_(self.weight_out, std=WEIGHT_STD)

    @property
    def harmonizes(self) -> bool:
        """Whether one of the chains is descending, so that voices can be sampled below a given soprano."""
        return self.orders == 2 or self.order == "descending"

    @property
    def note_bias(self) -> Tensor:
        """Constant part of b in the first chain, (D,), a view of the linear map's bias."""
        return self._per_chain(self.biases.bias)[0, self.hidden_size : self.hidden_size + self.notes]

    @torch.no_grad()
    def set_note_biases_(self, weight: Tensor | None, bias: Tensor) -> None:
        """Set the map from features to b of every chain, as in a linear readout of independent notes.

        Parameters
        ----------
        weight : Tensor or None
            (D, q); None leaves it.
        bias : Tensor
            (D,).
        """
        rows = slice(self.hidden_size, self.hidden_size + self.notes)
        if weight is not None:
            self._per_chain(self.biases.weight)[:, rows].copy_(weight)
        self._per_chain(self.biases.bias)[:, rows].copy_(bias)

    def distribution(self, biases: Tensor, recent: Tensor | None = None) -> FrameDistribution:
        """Return the distributions with given biases.

        Parameters
        ----------
        biases : Tensor
            [c, b, u] of every chain, (…, O (H + D + K)).
        recent : Tensor, optional
            (…, L, D), the L frames before each one, the most recent first; needed with windows.
        """
        if self.windows and recent is None:
            raise ValueError(f"recent must be the last {self.recent} frames for a NADE with windows, got None.")
        chains = []
        for index, part in enumerate(biases.chunk(self.orders, -1)):
            c, b, u = part.split([self.hidden_size, self.notes, self.channels], -1)
            descending = (self.order == "descending") != (index == 1)
            order = torch.arange(self.notes - 1, -1, -1, device=b.device) if descending else None
            w, v = self.weight_in[index], self.weight_out[index]
            chain = Chain(c, b, w, v, order)
            if self.windows:
                windows = cast(PitchWindows, self.windows[index]).weights()
                chain = replace(chain, windows=windows, channel_bias=u, recent=recent)
            chains.append(chain)
        return FrameDistribution(tuple(chains))

    def forward(self, features: Tensor, frames: Tensor, recent: Tensor | None = None) -> Tensor:
        """Exact negative log-likelihood (…,) in nats of frames (…, D), given features (…, q)."""
        return self.distribution(self.biases(features), recent).nll(frames)

    def sample(
        self,
        features: Tensor,
        given: Tensor | None = None,
        voices: Voices | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Sample frames (…, D), given features (…, q) and, where `given` (…, D) is not NaN, notes; without windows."""
        return self.distribution(self.biases(features)).sample(given, voices, generator)

    def marginals(self, features: Tensor, n_samples: int = 100, generator: torch.Generator | None = None) -> Marginals:
        """Estimate the marginal probabilities (…, D) of the notes, with their standard errors; without windows."""
        return self.distribution(self.biases(features)).marginals(n_samples, generator)

    def _per_chain(self, outputs: Tensor) -> Tensor:
        """A view of the rows of the linear map with one part per chain, (O, H + D + K, …)."""
        return outputs.view(self.orders, -1, *outputs.shape[1:])
