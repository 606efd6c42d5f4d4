"""Tables as Markdown, and the one format for a mean with its standard deviation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import isfinite, nan
from statistics import mean, stdev
from typing import Any


def mean_std(values: Sequence[float], digits: int = 2) -> str | None:
    """Format the mean and the sample standard deviation of repeated measurements.

    Parameters
    ----------
    values : sequence of float
        One number per repetition, such as per seed.
    digits : int
        Decimals of both numbers.

    Returns
    -------
    str or None
        `mean ± std`; the mean alone for one value; None for no value, which `markdown` shows as an en dash.

    Examples
    --------
    >>> mean_std([1.0, 2.0, 3.0])
    '2.00 ± 1.00'
    >>> mean_std([97.25], digits=1)
    '97.2'
    """
    if not values:
        return None
    average = f"{mean(values):.{digits}f}"
    if len(values) == 1:
        return average
    spread = stdev(values) if all(map(isfinite, values)) else nan
    return f"{average} ± {spread:.{digits}f}"


def markdown(
    rows: Sequence[Mapping[str, Any]], digits: Mapping[str, int | str] | None = None, words: Collection[str] = ()
) -> str:
    r"""Format rows as an aligned Markdown table.

    Parameters
    ----------
    rows : sequence of mappings
        One mapping per row, all with the same keys: the columns. None is shown as an en dash.
    digits : mapping from column to int or str, optional
        Decimals of floats, or a format such as ".4g"; 2 decimals for columns that are not named.
    words : collection of str, optional
        Columns of text, aligned left like the first column. All others are aligned right.

    Returns
    -------
    str
        The table, without a newline at the end.

    Examples
    --------
    >>> print(markdown([{"model": "LSTM", "NLL": 8.561}, {"model": "LMN-B", "NLL": None}], {"NLL": 1}))
    | model | NLL |
    |-------|----:|
    | LSTM  | 8.6 |
    | LMN-B |   – |
    """
    columns = list(rows[0])
    left = {i for i, name in enumerate(columns) if i == 0 or name in words}
    cells = [columns] + [[_cell(row[name], (digits or {}).get(name, 2)) for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]

    def aligned(line: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|" + "|".join("-" * (width + 1) + ("-" if i in left else ":") for i, width in enumerate(widths)) + "|"
    return "\n".join([aligned(cells[0]), rule, *map(aligned, cells[1:])])


def _cell(value: Any, digits: int | str) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:{digits}}" if isinstance(digits, str) else f"{value:,.{digits}f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value).replace("|", r"\|")
