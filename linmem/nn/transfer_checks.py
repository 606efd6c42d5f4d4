"""Checks before weights are copied into a layer, so that a layer that cannot be filled is left unchanged.

They need no fitted source: :mod:`linmem.training.pretraining` calls them before it trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.lmn import LMN
from linmem.nn.scan.checks import check_dense_memory, check_single_layer
from linmem.validation import check_number


def check_transfer(layer: LMN, readout: nn.Linear, outputs: int, memory_decay: float = 1.0) -> None:
    """Raise ValueError unless `from_unfolded_` can fill `layer` and `readout` for that many outputs."""
    if not isinstance(layer, LMN):
        raise TypeError(f"layer must be a linmem.LMN, got {type(layer).__name__}.")
    check_linear(readout)
    check_number("memory_decay", memory_decay)
    check_single_layer(layer)
    check_dense_memory(layer)
    single_size(layer.hidden_size)
    check_size("readout.in_features", readout.in_features, layer.memory_size)
    check_size("readout.out_features", readout.out_features, outputs)
    check_memory_output(layer)
    if not 0 < memory_decay <= 1:
        raise ValueError(f"memory_decay must be greater than 0 and at most 1, got {memory_decay}.")


def check_memory_output(layer: nn.Module) -> None:
    """Raise ValueError for an LMN whose readout does not read the memory."""
    if isinstance(layer, LMN) and layer.output != "memory":
        raise ValueError(f"output must be 'memory', got {layer.output!r}. The readout is solved for the memory.")


def check_trainable_transfer(layer: LMN, readout: nn.Linear, autoencoder: LinearAutoencoder | None) -> None:
    """Raise unless `from_unfolded_` can fill `layer` and `readout` from any weights, whose biases are not zero.

    `autoencoder` need not be fitted; one that is None will have the size of the layer.
    """
    one = torch.ones(())
    weights = ("weight_xh_l0", "weight_mh_l0", "weight_hm_l0", "weight_mm_l0")
    check_fillable(layer, **dict.fromkeys((*weights, "bias_h_l0"), one))
    check_fillable(readout, weight=one, bias=one)
    if autoencoder is None:
        return
    if not isinstance(autoencoder, LinearAutoencoder):
        raise TypeError(f"autoencoder must be a linmem.LinearAutoencoder, got a {type(autoencoder).__name__}.")
    check_uncentered(bool(autoencoder.center))  # `fit` will read it
    if isinstance(autoencoder.memory_size, Integral):  # others depend on the data
        check_size("the autoencoder's memory_size", int(autoencoder.memory_size), layer.memory_size)


def check_uncentered(centered: bool) -> None:
    """Raise ValueError for an autoencoder of hidden states that subtracts their mean."""
    if centered:
        raise ValueError("autoencoder must have center=False, because missing hidden states are zero, got center=True.")


def check_linear(readout: object) -> None:
    """Raise TypeError unless a readout is a Linear."""
    if not isinstance(readout, nn.Linear):
        raise TypeError(f"readout must be a torch.nn.Linear, got {type(readout).__name__}.")


def check_fillable(module: nn.Module, **values: Tensor) -> None:
    """Raise ValueError unless all values can be copied; a bias that does not exist is zero."""
    for name, value in values.items():
        if parametrize.is_parametrized(module, name):
            raise ValueError(
                f"{name} must not be parametrized, got a parametrized one. Fill the layer before parametrizing it."
            )
        if getattr(module, name, None) is None and value.any():
            raise ValueError(f"{name} must exist, got a layer built with bias=False. Build it with bias=True.")


def single_size(hidden_size: int | Sequence[int]) -> int:
    """Units of the only functional layer; ValueError if there are several."""
    if isinstance(hidden_size, int):
        return hidden_size
    raise ValueError(f"hidden_size must be an int (one functional layer), got {hidden_size}.")


def check_size(name: str, size: int, expected: int) -> None:
    """Raise ValueError unless a size of the layer is that of its source."""
    if size != expected:
        raise ValueError(f"{name} must be {expected}, got {size}. Build the layer with the sizes of its source.")
