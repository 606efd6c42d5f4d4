"""Initial bias of an LSTM's forget gates [Gers, Schmidhuber & Cummins 2000; S20 uses 1]."""

from __future__ import annotations

import torch
from torch import nn

from linmem.validation import check_number


@torch.no_grad()
def forget_bias_(lstm: nn.LSTM, value: float = 1.0) -> nn.LSTM:
    """Set the biases of the forget gates of all layers and directions.

    Parameters
    ----------
    lstm : LSTM
        Changed in place.
    value : float
        New value of ``bias_ih``; ``bias_hh``, which torch adds to it, becomes 0.

    Returns
    -------
    LSTM
        The same layer.

    Raises
    ------
    ValueError
        The LSTM has no biases, or `value` is not a finite number.
    TypeError
        `lstm` is another layer.

    Examples
    --------
    >>> lstm = forget_bias_(nn.LSTM(3, 2), 1.0)
    >>> lstm.bias_ih_l0[2:4]  # torch's order of gates: input, forget, cell, output
    tensor([1., 1.], grad_fn=<SliceBackward0>)
    """
    check_number("value", value)
    if not isinstance(lstm, nn.LSTM):
        raise TypeError(f"lstm must be a torch.nn.LSTM, got {type(lstm).__name__}.")
    if not lstm.bias:
        raise ValueError("lstm must have biases, got bias=False. Build it with bias=True.")
    n = lstm.hidden_size
    for name, parameter in lstm.named_parameters():
        if name.startswith("bias"):
            parameter[n : 2 * n] = value if name.startswith("bias_ih") else 0.0
    return lstm
