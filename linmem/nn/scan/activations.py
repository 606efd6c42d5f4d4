"""Nonlinearities whose derivative is a function of their output, so a backward pass stores only the output.

Symbols: v the value before the nonlinearity, h = σ(v).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from linmem.nn.scan.checks import check_choice

SELU_SCALE = 1.0507009873554804934193349852946
SELU_FLOOR = SELU_SCALE * 1.6732632423543772848170429916717


class Activation(NamedTuple):
    """σ as a function, σ in place, and its slope σ'(v) written in terms of h = σ(v)."""

    apply: Callable[[Tensor], Tensor]
    apply_: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(torch.tanh, torch.tanh_, lambda h: torch.addcmul(h.new_ones(()), h, h, value=-1.0)),
    "relu": Activation(torch.relu, torch.relu_, lambda h: (h > 0).to(h.dtype)),
    "selu": Activation(torch.selu, torch.selu_, lambda h: torch.where(h > 0, SELU_SCALE, h + SELU_FLOOR)),
    "identity": Activation(lambda v: v, lambda v: v, torch.ones_like),
}


def activation(name: str, option: str = "nonlinearity") -> Activation:
    """The activation called `name`; ``ValueError`` with the option and the known names if there is none."""
    return ACTIVATIONS[check_choice(option, name, ACTIVATIONS)]
