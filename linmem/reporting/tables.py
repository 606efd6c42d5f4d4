"""Tables as Markdown: readable on a terminal, in a file, and on a page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any


def markdown(
    rows: Sequence[Mapping[str, Any]], digits: Mapping[str, int] | None = None, words: Collection[str] = ()
) -> str:
    """Align rows with the same keys as a Markdown table; floats get `digits[column]` decimals, None an en dash.

    The first column and those of `words` start at the left, all others end at the right.
    """
    columns = list(rows[0])
    left = {i for i, name in enumerate(columns) if i == 0 or name in words}
    cells = [columns] + [[_cell(row[name], (digits or {}).get(name, 2)) for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = [
        "| "
        + " | ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in cells
    ]
    rule = "|" + "|".join("-" * (width + 1) + ("-" if i in left else ":") for i, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _cell(value: Any, digits: int) -> str:
    if value is None:
        return "–"
    return (
        f"{value:,.{digits}f}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value).replace("|", r"\|")
    )
