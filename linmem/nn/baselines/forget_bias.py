"""An LSTM that begins by remembering: its forget gates get a bias [Gers, Schmidhuber & Cummins 2000; S20 takes 1]."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def forget_bias_(lstm: nn.LSTM, value: float = 1.0) -> nn.LSTM:
    """Set the forget gates' biases of all layers and directions, in place, and return the LSTM.

    torch.nn.LSTM adds two biases, of which the one beside the input gets `value` and the other 0. Gates stand in the
    order input, forget, cell, output.
    """
    if not lstm.bias:
        raise ValueError("the LSTM has no biases: build it with bias=True")
    n = lstm.hidden_size
    for name, parameter in lstm.named_parameters():
        if name.startswith("bias"):
            parameter[n : 2 * n] = value if name.startswith("bias_ih") else 0.0
    return lstm
