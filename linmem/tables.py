"""Tables as Markdown: readable on a terminal, in a file, and on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def markdown(rows: Sequence[Mapping[str, Any]], digits: Mapping[str, int] | None = None) -> str:
    """Align rows with the same keys as a Markdown table; floats get `digits[column]` decimals, None an en dash."""
    columns = list(rows[0])
    cells = [columns] + [[_cell(row[name], (digits or {}).get(name, 2)) for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = [
        "| "
        + " | ".join(
            _aligned(cell, width, first=i == 0) for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in cells
    ]
    rule = "|" + "|".join("-" * (width + 1) + ("-" if i == 0 else ":") for i, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _cell(value: Any, digits: int) -> str:
    if value is None:
        return "–"
    return (
        f"{value:,.{digits}f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def _aligned(text: str, width: int, first: bool) -> str:
    return text.ljust(width) if first else text.rjust(width)
