"""Autocast: its dtype where a tensor is, and regions without it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


def device_type(x: Tensor | PackedSequence) -> str:
    """``"cpu"``, ``"cuda"`` …."""
    return (x.data if isinstance(x, PackedSequence) else x).device.type


def autocast_dtype(x: Tensor | PackedSequence) -> torch.dtype | None:
    """The dtype that autocast uses for products on the device of `x`, or None where autocast is off."""
    if not isinstance(x, (Tensor, PackedSequence)):
        raise TypeError(f"input must be a torch.Tensor or a PackedSequence, got {type(x).__name__}.")
    device = device_type(x)
    return torch.get_autocast_dtype(device) if device != "meta" and torch.is_autocast_enabled(device) else None


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """A context in which products on the device of `x` keep the dtype of their operands."""
    return nullcontext() if autocast_dtype(x) is None else torch.autocast(x.device.type, enabled=False)
