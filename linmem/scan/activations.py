"""Nonlinearities whose derivative is known from their own output, so a backward pass stores the output alone.

Letters: v the value before the nonlinearity, h = σ(v).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_FLOOR = SELU_SCALE * SELU_ALPHA


class Activation(NamedTuple):
    """σ as a function, σ in place, and ``grad(g, h)`` = g · σ'(v) written in terms of h, in place on g."""

    apply: Callable[[Tensor], Tensor]
    apply_: Callable[[Tensor], Tensor]
    grad_: Callable[[Tensor, Tensor], Tensor]


def _tanh_grad_(g: Tensor, h: Tensor) -> Tensor:
    return g.addcmul_(g * h, h, value=-1.0)


def _relu_grad_(g: Tensor, h: Tensor) -> Tensor:
    return g.mul_(h > 0)


def _selu_grad_(g: Tensor, h: Tensor) -> Tensor:
    return g.mul_(torch.where(h > 0, SELU_SCALE, h + _SELU_FLOOR))


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(torch.tanh, torch.tanh_, _tanh_grad_),
    "relu": Activation(torch.relu, torch.relu_, _relu_grad_),
    "selu": Activation(torch.selu, torch.selu_, _selu_grad_),
    "identity": Activation(lambda v: v, lambda v: v, lambda g, h: g),
}


def activation(name: str) -> Activation:
    """The activation called `name`; an unknown name raises ``ValueError`` with the list of known ones."""
    if name not in ACTIVATIONS:
        raise ValueError(f"nonlinearity is {name!r}, but it must be one of {', '.join(map(repr, ACTIVATIONS))}")
    return ACTIVATIONS[name]
