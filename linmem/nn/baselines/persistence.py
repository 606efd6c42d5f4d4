"""Persistence, the baseline that predicts that the next frame equals the current one.

A copy has a frame accuracy but no likelihood. The model therefore uses two rates of the training set, over all notes:
the probability that a note sounds next if it sounds now, and if it does not.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn


class Persistence(nn.Module):
    """Predict that a note continues as it is, at the rates of the training set.

    Parameters
    ----------
    inputs, targets : list of Tensor
        Training frames and the frames that follow them, (T_i, a) each, with entries 0 or 1.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    >>> logits, _ = Persistence([x[:-1]], [x[1:]])(x)
    >>> (logits > 0).flatten().tolist()
    [False, False, True, True]
    """

    def __init__(self, inputs: list[Tensor], targets: list[Tensor]) -> None:
        super().__init__()
        now, following = torch.cat(inputs).double(), torch.cat(targets).double()
        stays = (now * following).sum() + 0.5
        starts = ((1 - now) * following).sum() + 0.5
        rate_on, rate_off = stays / (now.sum() + 1), starts / ((1 - now).sum() + 1)
        self.register_buffer("logit_on", torch.logit(rate_on).float())
        self.register_buffer("logit_off", torch.logit(rate_off).float())
        self.logit_on: Tensor
        self.logit_off: Tensor

    def certain(self) -> Persistence:
        """Return the exact copy: logits +∞ for a note that sounds, −∞ for one that does not."""
        copy = deepcopy(self)
        copy.logit_on.fill_(torch.inf)
        copy.logit_off.fill_(-torch.inf)
        return copy

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Logits (…, a) of x (…, a)."""
        return torch.where(x > 0.5, self.logit_on, self.logit_off), state
