"""The initialization of torch.nn.Linear for an LMN, which `table2_paper` takes to be L18's."""

from __future__ import annotations

import torch
from torch import nn

from linmem.nn.lmn import LMN


@torch.no_grad()
def uniform_(layer: LMN) -> LMN:
    """Initialize every weight and bias of an LMN like those of ``torch.nn.Linear``: uniform in ±1/√(inputs).

    The biases b_h and b_m belong to the maps from x to h and from h to m, those of further functional layers to the
    maps from the layer before. The layer's own initialization differs in W_mm, W_hm, W_mh and b_m.

    Examples
    --------
    >>> import linmem
    >>> layer = uniform_(linmem.LMN(4, 100, 25))
    >>> bool(layer.weight_mm_l0.abs().max() <= 1 / 25**0.5)
    True
    """
    sizes = layer.hidden_sizes
    inputs = {f"bias_h{i}": size for i, size in enumerate(sizes[:-1], 1)} | {"bias_m": sizes[-1]}
    for name, parameter in layer.named_parameters():
        kind, _, place = name.partition("_l")
        inputs["bias_h"] = layer.get_parameter(f"weight_xh_l{place}").shape[1]
        bound = inputs.get(kind, parameter.shape[-1]) ** -0.5
        nn.init.uniform_(parameter, -bound, bound)
    layer.norm_limits.reset()
    return layer
