"""The initialization of torch.nn.Linear for an LMN, which the papers' plain protocol takes to be theirs."""

from __future__ import annotations

import torch
from torch import nn

from linmem.nn.lmn import LMN


@torch.no_grad()
def uniform_(layer: LMN) -> LMN:
    """Initialize every weight and bias of an LMN like those of ``torch.nn.Linear``: uniform in ±1/√(inputs).

    The biases b_h and b_m belong to the maps from x to h and from h to m. The layer's own initialization differs in
    W_mm, W_hm, W_mh and b_m.

    Examples
    --------
    >>> import linmem
    >>> layer = uniform_(linmem.LMN(4, 100, 25))
    >>> bool(layer.weight_mm_l0.abs().max() <= 1 / 25**0.5)
    True
    """
    inputs = {"bias_h": layer.get_parameter("weight_xh_l0").shape[1], "bias_m": layer.hidden_sizes[-1]}
    for name, parameter in layer.named_parameters():
        bound = inputs.get(name.partition("_l")[0], parameter.shape[-1]) ** -0.5
        nn.init.uniform_(parameter, -bound, bound)
    layer.norm_limits.reset()
    return layer
