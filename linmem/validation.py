"""Checks of numbers, tensors and options that callers pass: a wrong one ends in one clear line before it is used.

Messages name the argument, what it must be, and what was given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from linmem.storage.messages import shortened

LARGEST_COUNT = 2**31 - 1  # sizes, steps, epochs and seeds; above, products of sizes overflow


def check_count(name: str, value: Any, least: int = 1, most: int = LARGEST_COUNT) -> int:
    """Return `value` as an int, or raise ValueError unless it is a whole number in the range; a bool is none.

    Examples
    --------
    >>> check_count("lags", 10**30)
    Traceback (most recent call last):
    ...
    ValueError: lags must be at most 2147483647, got 1000000000000000000000000000000.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{name} must be an integer, got {shown(value)}.")
    if int(value) < least:
        raise ValueError(f"{name} must be at least {least}, got {shown(value)}.")
    if int(value) > most:
        raise ValueError(f"{name} must be at most {most}, got {shown(value)}.")
    return int(value)


def check_number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """Return `value` as a float, or raise ValueError unless it is a finite number in the range; a bool is none."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not (abs(value) <= 1e300 and least <= value <= most):
        bounds = "" if (least, most) == (-math.inf, math.inf) else f" from {least:g} to {most:g}"
        raise ValueError(f"{name} must be a finite number{bounds}, got {shown(value)}.")
    return float(value)


def check_share(name: str, value: Any) -> float:
    """Return `value` as a float, or raise ValueError unless it is a number between 0 and 1, both excluded."""
    if not (isinstance(value, Real) and 0 < float(value) < 1):
        raise ValueError(f"{name} must be between 0 and 1, got {shown(value)}.")
    return float(value)


def check_fields(options: Any, infinite: Sequence[str] = ()) -> None:
    """Check that the fields of a dataclass have the types that it declares: int, float, bool, str, tuples, optional.

    An int must be at most 2³¹ − 1 in size. A float must be finite, but for those named in `infinite`. For a field that
    is an int, NumPy's integers are accepted, and for a float all real numbers.

    Raises
    ------
    ValueError
        A field has another type, or is too large. The message names the field.
    """
    hints = get_type_hints(type(options))
    for field in fields(options):
        _check_value(field.name, getattr(options, field.name), hints[field.name], field.name in infinite)


def _check_value(name: str, value: Any, hint: Any, infinite: bool) -> None:
    kinds = get_args(hint) if get_origin(hint) is not tuple else ()
    if type(None) in kinds:
        if value is None:
            return
        (hint,) = (kind for kind in kinds if kind is not type(None))
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple | list):
            raise ValueError(f"{name} must be a tuple, got {shown(value)}.")
        for one in value:
            _check_value(name, one, get_args(hint)[0], infinite)
    elif hint is int:
        check_count(name, value, least=-LARGEST_COUNT)
    elif hint is float:
        if not (infinite and value in (math.inf, -math.inf)):
            check_number(name, value)
    elif hint in (bool, str) and not isinstance(value, hint):
        raise ValueError(f"{name} must be {'True or False' if hint is bool else 'a name'}, got {shown(value)}.")


def check_tensor(name: str, value: Any, dims: int, *, finite: bool = True) -> Tensor:
    """Return `value`, or raise unless it is a real tensor with `dims` dimensions, finite if `finite`.

    Raises
    ------
    TypeError
        It is not a tensor.
    ValueError
        It is complex, has other dimensions, has no data (device meta, sparse), or holds NaN or infinity.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}. Convert it.")
    if value.ndim != dims:
        raise ValueError(f"{name} must have {dims} dimension(s), got shape {tuple(value.shape)}. Reshape it.")
    if value.is_complex() or value.is_meta or value.layout != torch.strided:
        kind = value.dtype if value.is_complex() else value.device if value.is_meta else value.layout
        raise ValueError(f"{name} must be a dense tensor of real numbers, got {kind}. Convert it.")
    if finite and not torch.isfinite(value).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity. Remove or replace such values.")
    return value


def shown(value: Any) -> str:
    """A value as a message shows it: short, on one line."""
    try:
        text = repr(value)
    except Exception:  # an int of more than 4300 digits, an object without a text
        text = f"a {type(value).__name__}"
    return shortened(" ".join(text.split()), 40)
