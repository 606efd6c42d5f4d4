"""TS files, the text format of aeon and sktime: labelled series of unequal length with several channels.

A header of `@name value` lines, `@data`, then one case per line: the channels separated by colons, the steps of a
channel by commas, then the class label (`@classLabel true A B`) or the target (`@targetLabel true`).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from linmem.data.csv_file import is_number
from linmem.storage.limits import require_size
from linmem.storage.messages import shortened
from linmem.storage.parsing import parsing

_BYTES_PER_BYTE = 8


class TimeSeriesFile(NamedTuple):
    """The cases of a TS file; class labels are strings, targets numbers."""

    cases: list[np.ndarray]  # (T_i, a) float64 each
    labels: list[str]  # one per case, as written; empty without labels
    regression: bool  # whether the labels are numeric targets


def read_ts(path: Path) -> TimeSeriesFile:
    r"""Read a TS file.

    Parameters
    ----------
    path : Path
        The file. Lengths may differ between cases.

    Raises
    ------
    ValueError
        A value is missing or not a number (named by line, channel and step), channels differ in length or number, a
        label is not declared, the file has timestamps, or it exceeds `LINMEM_MAX_BYTES`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.ts").write_text("@classLabel true up down\n@data\n1,2,3:up\n3,2:down\n")
    ...     found = read_ts(Path(folder) / "a.ts")
    >>> found.labels, [case.shape for case in found.cases]
    (['up', 'down'], [(3, 1), (2, 1)])
    """
    require_size(_BYTES_PER_BYTE * path.stat().st_size, path)
    with parsing(path, "a TS file in UTF-8", "Save it as plain text."):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    header: dict[str, list[str]] = {}
    start = None
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text.lower() == "@data":
            start = number
            break
        if text.startswith("@"):
            name, *values = text[1:].split() or [""]
            header[name.lower()] = values
        elif text and not text.startswith(("#", "%")):
            raise ValueError(f"{path}, line {number} must be a header line before @data, got {text[:40]!r}. Repair it.")
    if start is None:
        raise ValueError(f"{path} must hold a line @data, got none. Use a TS file of aeon or sktime.")
    if _flag(header, "timestamps"):
        raise ValueError(f"{path} must have no timestamps, got @timeStamps true. Resample to equal steps.")
    classes, regression = _flag(header, "classlabel"), _flag(header, "targetlabel")
    declared = set(header.get("classlabel", [])[1:])
    cases: list[np.ndarray] = []
    labels: list[str] = []
    for number, line in enumerate(lines[start:], start=start + 1):
        if not (text := line.strip()) or text.startswith("#"):
            continue
        channels = text.split(":")
        if classes or regression:
            labels.append(channels.pop().strip())
            _check_label(path, number, labels[-1], declared, regression)
        cases.append(_values(path, number, channels, cases[0].shape[1] if cases else None))
    if not cases:
        raise ValueError(f"{path} must hold at least one case after @data, got none. Remove the file.")
    return TimeSeriesFile(cases, labels, regression)


def _flag(header: dict[str, list[str]], name: str) -> bool:
    return [value.lower() for value in header.get(name, [])[:1]] == ["true"]


def _check_label(path: Path, number: int, label: str, declared: set[str], regression: bool) -> None:
    if regression and not is_number(label):
        raise ValueError(f"{path}, line {number}: the target must be a number, got {label[:40]!r}. Repair it.")
    if not label or (declared and label not in declared):
        known = shortened(", ".join(sorted(declared)) or "a name")
        raise ValueError(f"{path}, line {number}: the class must be one of {known}, got {label[:40]!r}. Repair it.")


def _values(path: Path, number: int, channels: list[str], expected: int | None) -> np.ndarray:
    if not channels or (expected is not None and len(channels) != expected):
        raise ValueError(
            f"{path}, line {number} must have {expected or 'at least 1'} channel(s) and a label if one is declared, "
            f"got {len(channels)} channel(s). Repair it."
        )
    columns = []
    for channel, text in enumerate(channels):
        cells = text.split(",")
        for step, cell in enumerate(cells):
            if not is_number(cell) or not np.isfinite(float(cell)):
                raise ValueError(
                    f"{path}, line {number}, channel {channel}, step {step} must be a finite number, "
                    f"got {cell.strip()[:40]!r}. Fill in missing values first."
                )
        columns.append([float(cell) for cell in cells])
        if len(cells) != len(columns[0]):
            raise ValueError(
                f"{path}, line {number}: channel {channel} must have {len(columns[0])} steps like channel 0, "
                f"got {len(cells)}. Pad or cut it."
            )
    return np.array(columns).T
