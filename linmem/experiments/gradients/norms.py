"""Norms of the gradients that reach each step, and how far back they reach.

Symbols: T steps, h functional and m memory states, c cells of an LSTM.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linmem.analysis.gradient_norms import gradient_norms, spectrum, state_gradient_norms
from linmem.nn.baselines import StochasticDetach
from linmem.nn.lmn import LMN
from linmem.nn.sequence_model import SequenceModel

REACH = 0.01  # share of the last step's norm below which a gradient counts as lost


def recurrent_layer(model: SequenceModel) -> nn.Module:
    """Return the recurrent layer of a model, without the wrapper that detaches."""
    layer = model.recurrent.lmn if isinstance(model.recurrent, StochasticDetach) else model.recurrent
    assert isinstance(layer, nn.Module)
    return layer


def norms(model: SequenceModel, x: Tensor, y: Tensor, detach: float = 0.0) -> Mapping[str, Tensor]:
    """Return the norms of the gradient of the cross-entropy after the last step, by state and step, in float64.

    Parameters
    ----------
    model : SequenceModel
        Its weights are read; the model itself is not changed.
    x : Tensor
        (B, T, a) sequences.
    y : Tensor
        (B,) classes.
    detach : float
        The probability of detaching that the model is trained with.

    Returns
    -------
    mapping from "m" and "h", or "(h, c)", or "h" of a network without memory, to Tensor
        (T − 1,), all steps but the last.
    """
    model = copy.deepcopy(model).double().eval()
    layer: Any = recurrent_layer(model)
    layer.batch_first = False
    steps = x.double().transpose(0, 1)

    def loss(outputs: Tensor) -> Tensor:
        return F.cross_entropy(model.readout(outputs[-1]), y)

    if isinstance(layer, LMN):
        found = gradient_norms(layer, steps, loss, detach)
        return {"m": found.memory[:-1], "h": found.hidden[:-1]}
    return {"(h, c)" if isinstance(layer, nn.LSTM) else "h": state_gradient_norms(layer, steps, loss)}


def reach(values: Tensor) -> int:
    """Return the number of steps that a gradient goes back from the last before its norm falls below a hundredth."""
    lost = (values < REACH * values[-1]).nonzero().flatten()
    return len(values) - 1 - int(lost[-1]) if len(lost) else len(values)


@torch.no_grad()
def spectral_radius(model: SequenceModel) -> float | None:
    """Return the spectral radius of the recurrent matrix (W_mm of an LMN); None for an LSTM's four gates."""
    layer = recurrent_layer(model)
    weight = getattr(layer, "weight_mm_l0" if isinstance(layer, LMN) else "weight_hh_l0")
    return float(spectrum(weight)[0]) if weight.shape[0] == weight.shape[1] else None
