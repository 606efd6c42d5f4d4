"""Scale the functional units of an LMN to the range in which their nonlinearity acts.

A functional unit computes h = σ(z) of its net input z = W_xh x + W_mh m + b_h. An LMN that was filled from an
autoencoder of its inputs (`linmem.initialize.from_autoencoder_`) has z = A x. Where the inputs are small or narrow, |z|
is far below 1 and tanh(z) ≈ z: the network is nearly linear, and gradient descent may end at the best linear one.

    W_xh′ = s W_xh,   W_mh′ = s W_mh,   b_h′ = s b_h,   W_hm′ = W_hm / s

leaves the memory as it is where σ is linear, and lets tanh bend at the largest net inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from linmem.nn.limited_parameters import reset_norm_limits
from linmem.nn.lmn import LMN
from linmem.nn.scan.checks import check_single_layer
from linmem.nn.transfer_checks import check_fillable, check_memory_output
from linmem.sequences import check_sequences
from linmem.validation import check_number


@torch.no_grad()
def scale_functional_(layer: LMN, sequences: Sequence[Tensor], largest: float = 1.0) -> float:
    """Scale the net inputs of the functional units so that the largest is `largest`, and W_hm by the inverse.

    With ReLU or the identity as nonlinearity the layer computes what it did before; with tanh, nearly, as far as
    `largest` and the net inputs before are below 1. Call it after `initialize.from_autoencoder_` or
    `training.pretraining.pretrain_on_inputs`, before training.

    Parameters
    ----------
    layer : LMN
        One unidirectional layer with one functional layer and `output="memory"`; changed in place.
    sequences : list of (T_i, a) tensors
        The training set, or a part of it.
    largest : float
        The largest net input in absolute value, over all units, steps and sequences.

    Returns
    -------
    float
        The factor s.

    Raises
    ------
    ValueError
        `largest` is not positive, the net inputs are all zero or not finite, or the layer has another shape. The layer
        is then unchanged.
    TypeError
        `layer` is no LMN.

    Examples
    --------
    >>> import linmem
    >>> sequences = [0.01 * torch.randn(20, 3) for _ in range(5)]
    >>> lmn = linmem.LMN(3, 8, 8)
    >>> linmem.initialize.from_autoencoder_(lmn, linmem.LinearAutoencoder(8).fit(sequences))
    >>> scale_functional_(lmn, sequences) > 10
    True
    """
    if not isinstance(layer, LMN):
        raise TypeError(f"layer must be a linmem.LMN, got a {type(layer).__name__}.")
    check_number("largest", largest)
    if largest <= 0:
        raise ValueError(f"largest must be greater than 0, got {largest}.")
    check_single_layer(layer)
    check_memory_output(layer)
    names = ["weight_xh_l0", "weight_mh_l0", *(["bias_h_l0"] if layer.bias else [])]
    check_fillable(layer, **dict.fromkeys((*names, "weight_hm_l0"), torch.ones(())))
    inputs = check_sequences(sequences, features=layer.input_size)
    found = max(float(_net_inputs(layer, x).abs().max()) for x in inputs)
    scale = largest / found if found else 0.0
    if not 0 < scale < float("inf"):
        raise ValueError(
            f"The net inputs must be finite and not all zero, got {found} as the largest. Fill the layer first."
        )
    for name in names:
        layer.get_parameter(name).mul_(scale)
    layer.get_parameter("weight_hm_l0").div_(scale)
    reset_norm_limits(layer)
    return scale


def _net_inputs(layer: LMN, x: Tensor) -> Tensor:
    """Return W_xh x_t + W_mh m_{t-1} + b_h for all steps of one sequence, (T, f)."""
    W_xh, W_mh = layer.get_parameter("weight_xh_l0"), layer.get_parameter("weight_mh_l0")
    x = x.to(W_xh)
    memory = layer(x[None] if layer.batch_first else x[:, None])[0].reshape(len(x), -1)
    earlier = torch.cat([torch.zeros_like(memory[:1]), memory[:-1]])
    z = x @ W_xh.T + earlier @ W_mh.T
    return z + layer.get_parameter("bias_h_l0") if layer.bias else z
