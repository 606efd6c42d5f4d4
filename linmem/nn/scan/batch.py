"""The input and output of every scan: the Linear Memory Network recurrence over a whole batch.

    h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h)
    m_t = W_hm h_t + W_mm m_{t-1} + b_m                                   [L18], eqs. 11-12

With a deep functional part, h_t passes through further layers h ← σ(W_i h + b_i) before it enters the memory
([L18], section 4).

A batch is either regular, x of shape (T, B, a), or packed, x of shape (N, a) with the rows of step 0 first and
`batch_sizes` giving the number of sequences that are still running at each step (longest first, as in
``torch.nn.utils.rnn.PackedSequence``). Outputs have the layout of x.

Symbols: T steps, B sequences, N rows of all steps, a features, f functional units, p memory units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Weights(NamedTuple):
    """The parameters of one layer and direction."""

    xh: Tensor  # (f, a)
    mh: Tensor  # (f, p)
    hm: Tensor  # (p, f), f of the last functional layer
    mm: Tensor  # (p, p), or (2p,) for a diagonal memory (linmem.nn.scan.memory)
    bias_h: Tensor | None  # (f,)
    bias_m: Tensor | None  # (p,)
    deep: tuple[tuple[Tensor, Tensor | None], ...] = ()  # (f_i, f_{i-1}), (f_i,) of each further functional layer

    @property
    def widths(self) -> list[int]:
        """Units of each functional layer."""
        return [self.xh.shape[0], *(weight.shape[0] for weight, _ in self.deep)]

    def flat(self) -> list[Tensor | None]:
        """All tensors in order, those of the deep layers last, as arguments of an ``autograd.Function``."""
        return [*self[:6], *(tensor for layer in self.deep for tensor in layer)]

    @classmethod
    def from_flat(cls, tensors: Sequence[Any]) -> Weights:
        """The inverse of `flat`."""
        xh, mh, hm, mm, bias_h, bias_m, *deep = tensors
        return cls(xh, mh, hm, mm, bias_h, bias_m, tuple(zip(deep[::2], deep[1::2], strict=True)))


class Batch(NamedTuple):
    """Everything that a scan needs to run one layer and direction over all steps."""

    x: Tensor  # (T, B, a), or (N, a) with `batch_sizes`
    m_0: Tensor  # (B, p)
    weights: Weights
    nonlinearity: str = "tanh"
    output: str = "memory"  # "memory" (LMN-B) or "functional" (LMN-A)
    batch_sizes: tuple[int, ...] | None = None
    product_dtype: torch.dtype | None = None  # the dtype of autocast; only "triton" computes products in it

    @property
    def rows(self) -> tuple[int, ...]:
        """Number of rows of each step, (T,)."""
        return self.batch_sizes if self.batch_sizes is not None else (self.x.shape[1],) * self.x.shape[0]


class Result(NamedTuple):
    """The output of a scan."""

    output: Tensor  # m_t of every step, (T, B, p) or (N, p); or h_t of the last functional layer, (T, B, f) or (N, f)
    memory: Tensor  # (B, p), after the last step of each sequence


Scan = Callable[[Batch], Result]
