"""Reads what users pass as series: lists of (T, a) or (channels, T) arrays, or one array of three dimensions.

Symbols: n series, T_i steps of series i, a features (channels).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from linmem.sequences import check_sequences
from linmem.validation import shown

LAYOUTS = ("tc", "ct")
LARGEST = 1e300  # of the values, so that sums over steps stay finite


class LayoutWarning(UserWarning):
    """All series have many more features than steps, as if the two were exchanged."""


def read_series(sequences: Any, layout: str, features: int | None = None) -> list[np.ndarray]:
    """Check series and return them as (T_i, a) float64 arrays.

    Parameters
    ----------
    sequences : list of (T_i, a) arrays or tensors, or one (n, T, a) array or tensor
        With `layout="ct"`, (a, T_i) and (n, a, T). A series of one dimension has one feature.
    layout : "tc" or "ct"
        Time first, or channels first as in aeon and sktime.
    features : int, optional
        The expected number of features; by default that of the first series.

    Raises
    ------
    ValueError
        The layout is unknown, or a series is empty, has another number of features, or holds NaN, infinity or a value
        above 1e300 in size; the message names the series and the step.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be 'tc' or 'ct', got {shown(layout)}. 'tc' is (time, channels).")
    array = isinstance(sequences, np.ndarray | Tensor)
    if hasattr(sequences, "columns"):
        raise ValueError(
            f"sequences must be a list of series, got one {type(sequences).__name__}. Put a single series into a list."
        )
    listed = not array or sequences.ndim == 3 or sequences.dtype == object
    if listed and hasattr(sequences, "__iter__") and not isinstance(sequences, str | bytes | dict):
        sequences = [_as_matrix(one, layout) for one in sequences]
        if layout == "ct":
            sequences = [_transposed(one) for one in sequences]
        _check_orientation(sequences, layout)
    checked = check_sequences(sequences, features=features)
    arrays = [tensor.cpu().numpy().astype(np.float64) for tensor in checked]
    for index, x in enumerate(arrays):
        if not (np.abs(x) <= LARGEST).all():
            step = int(np.argmax((np.abs(x) > LARGEST).any(1)))
            raise ValueError(
                f"sequence {index} must have values of at most {LARGEST:g} in size, got {np.abs(x[step]).max():.3g} at "
                f"step {step}. Divide the series by a constant."
            )
    return arrays


def _as_matrix(series: Any, layout: str) -> Any:
    """A series of one dimension as a matrix with one feature, and numbers other than float32 as float64."""
    if isinstance(series, Tensor):
        series = series if series.is_floating_point() or series.is_complex() else series.double()
    else:
        try:
            series = np.ma.asanyarray(series) if np.ma.is_masked(series) else np.asarray(series)
            series = series.astype(np.float64) if _is_converted(series.dtype) else series
        except (TypeError, ValueError):
            return series  # refused by check_sequences, which names its place
    if series.ndim != 1:
        return series
    return series[:, None] if layout == "tc" else series[None]


def _is_converted(dtype: np.dtype) -> bool:
    return dtype.kind in "iubfO" and dtype not in (np.float32, np.float64)


def _transposed(series: Any) -> Any:
    return series.T if getattr(series, "ndim", 0) == 2 else series


def _check_orientation(series: list[Any], layout: str) -> None:
    """Refuse series that agree in their number of steps but not of features, and warn where all are wider than long."""
    shapes = {tuple(one.shape) for one in series if getattr(one, "ndim", 0) == 2}
    other = "ct" if layout == "tc" else "tc"
    if len({a for _, a in shapes}) > 1 and len({steps for steps, _ in shapes}) == 1:
        steps, widths = next(iter(shapes))[0], sorted({a for _, a in shapes})
        raise ValueError(
            f"all series must have the same number of features, got {widths[0]} to {widths[-1]} features and {steps} "
            f"steps each. Pass layout={other!r} if the arrays are transposed."
        )
    if shapes and all(a > 2 * steps for steps, a in shapes):
        steps, a = max(shapes)
        warnings.warn(
            f"series have at most {steps} steps but {a} features; pass layout={other!r} if the arrays are transposed",
            LayoutWarning,
            stacklevel=4,
        )


def read_one_or_several(
    series: Any, layout: str, features: int | None = None, min_length: int = 1
) -> tuple[list[np.ndarray], bool, bool]:
    """Check one series, (T,) or (T, a), or a list of them.

    Returns
    -------
    sequences : list of (T, a) arrays
    single : bool
        Whether it was one series.
    flat : bool
        Whether the first series was a vector.
    """
    if isinstance(series, Iterator):
        raise TypeError(f"series must be an array or a list of arrays, got a {type(series).__name__}. Pass a list.")
    objects = getattr(getattr(series, "dtype", None), "kind", "") == "O" and series.ndim == 1
    if objects or (
        hasattr(series, "__iter__") and not hasattr(series, "ndim") and not isinstance(series, str | bytes | dict)
    ):
        series = list(series)  # of arrays, or of numbers
    single = getattr(series, "ndim", 3) <= 2 or (
        isinstance(series, list | tuple) and len(series) > 0 and all(np.ndim(x) == 0 for x in series)
    )
    sequences = read_series([series] if single else series, layout, features)
    for index, x in enumerate(sequences):
        if len(x) < min_length:
            raise ValueError(f"sequence {index} must have at least {min_length} steps, got {len(x)}.")
    return sequences, single, np.ndim(series if single else series[0]) == 1


def read_step(x_t: Any, features: int) -> np.ndarray:
    """Check one step (a,) of a stream; a number where there is one feature."""
    refuse_masked("x_t", x_t)
    step = np.atleast_1d(as_real_numbers("x_t", x_t))
    if step.shape != (features,):
        raise ValueError(f"x_t must have shape ({features},), got {step.shape}.")
    if not np.isfinite(step).all():
        raise ValueError(f"x_t must be finite, got {step.tolist()}. Skip the step or fill in its values.")
    if not (np.abs(step) <= LARGEST).all():
        raise ValueError(
            f"x_t must have values of at most {LARGEST:g} in size, got {step.tolist()}. Divide the series by a "
            "constant."
        )
    return step


def as_labels(y: Any) -> np.ndarray:
    """Return the labels of a fit as an array, those of a tensor without their gradient."""
    refuse_masked("y", y)
    return np.asarray(y.detach().cpu() if isinstance(y, Tensor) else y)


def as_real_numbers(name: str, values: Any) -> np.ndarray:
    """Return float64 numbers; ValueError for complex numbers and dates, which NumPy would convert."""
    if isinstance(values, Tensor):
        values = values.detach().cpu() if values.is_complex() else values.detach().cpu().double()
    array = np.asarray(values)
    if array.dtype.kind in "cmM":
        raise ValueError(f"{name} must hold real numbers, got {array.dtype}. Convert it.")
    return array.astype(np.float64)


def refuse_masked(name: str, values: Any) -> None:
    """Raise ValueError for a NumPy array with masked values, which `np.asarray` reads as if they were data."""
    if np.ma.is_masked(values):
        masked = int(np.ma.count_masked(values))
        raise ValueError(f"{name} must have no masked values, got {masked}. Fill them in or leave them out first.")
