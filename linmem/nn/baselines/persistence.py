"""Persistence: the next frame is this frame. The baseline that a memory has to beat first.

Copying scores a frame accuracy but no likelihood, so each note keeps two rates from the training set: how often it
sounds next when it sounds now, and how often when it does not.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn


class Persistence(nn.Module):
    """Predict that a note goes on as it is, with the certainty seen in training.

    Parameters
    ----------
    inputs, targets : the training frames and the frames that follow them, lists of (T_i, a), entries 0 or 1.
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
        """Return the plain copy: a note that sounds goes on with probability 1, one that does not never starts."""
        copy = deepcopy(self)
        copy.logit_on.fill_(torch.inf)
        copy.logit_off.fill_(-torch.inf)
        return copy

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        """`x` (…, a) → logits (…, a)."""
        return torch.where(x > 0.5, self.logit_on, self.logit_off), state
