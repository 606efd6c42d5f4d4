"""Center and scale the functional units of an LMN, so that they work in the range in which tanh is not linear.

A functional unit computes h = σ(z) of its net input z = W_xh x + W_mh m + b_h. An LMN that was filled from an
autoencoder of its inputs (`linmem.initialize.from_autoencoder_`) has z = A x [S20]. Where the inputs are small or have
few channels, |z| is far below 1, tanh(z) ≈ z, and the network is nearly linear at the start of its training; where the
inputs have a mean, tanh bends A mean. With c the mean of z and a factor s

    W_xh′ = s W_xh,   W_mh′ = s W_mh,   b_h′ = s (b_h − c),   W_hm′ = W_hm / s,   b_m′ = b_m + W_hm c

leave the memory as it is where σ is linear.

Symbols: f functional units, p memory units, N steps of all sequences of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from linmem.nn.limited_parameters import reset_norm_limits
from linmem.nn.lmn import LMN
from linmem.nn.scan.checks import check_single_layer
from linmem.sequences import check_sequences, length_buckets, pad, valid_mask
from linmem.validation import check_number

BATCH = 64  # sequences
ROUNDING = 16  # times the relative error of the dtype: below it, centered net inputs are constant
CENTERED = ("tanh", "identity")  # the other nonlinearities have a kink at zero


class _Range(NamedTuple):
    mean: Tensor  # of the net input of each functional unit, (f,)
    lowest: Tensor
    highest: Tensor

    def largest_distance(self, offset: Tensor) -> float:
        """Return the largest |z − offset|; 0 where it is the rounding error of the net inputs z."""
        distance = float(torch.maximum(self.highest - offset, offset - self.lowest).max())
        rounding = ROUNDING * torch.finfo(offset.dtype).eps * float(offset.abs().max())
        return 0.0 if distance <= rounding < math.inf else distance


@torch.no_grad()
def scale_functional_(layer: LMN, sequences: Sequence[Tensor], largest: float = 1.0, *, center: bool = True) -> float:
    """Scale the net inputs of the functional units so that the largest is `largest`, and W_hm by the inverse.

    With the identity or ReLU the layer computes what it did before; with tanh nearly so, if `largest` is at most about
    1. Larger net inputs are scaled down, smaller ones up; one outlier decides. Call it after
    `initialize.from_autoencoder_` or `training.pretraining.pretrain_on_inputs`, before training. It takes one forward
    pass over the sequences.

    Parameters
    ----------
    layer : LMN
        One unidirectional layer with one functional layer and `output="memory"`; changed in place.
    sequences : list of (T_i, a) tensors
        The training set, or a part of it.
    largest : float
        The largest net input in absolute value, over all units, steps and sequences.
    center : bool
        Whether to subtract each unit's mean net input before, in b_h, and to correct b_m; with tanh or the identity,
        and biases, only. Without it tanh bends the mean of the inputs, if they have one; with it inputs that are zero
        no longer give zero, which was worse on pixels (docs/guide/training_measurements.md).

    Returns
    -------
    float
        The factor s.

    Raises
    ------
    ValueError
        `largest` is not positive, the net inputs are constant or not finite, a weight is pruned or parametrized, or the
        layer has another shape. The layer is then unchanged.
    TypeError
        `layer` is not an LMN.

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
    if layer.output != "memory":
        raise ValueError(f"output must be 'memory', got {layer.output!r}. Other outputs would be scaled, too.")
    weights = _parameters(layer)
    W_hm = weights["weight_hm_l0"]
    found = _range(_net_inputs(layer, check_sequences(sequences, features=layer.input_size)))
    centered = center and layer.bias and layer.nonlinearity in CENTERED
    offset = found.mean if centered else torch.zeros_like(found.mean)
    distance = found.largest_distance(offset)
    scale = largest / distance if distance else 0.0
    scaled = {"weight_xh_l0": weights["weight_xh_l0"] * scale, "weight_mh_l0": weights["weight_mh_l0"] * scale}
    if layer.bias:
        scaled["bias_h_l0"] = (weights["bias_h_l0"] - offset) * scale
        scaled["bias_m_l0"] = weights["bias_m_l0"] + W_hm @ offset
    scaled["weight_hm_l0"] = W_hm / scale if scale else W_hm
    if not scale or not all(bool(value.isfinite().all()) for value in scaled.values()):
        raise ValueError(
            f"The net inputs must vary and stay finite in {W_hm.dtype} when scaled to {largest}, got {distance} as the "
            "largest. Standardize the sequences."
        )
    for name, value in scaled.items():
        weights[name].copy_(value)
    reset_norm_limits(layer)
    return scale


def _parameters(layer: LMN) -> dict[str, Tensor]:
    """Return the parameters of the layer by name; ValueError if one of them is computed from others."""
    found = dict(layer.named_parameters())
    names = ["weight_xh_l0", "weight_mh_l0", "weight_hm_l0", *(["bias_h_l0", "bias_m_l0"] if layer.bias else [])]
    for name in names:
        if name not in found:
            raise ValueError(
                f"{name} must be a parameter, got one that is pruned or parametrized. Scale the layer before that."
            )
    return {name: found[name] for name in names}


def _net_inputs(layer: LMN, sequences: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield W_xh x_t + W_mh m_{t-1} + b_h at all steps of a batch of sequences, (N, f)."""
    W_xh, W_mh = layer.get_parameter("weight_xh_l0"), layer.get_parameter("weight_mh_l0")
    for members in length_buckets([len(x) for x in sequences], BATCH):
        batch = pad([sequences[index].to(W_xh) for index in members])
        x = batch.values
        memory = layer(x if layer.batch_first else x.transpose(0, 1))[0]
        memory = memory if layer.batch_first else memory.transpose(0, 1)
        earlier = torch.cat([torch.zeros_like(memory[:, :1]), memory[:, :-1]], 1)
        z = x @ W_xh.T + earlier @ W_mh.T
        yield (z + layer.get_parameter("bias_h_l0") if layer.bias else z)[valid_mask(batch.lengths)]


def _range(batches: Iterator[Tensor]) -> _Range:
    sums, lows, highs, steps = [], [], [], 0
    for z in batches:
        sums.append(z.sum(0, dtype=torch.float64))
        lows.append(z.amin(0))
        highs.append(z.amax(0))
        steps += len(z)
    lowest, highest = torch.stack(lows).amin(0), torch.stack(highs).amax(0)
    return _Range((torch.stack(sums).sum(0) / steps).to(lowest), lowest, highest)
