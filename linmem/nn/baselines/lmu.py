"""Legendre Memory Unit: a linear memory that represents a sliding window by its shifted Legendre coefficients.

    u_t = E_x x_t + E_h h_{t-1} + E_m m_{t-1}
    m_t = Ā m_{t-1} + B̄ u_t                                   in each of c channels
    h_t = σ(W_xh x_t + W_hh h_{t-1} + W_mh m_t)        [Voelker, Kajić & Eliasmith, NeurIPS 2019]

    θ A_ij = (2i + 1) (−1 if i < j else (−1)^{i−j+1}),  θ B_i = (2i + 1) (−1)^i;  Ā, B̄ by zero-order hold over one step

Then u_{t−s} ≈ Σ_i P_i(2 s/θ − 1) m_i for 0 ≤ s ≤ θ: the memory is optimal for smooth signals in general, whereas an
autoencoder's memory is optimal for a data set.

Symbols: T steps, B sequences, a inputs, n hidden units, c channels, d order (memory units of a channel), θ window.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linmem.nn.base import SequenceLayer
from linmem.nn.scan.activations import activation


class LinearSystem(NamedTuple):
    """The system dm/dt = A m + B u, or m_t = A m_{t-1} + B u_t."""

    A: Tensor  # (d, d)
    B: Tensor  # (d,)


def legendre_system(order: int, window: float) -> LinearSystem:
    """Continuous-time system whose state represents the last `window` time units of u.

    Parameters
    ----------
    order : int
        d, the number of units.
    window : float
        θ.

    Returns
    -------
    LinearSystem
        In float64.
    """
    i = torch.arange(order, dtype=torch.float64)
    row, column = i[:, None], i[None, :]
    sign = torch.where(row < column, -torch.ones(()).double(), (-1.0) ** (row - column + 1))
    scale = (2 * i + 1) / window
    return LinearSystem(scale[:, None] * sign, scale * (-1.0) ** i)


def zero_order_hold(system: LinearSystem) -> LinearSystem:
    """Discretize a continuous-time system, for u constant during each step of length 1.

    The matrix exponential of [[A, B], [0, 0]] is [[Ā, B̄], [0, 1]].

    Examples
    --------
    >>> decay = LinearSystem(torch.tensor([[-1.0]]), torch.tensor([1.0]))
    >>> zero_order_hold(decay).A  # exp(-1)
    tensor([[0.3679]])
    """
    d = len(system.B)
    block = system.A.new_zeros(d + 1, d + 1)
    block[:d, :d], block[:d, d] = system.A, system.B
    both = torch.linalg.matrix_exp(block)
    return LinearSystem(both[:d, :d].contiguous(), both[:d, d].contiguous())


def legendre_readout(order: int, places: Tensor) -> Tensor:
    """Rows [P_0(2r − 1), …, P_{d−1}(2r − 1)] that decode u_{t − rθ} from m_t.

    Parameters
    ----------
    order : int
        d.
    places : Tensor
        r in [0, 1], shape (S,); 0 is the current step and 1 the oldest one in the window.

    Returns
    -------
    Tensor
        (S, d).
    """
    z = 2 * places - 1
    rows = [torch.ones_like(z), z]
    for i in range(1, order - 1):
        rows.append(((2 * i + 1) * z * rows[i] - i * rows[i - 1]) / (i + 1))
    return torch.stack(rows[:order], -1)


class LMU(SequenceLayer):
    """Legendre Memory Unit with the signature of :class:`linmem.LMN`. The state is (h, m), (1, B, n) and (1, B, c·d).

    Parameters
    ----------
    input_size, hidden_size : int
        a and n.
    order : int
        d, the memory units of each channel.
    window : float
        θ, in steps.
    channels : int
        c, the number of signals stored; 1 in the paper.
    nonlinearity : {"tanh", "relu", "selu", "identity"}
        σ.
    batch_first : bool
        Whether inputs are (B, T, a) instead of (T, B, a).
    device, dtype : optional
        Of the parameters.

    Attributes
    ----------
    weight_xu (c, a), weight_hu (c, n), weight_mu (c, c·d), weight_xh (n, a), weight_hh (n, n), weight_mh (n, c·d)
        Trained. There are no biases, as in the paper.
    transition (d, d), write (d)
        Ā and B̄, buffers that are not trained.

    Examples
    --------
    >>> layer = LMU(1, 16, order=8, window=20)
    >>> y, (h, m) = layer(torch.zeros(10, 4, 1))
    >>> m.shape
    torch.Size([1, 4, 8])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        order: int = 32,
        window: float = 64.0,
        channels: int = 1,
        *,
        nonlinearity: str = "tanh",
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self._check_sizes(input_size=input_size, hidden_size=hidden_size, order=order, channels=channels)
        if not window > 0:
            raise ValueError(f"window must be greater than 0 steps, got {window}.")
        activation(nonlinearity)
        self.input_size, self.hidden_size, self.order, self.channels = input_size, hidden_size, order, channels
        self.window, self.nonlinearity, self.batch_first = window, nonlinearity, batch_first
        a, n, c, m = input_size, hidden_size, channels, channels * order
        for kind, rows in (("u", c), ("h", n)):
            for source, columns in (("x", a), ("h", n), ("m", m)):
                weight = torch.empty(rows, columns, device=device, dtype=dtype)
                self.register_parameter(f"weight_{source}{kind}", nn.Parameter(weight))
        system = zero_order_hold(legendre_system(order, window))
        self.register_buffer("transition", system.A.to(self.weight_xh), persistent=False)
        self.register_buffer("write", system.B.to(self.weight_xh), persistent=False)
        self.weight_xu: Tensor
        self.weight_xh: Tensor
        self.weight_mh: Tensor
        self.transition: Tensor
        self.write: Tensor
        self.reset_parameters()

    @property
    def output_size(self) -> int:
        """Features of each output step."""
        return self.hidden_size

    def reset_parameters(self) -> None:
        """Initialize as the paper: E_x, E_h uniform in ±√(3 / columns) (LeCun), E_m zero, others normal (Xavier)."""
        for name, parameter in self.named_parameters():
            if name in ("weight_hh", "weight_mh", "weight_xh"):
                nn.init.xavier_normal_(parameter)
            elif name == "weight_mu":
                nn.init.zeros_(parameter)
            else:
                bound = math.sqrt(3 / parameter.shape[1])
                nn.init.uniform_(parameter, -bound, bound)

    def start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Zero state."""
        h = x.new_zeros(1, x.shape[1], self.hidden_size)
        return h, x.new_zeros(1, x.shape[1], self.channels * self.order)

    def recur(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Hidden states (T, B, n) of x (T, B, a)."""
        sigma, shape = activation(self.nonlinearity).apply, (-1, self.channels, self.order)
        weight_u, weight_h = (
            torch.cat([getattr(self, f"weight_h{k}"), getattr(self, f"weight_m{k}")], 1) for k in "uh"
        )
        h, m = state[0][0], state[1][0]
        hidden = []
        for x_u, x_h in zip(F.linear(x, self.weight_xu).unbind(0), F.linear(x, self.weight_xh).unbind(0), strict=True):
            u = x_u + F.linear(torch.cat([h, m], -1), weight_u)
            m = (m.view(shape) @ self.transition.T + u[..., None] * self.write).flatten(1)
            h = sigma(x_h + F.linear(torch.cat([h, m], -1), weight_h))
            hidden.append(h)
        return torch.stack(hidden), (h.unsqueeze(0), m.unsqueeze(0))

    def extra_repr(self) -> str:
        """Sizes of the layer."""
        sizes = f"{self.input_size}, {self.hidden_size}, order={self.order}"
        return f"{sizes}, window={self.window}, channels={self.channels}"
