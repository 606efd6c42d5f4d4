"""Stochastic detach: in training, the gradient from memory to functional units is stopped at random.

    h_t = σ(W_xh x_t + W_mh m̃_{t-1} + b_h),   m_t = W_hm h_t + W_mm m_{t-1} + b_m                               [S20]

m̃ equals m, but is detached with probability q, independently for every step and sequence. The outputs are those of the
LMN. With q = 1 the gradient flows only through the linear W_mm, and does not explode if W_mm is orthogonal.

Symbols: T steps, B sequences, a inputs, p memory units.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from linmem.nn.base import SequenceLayer
from linmem.nn.lmn import LMN
from linmem.nn.scan.activations import activation
from linmem.nn.scan.checks import check_single_layer
from linmem.nn.scan.memory import multiply


class StochasticDetach(SequenceLayer):
    """An LMN whose gradient from memory to functional units is stopped at random, with the signature of the LMN.

    Parameters
    ----------
    lmn : LMN
        One layer, one direction. Its weights and layout are used.
    probability : float
        q of detaching, in training mode; S20 tries 0, 0.1, 0.25, 0.5 and 1.

    Examples
    --------
    >>> layer = StochasticDetach(LMN(3, 4, 5), 0.25)
    >>> y, m = layer(torch.zeros(10, 2, 3))
    >>> y.shape
    torch.Size([10, 2, 5])
    """

    def __init__(self, lmn: LMN, probability: float) -> None:
        super().__init__()
        check_single_layer(lmn)
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be in [0, 1], got {probability}.")
        self.lmn, self.probability = lmn, probability
        self.input_size, self.batch_first = lmn.input_size, lmn.batch_first

    @property
    def output_size(self) -> int:
        """Features of each output step."""
        return self.lmn.output_size

    def start(self, x: Tensor) -> Tensor:
        """Zero memory."""
        return x.new_zeros(1, x.shape[1], self.lmn.memory_size)

    def recur(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (T, B, ·) of x (T, B, a) and the memory (1, B, p) after it."""
        lmn = self.lmn
        if not self.training or self.probability == 0:
            y, state = lmn(x.transpose(0, 1) if lmn.batch_first else x, state)
            return (y.transpose(0, 1) if lmn.batch_first else y), state
        sigma = activation(lmn.nonlinearity).apply
        W_xh, W_mh, W_hm, W_mm, b_h, b_m, _ = lmn._weights("_l0")
        m, outputs = state[0], []
        for x_t in F.linear(x, W_xh, b_h).unbind(0):
            cut = torch.rand(len(m), 1, device=m.device) < self.probability
            h = sigma(x_t + F.linear(torch.where(cut, m.detach(), m), W_mh))
            m = F.linear(h, W_hm, b_m) + multiply(m, W_mm)
            outputs.append(m if lmn.output == "memory" else h)
        return torch.stack(outputs), m.unsqueeze(0)

    def extra_repr(self) -> str:
        """Probability of detaching."""
        return f"probability={self.probability}"
