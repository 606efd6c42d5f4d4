"""What every scan takes and gives: the Linear Memory Network recurrence over a whole batch.

    h_t = σ(W_xh x_t + W_mh m_{t-1} + b_h)
    m_t = W_hm h_t + W_mm m_{t-1} + b_m                                   [L18], eqs. 11-12

With a deep functional part, h_t is passed on through further layers h ← σ(W_i h + b_i) before it is written into
the memory ([L18], section 4).

A batch is either regular, x of shape (T, B, a), or packed, x of shape (N, a) with the rows of step 0 first and
`batch_sizes` telling how many sequences are still running at each step (longest first, as in
``torch.nn.utils.rnn.PackedSequence``). Outputs come in the same layout.

Letters: T steps, B sequences, N rows of all steps, a features, f functional units, p memory units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor


class Weights(NamedTuple):
    """The parameters of one layer and direction."""

    xh: Tensor  # (f, a)
    mh: Tensor  # (f, p)
    hm: Tensor  # (p, f), f of the last functional layer
    mm: Tensor  # (p, p)
    bias_h: Tensor | None  # (f,)
    bias_m: Tensor | None  # (p,)
    deep: tuple[tuple[Tensor, Tensor | None], ...] = ()  # (f_i, f_{i-1}), (f_i,) of each further functional layer

    @property
    def widths(self) -> list[int]:
        """Units of each functional layer."""
        return [weight.shape[0] for weight in self.functional]

    @property
    def functional(self) -> list[Tensor]:
        """The first weight of each functional layer, (f_i, ·)."""
        return [self.xh, *(weight for weight, _ in self.deep)]

    def flat(self) -> list[Tensor | None]:
        """All tensors in order, the deep layers' last, as an ``autograd.Function`` wants them."""
        return [*self[:6], *(tensor for layer in self.deep for tensor in layer)]

    @classmethod
    def from_flat(cls, tensors: Sequence[Any]) -> Weights:
        """Undo `flat`."""
        xh, mh, hm, mm, bias_h, bias_m, *deep = tensors
        return cls(xh, mh, hm, mm, bias_h, bias_m, tuple(zip(deep[::2], deep[1::2], strict=True)))


class Result(NamedTuple):
    """What a scan gives."""

    output: Tensor  # m_t of every step, (T, B, p) or (N, p); or h_t of the last functional layer, (T, B, f) or (N, f)
    memory: Tensor  # (B, p), after the last step of each sequence


class Scan(Protocol):
    """The one signature that all scans share."""

    def __call__(
        self,
        x: Tensor,
        m_0: Tensor,
        weights: Weights,
        nonlinearity: str = "tanh",
        output: str = "memory",
        batch_sizes: Sequence[int] | None = None,
    ) -> Result:
        """Run all steps; x is (T, B, a), or (N, a) with `batch_sizes`; m_0 is (B, p).

        `output` is ``"memory"`` (LMN-B) or ``"functional"`` (LMN-A).
        """
