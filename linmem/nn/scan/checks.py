"""Checks of constructor arguments and inputs of recurrent layers, with one form of error message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from linmem.validation import LARGEST_COUNT, shown


def check_choice(name: str, value: str, known: Iterable[str]) -> str:
    """Return `value`; ``ValueError`` with the known ones if it is not one of them."""
    known = tuple(known)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {shown(value)}.")
    return value


def check_positive(**sizes: int) -> None:
    """Raise the error types of torch's own layers unless all sizes are positive ints."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"{name} must be an int, got a {type(size).__name__}.")
        if size <= 0:
            raise ValueError(f"{name} must be greater than 0, got {size}.")
        if size > LARGEST_COUNT:
            raise ValueError(f"{name} must be at most {LARGEST_COUNT}, got {shown(size)}.")


def functional_sizes(hidden_size: int | Sequence[int]) -> tuple[int, ...]:
    """Units of each functional layer."""
    sizes = tuple(hidden_size) if isinstance(hidden_size, Sequence) else (hidden_size,)
    if not sizes:
        raise ValueError("hidden_size must be an int or a non-empty sequence of ints, got an empty sequence.")
    for size in sizes:
        check_positive(hidden_size=size)
    return sizes


def check_float_dtype(dtype: torch.dtype | None) -> None:
    """Raise unless `dtype` is a floating-point type or None."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype must be a floating-point type such as torch.float32, got {dtype!r}.")


def check_device(device: torch.device | str | None) -> torch.device | None:
    """Return the device; ``ValueError`` unless it is None or torch can create tensors on it."""
    if device is None:
        return None
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError, ValueError):  # unknown; not in this build of torch; no device
        raise ValueError(f"device must be one that this machine has, as cpu or cuda, got {shown(device)}.") from None


def check_dtype_and_device(name: str, tensor: Tensor, like: Tensor) -> None:
    """Raise unless `tensor` has the dtype and device of the parameter `like`."""
    if tensor.dtype != like.dtype:
        raise ValueError(
            f"{name} must have the dtype of the parameters ({like.dtype}), got {tensor.dtype}. "
            f"Convert it with {name}.to({like.dtype})."
        )
    if tensor.device != like.device:
        raise ValueError(
            f"{name} must be on the device of the parameters ({like.device}), got {tensor.device}. "
            f"Move it with {name}.to({str(like.device)!r})."
        )


def check_tensor(name: str, value: object) -> None:
    """Raise ``TypeError`` unless `value` is a tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}.")


def check_dense_memory(layer: nn.Module) -> None:
    """Raise ``ValueError`` for an LMN with a diagonal memory, which has no matrix W_mm to read or fill."""
    if (memory := getattr(layer, "memory", "dense")) != "dense":
        raise ValueError(
            f"layer must have memory='dense', got memory={memory!r}. Build it with memory='dense'; "
            "linmem.nn.diagonalize then gives a layer with memory='diagonal' the same function."
        )


def check_single_layer(layer: nn.Module) -> None:
    """Raise ``ValueError`` unless a recurrent layer has one layer, one direction and one functional layer."""
    if not isinstance(layer, nn.Module) or not hasattr(layer, "num_layers"):
        raise TypeError(f"layer must be a recurrent layer such as linmem.LMN, got {type(layer).__name__}.")
    layers, bidirectional = layer.num_layers, bool(layer.bidirectional)
    functional = len(getattr(layer, "hidden_sizes", (0,)))
    if layers != 1 or bidirectional or functional != 1:
        raise ValueError(
            "layer must have one layer, one direction and one functional layer, "
            f"got num_layers={layers}, bidirectional={bidirectional} and {functional} functional layer(s)."
        )
