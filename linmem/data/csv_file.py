"""CSV files of numbers: one row per step, one column per feature, and an optional header row of feature names.

A first column of ISO dates, each later than the one before, is recognized and left out.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import numpy as np

from linmem.storage.limits import require_size
from linmem.storage.parsing import parsing

_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")
_BYTES_PER_BYTE = 8  # a number of one digit and a comma takes 8 bytes as float64 and 4 as float32


class Table(NamedTuple):
    """A table of numbers."""

    values: np.ndarray  # (rows, columns) float64
    names: tuple[str, ...]  # of the columns; empty without a header row
    dated: bool = False  # whether a first column of dates was left out


def read_csv(path: Path, dates: bool = True) -> Table:
    r"""Read a table of numbers separated by commas.

    Parameters
    ----------
    path : Path
        A text file in UTF-8. The first row is a header if none of its cells is a number. Empty rows are ignored.
    dates : bool
        Whether the first of several columns may hold months, dates or times, as 2020-01, 2020-01-31 or
        2020-01-31T12:30.

    Raises
    ------
    ValueError
        A cell is not a number, rows differ in length, dates are not in order, the file is not text, or it exceeds
        `LINMEM_MAX_BYTES`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.csv").write_text("x,y\n1,2\n3,4\n")
    ...     read_csv(Path(folder) / "a.csv")
    Table(values=array([[1., 2.],
           [3., 4.]]), names=('x', 'y'), dated=False)
    """
    require_size(_BYTES_PER_BYTE * path.stat().st_size, path)
    numbers, columns = array("d"), 0
    names: tuple[str, ...] = ()
    before: datetime | None = None  # the date of the last row, in a file with dates
    for line, row in rows_of(path):
        if columns == 0:
            columns = len(row)
            if not any(is_number(cell) for cell in row):
                names = tuple(cell.strip() for cell in row)
                continue
        if len(row) != columns:
            raise ValueError(
                f"{path}, line {line} must have {columns} columns like the first, got {len(row)}. Repair it."
            )
        if before or (dates and not numbers and columns > 1):
            date = _date(row[0])
            if before and (date is None or date <= before):
                raise ValueError(
                    f"{path}, line {line} must have a later date than the line before ({before}), got {row[0][:40]!r}. "
                    "Sort the rows, and write all dates alike."
                )
            before = date
        for column, cell in enumerate(row[1:] if before else row, start=2 if before else 1):
            if not is_number(cell):
                raise ValueError(
                    f"{path}, line {line}, column {column} must be a number, got {cell[:40]!r}. "
                    "Remove columns of text and fill in missing values."
                )
        numbers.extend(map(float, row[1:] if before else row))
    dated = before is not None
    values = np.array(numbers).reshape(-1, columns - dated) if numbers else np.zeros((0,))
    return Table(values, names[1:] if dated else names, dated)


def _date(cell: str) -> datetime | None:
    """The time of an ISO month, date or time, in UTC if it has a zone; None for other text, and for plain numbers."""
    text = cell.strip().replace("Z", "+00:00")
    try:
        found = None if is_number(text) else datetime.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else text)
        return found.astimezone(timezone.utc).replace(tzinfo=None) if found and found.tzinfo else found
    except (ValueError, OverflowError):
        return None


def rows_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of every row that is not empty."""
    opened = path.open(newline="", encoding="utf-8-sig")
    with opened as stream, parsing(path, "a CSV file in UTF-8", "Save it as plain text."):
        reader = csv.reader(stream)
        for row in reader:
            if row:
                yield reader.line_num, row


def is_number(cell: str) -> bool:
    """Whether the cell is a decimal number, such as 1, -2.5 or 1e-3, or nan or inf."""
    if "_" in cell:  # Python reads 1_0 as 10
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True
