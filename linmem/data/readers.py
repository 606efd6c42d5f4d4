"""Files of a user's folder as cases: one reader per format, all with the same result.

Symbols: T steps, a features.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from linmem.data.csv_file import read_csv
from linmem.data.midi import NOTES, piano_roll
from linmem.data.npy_file import read_npy
from linmem.data.ts_file import read_ts


class Reading(NamedTuple):
    """What the content of one file depends on, besides the file."""

    steps_per_quarter: int = 1
    layout: str = "tc"
    onsets: bool = False


class Case(NamedTuple):
    """One sequence of a file."""

    values: Tensor  # (T, a) float32
    title: str
    names: tuple[str, ...] = ()  # of the features
    label: str | None = None
    regression: bool = False  # whether the label is a numeric target
    transposable: bool = False  # whether `layout` applies to the format
    dated: bool = False  # whether a column of dates was left out


def midi_cases(path: Path, title: str, reading: Reading) -> list[Case]:
    """Read one MIDI file as a piano roll."""
    roll = piano_roll(path, reading.steps_per_quarter, onsets=reading.onsets)
    if not roll.any():
        raise ValueError(
            f"{path} must hold a note between A0 and C8 that is active at a step, got none. "
            "Remove the file or raise steps_per_quarter."
        )
    return [Case(roll, title)]


def npy_cases(path: Path, title: str, reading: Reading) -> list[Case]:
    """Read one array."""
    return [Case(as_sequence(read_npy(path), path, reading.layout), title, transposable=True)]


def csv_cases(path: Path, title: str, reading: Reading) -> list[Case]:
    """Read one table; the header names the features unless rows are channels."""
    table = read_csv(path, dates=reading.layout == "tc")
    names = table.names if reading.layout == "tc" else ()
    return [Case(as_sequence(table.values, path, reading.layout), title, names, transposable=True, dated=table.dated)]


def ts_cases(path: Path, title: str, reading: Reading) -> list[Case]:
    """Read all cases of a TS file with their labels."""
    found = read_ts(path)
    return [
        Case(
            as_sequence(values, path),
            f"{title} case {index}",
            label=found.labels[index] if found.labels else None,
            regression=found.regression,
        )
        for index, values in enumerate(found.cases)
    ]


def as_sequence(values: np.ndarray, path: Path, layout: str = "tc") -> Tensor:
    """Convert an array to a float32 sequence (T, a), or raise ValueError.

    Parameters
    ----------
    values : ndarray
        (T, a), or (a, T) with layout "ct".
    path : Path
        The file, for the error message.
    layout : str
        "tc" or "ct".
    """
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(
            f"{path} must hold an array (steps, features), got shape {values.shape}. "
            "Save one row per step and one column per feature."
        )
    values = values.T if layout == "ct" else values
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(numbers).all():
        step, feature = np.argwhere(~np.isfinite(numbers))[0].tolist()
        raise ValueError(
            f"{path}, step {step}, feature {feature} must be a finite float32, got {values[step, feature]}. "
            "Remove or fill in such values."
        )
    return torch.tensor(numbers) if not numbers.flags.writeable else torch.from_numpy(numbers)


def is_roll(values: Tensor) -> bool:
    """Whether a sequence is a piano roll: 0 and 1 in 88 columns, or in 176 with onsets only of active notes."""
    if values.shape[1] not in (NOTES, 2 * NOTES) or not bool(((values == 0) | (values == 1)).all()):
        return False
    return values.shape[1] == NOTES or bool((values[:, NOTES:] <= values[:, :NOTES]).all())


NUMERIC = (".npy", ".csv")
READERS: dict[str, Callable[[Path, str, Reading], list[Case]]] = {
    ".mid": midi_cases,
    ".midi": midi_cases,
    ".npy": npy_cases,
    ".csv": csv_cases,
    ".ts": ts_cases,
}
