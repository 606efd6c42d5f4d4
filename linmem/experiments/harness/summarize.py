"""Groups of results and how repeated measurements are written, for the tables of all experiments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

from linmem.reporting.tables import mean_std

Group = list[Mapping[str, Any]]


def group_by(results: Iterable[Mapping[str, Any]], *keys: str) -> dict[Any, Group]:
    """Group results by the values of `keys`, in order of appearance.

    One key gives plain values, several give tuples; a missing key counts as None.
    """
    groups: dict[Any, Group] = {}
    for result in results:
        values = tuple(result.get(key) for key in keys)
        groups.setdefault(values if len(keys) > 1 else values[0], []).append(result)
    return groups


def select(results: Iterable[Mapping[str, Any]], **values: Any) -> Group:
    """Return the results that have these values."""
    return [result for result in results if all(result.get(key) == value for key, value in values.items())]


def column(results: Iterable[Mapping[str, Any]], key: str) -> list[float]:
    """Return the measured values of `key`: results without it, or with None, are left out."""
    return [result[key] for result in results if result.get(key) is not None]


def spread(results: Iterable[Mapping[str, Any]], key: str, digits: int = 2) -> str | None:
    """Format `mean ± standard deviation` of `key` over the results."""
    return mean_std(column(results, key), digits)


def mean_range(values: Sequence[float], digits: int = 2) -> str | None:
    """Format the mean with the range: `mean (lowest … highest)`.

    Examples
    --------
    >>> mean_range([1.0, 2.0, 6.0], 1)
    '3.0 (1.0 … 6.0)'
    """
    if not values:
        return None
    average, low, high = (f"{value:.{digits}f}" for value in (mean(values), min(values), max(values)))
    return average if low == high else f"{average} ({low} … {high})"
