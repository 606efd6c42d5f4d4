"""Groups of results, how repeated measurements are written, and the tables and figures that experiments share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from linmem.reporting import figures
from linmem.reporting.output import figure
from linmem.reporting.tables import mean_std

Result = dict[str, Any]  # the measurements of one record
Results = Sequence[Mapping[str, Any]]
Group = list[Mapping[str, Any]]


def group_by(results: Iterable[Mapping[str, Any]], *keys: str) -> dict[Any, Group]:
    """Group results by the values of `keys`, in order of appearance.

    Several keys give tuples; a missing key counts as None.
    """
    groups: dict[Any, Group] = {}
    for result in results:
        values = tuple(result.get(key) for key in keys)
        groups.setdefault(values if len(keys) > 1 else values[0], []).append(result)
    return groups


def select(results: Iterable[Mapping[str, Any]], **values: Any) -> Group:
    """Return the results that have these values."""
    return [result for result in results if all(result.get(key) == value for key, value in values.items())]


def column(results: Iterable[Mapping[str, Any]], *path: str) -> list[float]:
    """Return the measured values of a key, or of a key in a nested mapping: `column(results, "test", "nll")`.

    Results without it, or with None, are left out.
    """
    values: Iterable[Any] = results
    for key in path:
        values = [value.get(key) for value in values if value is not None]
    return [value for value in values if value is not None]


def spread(results: Iterable[Mapping[str, Any]], *path: str, scale: float = 1, digits: int = 2) -> str | None:
    """Format `mean ± standard deviation` of a `column`, times `scale`, and how many runs have none: they diverged."""
    results = list(results)
    text, diverged = mean_std([scale * value for value in column(results, *path)], digits), _diverged(results, path[0])
    return f"{text} ({diverged} diverged)" if text and diverged else "diverged" if diverged else text


def average(results: Results, *path: str, scale: float = 1) -> float | None:
    """Return the mean of a `column`, times `scale`; None without values, or if a run has none because it diverged."""
    values = column(results, *path)
    return scale * mean(values) if values and not _diverged(results, path[0]) else None


def _diverged(results: Results, key: str) -> int:
    """Return the number of runs without a value, because they diverged in their first epoch."""
    return sum(bool(one.get("diverged")) and one.get(key) is None for one in results)


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


def pivot(results: Results, rows: Mapping[str, str], columns: str, cell: Callable[[Group], str | None]) -> list[Result]:
    """Return table rows: one per combination of values of some keys, with one column per value of another key.

    Parameters
    ----------
    results : Results
    rows : mapping from key to header
        The keys that distinguish rows.
    columns : str
        The key that distinguishes columns, whole numbers in ascending order; the header is the value.
    cell : callable
        Formats the results of a cell; gets [] where there are none.
    """
    values = list(group_by(results, columns))
    if all(isinstance(value, int) for value in values):
        values.sort()
    return [
        {header: own[0][key] for key, header in rows.items()}
        | {str(value): cell(select(own, **{columns: value})) for value in values}
        for own in group_by(results, *rows).values()
    ]


def averages(results: Results, key: str, *path: str, scale: float = 1) -> dict[Any, float]:
    """Return the mean of a `column` by the values of `key`, in ascending order."""
    groups = sorted(group_by(results, key).items())
    return {value: scale * mean(found) for value, own in groups if (found := column(own, *path))}


def draw_curves(
    path: Path,
    panels: Mapping[str, Mapping[str, Mapping[Any, float]]],
    ylabel: str,
    xlabel: str = "memory units",
    dashed: Collection[str] = (),
    width: float = 6.0,
) -> None:
    """Draw one panel per title with one curve per label, from numbers by label and x."""
    if panels:
        with figure(path, len(panels), width) as axes:
            for axis, (title, curves) in zip(axes, panels.items(), strict=True):
                figures.curves(axis, curves, dashed)
                axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
