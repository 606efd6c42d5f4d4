"""Clockwork recurrent network: groups of units updated at every step, every second step, every fourth, ….

    h^i_t = σ(W_xh^i x_t + Σ_{j≥i} W_hh^{ij} h^j_{t-1} + b_h^i)     where 2^i divides t, else h^i_t = h^i_{t-1}

Group i reads from the groups that are as slow or slower. The first step has t = 0
[Koutník, Greff, Gomez & Schmidhuber, ICML 2014].

Symbols: T steps, B sequences, a inputs, n hidden units in g groups of equal size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linmem.nn.base import Clocked, SequenceLayer, new_clock, read_clock
from linmem.nn.multiscale import moving
from linmem.nn.scan.activations import activation


class ClockworkRNN(SequenceLayer):
    """Clockwork RNN with the signature of :class:`linmem.LMN`. The state is (h, clock), (1, B, n) and (1, B).

    Parameters
    ----------
    input_size, hidden_size : int
        a and n; n must be a multiple of `groups`.
    groups : int
        g; group i is updated at every 2^i-th step. With one group it is an Elman network.
    nonlinearity : {"tanh", "relu", "selu", "identity"}
        σ.
    batch_first : bool
        Whether inputs are (B, T, a) instead of (T, B, a).
    device, dtype : optional
        Of the parameters.

    Attributes
    ----------
    weight_xh (n, a), weight_hh (n, n), bias_h (n)
        The fastest group first. The blocks of W_hh below its diagonal blocks are zero and stay zero.

    Examples
    --------
    >>> layer = ClockworkRNN(3, 8, groups=2)
    >>> y, state = layer(torch.zeros(10, 4, 3))
    >>> y.shape
    torch.Size([10, 4, 8])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        groups: int = 4,
        *,
        nonlinearity: str = "tanh",
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self._check_sizes(input_size=input_size, hidden_size=hidden_size, groups=groups)
        if hidden_size % groups:
            raise ValueError(
                f"hidden_size must be a multiple of groups ({groups}), got {hidden_size}. Change one of them."
            )
        activation(nonlinearity)
        self.input_size, self.hidden_size, self.groups = input_size, hidden_size, groups
        self.nonlinearity, self.batch_first = nonlinearity, batch_first
        self.weight_xh = nn.Parameter(torch.empty(hidden_size, input_size, device=device, dtype=dtype))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size, device=device, dtype=dtype))
        self.bias_h = nn.Parameter(torch.empty(hidden_size, device=device, dtype=dtype))
        size = hidden_size // groups
        group = torch.arange(hidden_size, device=device) // size
        self.register_buffer("mask", group[:, None] <= group[None, :], persistent=False)
        self.mask: Tensor
        self.reset_parameters()

    @property
    def output_size(self) -> int:
        """Features of each output step."""
        return self.hidden_size

    def reset_parameters(self) -> None:
        """Initialize uniformly in ±1/√n, as in ``torch.nn.RNN``; weights from faster to slower groups are zero."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)
        with torch.no_grad():
            self.weight_hh.mul_(self.mask)

    def start(self, x: Tensor) -> Clocked:
        """Zero state at step 0."""
        return x.new_zeros(1, x.shape[1], self.hidden_size), new_clock(x)

    def recur(self, x: Tensor, state: Clocked) -> tuple[Tensor, Clocked]:
        """Hidden states (T, B, n) of x (T, B, a); a step computes only the groups that it updates."""
        sigma, size = activation(self.nonlinearity).apply, self.hidden_size // self.groups
        weight_hh = self.weight_hh * self.mask
        h, hidden = state[0][0], []
        for t, x_t in enumerate(F.linear(x, self.weight_xh, self.bias_h).unbind(0), start=read_clock(state[1])):
            rows = size * moving(t, self.groups)
            moved = sigma(x_t[:, :rows] + F.linear(h, weight_hh[:rows]))
            h = torch.cat([moved, h[:, rows:]], -1)
            hidden.append(h)
        return torch.stack(hidden), (h.unsqueeze(0), state[1] + len(x))

    def extra_repr(self) -> str:
        """Sizes of the layer."""
        return f"{self.input_size}, {self.hidden_size}, groups={self.groups}"
