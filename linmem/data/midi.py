"""Conversion between piano rolls and MIDI files.

A piano roll is (T, 88) of 0 and 1: row t is one step, column j is MIDI note 21 + j (A0 … C8). A note is 1 in row t if
it is active when step t begins; what happens between two steps is lost. Steps are fractions of the file's quarter notes
(`steps_per_quarter`), so a change of tempo does not move them.

Such a roll cannot tell a held note from a repeated one. A roll with onsets, (T, 176), can: column 88 + j is 1 where a
note of column j begins.
"""

from __future__ import annotations

import math
import os

import numpy as np
import torch
from torch import Tensor

from linmem.data.midi_file import Note, Score, read_score, write_score
from linmem.storage.limits import require_size

LOWEST_NOTE, NOTES = 21, 88
SLACK = 1 / 8  # of a step: a note that begins this much early or late belongs to the step
TICKS_PER_QUARTER = 480  # approximately: a multiple of steps_per_quarter, so that every step is a whole number of ticks
MAX_STEPS_PER_QUARTER = 960


def piano_roll(path: str | os.PathLike[str], steps_per_quarter: int = 1, *, onsets: bool = False) -> Tensor:
    """Read a MIDI file as a piano roll.

    Parameters
    ----------
    path : path
        A standard MIDI file.
    steps_per_quarter : int
        Rows per quarter note, from 1 to 960; 4 resolves sixteenth notes.
    onsets : bool
        Whether to append 88 columns that mark where each note begins, so that repeated notes stay separate.

    Returns
    -------
    Tensor
        float32, (T, 88), or (T, 176) with `onsets`. Silence at the start is kept. T ends with the last note; in files
        of `write_midi`, with the last row written.

    Raises
    ------
    ValueError
        The file is not readable MIDI, `steps_per_quarter` is out of range, or the roll would exceed
        `LINMEM_MAX_BYTES`.
    ImportError
        The package mido is not installed.

    Notes
    -----
    Drums and notes outside A0 … C8 are left out. Time is O(notes + T).

    Examples
    --------
    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> roll = torch.zeros(4, 88)
    >>> roll[:3, 39] = 1  # C4 for three steps, then silence
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_midi(roll, Path(folder) / "a.mid", steps_per_quarter=4)
    ...     torch.equal(piano_roll(Path(folder) / "a.mid", steps_per_quarter=4), roll)
    True
    """
    check_steps(steps_per_quarter)
    score = read_score(path)

    def steps(ticks: int) -> float:
        return ticks * steps_per_quarter / score.resolution

    spans = [(*frames_of(steps(note.onset), steps(note.end)), note.pitch - LOWEST_NOTE) for note in score.notes]
    ends = [
        max(math.ceil(steps(note.end) - SLACK), stop) for note, (_, stop, _) in zip(score.notes, spans, strict=True)
    ]
    length = max([0, *ends] + ([] if score.length is None else [round(steps(score.length))]))
    columns = 2 * NOTES if onsets else NOTES
    require_size(4 * length * columns, f"{os.fspath(path)} as a piano roll of {length:,} steps")
    roll = torch.zeros(length, columns)
    for first, stop, column in spans:
        if 0 <= column < NOTES:
            roll[first:stop, column] = 1
            if onsets and first < stop:
                roll[first, NOTES + column] = 1
    return roll


def frames_of(onset: float, end: float) -> tuple[int, int]:
    """Return the first row of a note and the row after its last.

    Parameters
    ----------
    onset, end : float
        Times in steps.

    Returns
    -------
    tuple of int
        The rows t with onset ≤ t + SLACK < end, and always the row within SLACK of the onset, however short the note.

    Examples
    --------
    >>> frames_of(0.95, 3.0)
    (1, 3)
    >>> frames_of(4.0, 4.05)
    (4, 5)
    """
    first = math.ceil(onset - SLACK)
    stop = math.ceil(end - SLACK)
    on_step = abs(onset - first) <= SLACK
    return first, max(stop, first + on_step)


def write_midi(
    roll: Tensor | np.ndarray, path: str | os.PathLike[str], steps_per_quarter: int = 1, tempo: float = 90.0
) -> None:
    """Write a piano roll as a MIDI file for piano.

    Parameters
    ----------
    roll : Tensor or ndarray
        (T, 88) or, with onsets, (T, 176), of 0 and 1. Without onsets, equal neighbours become one held note.
    path : path
        The file; replaced if it exists.
    steps_per_quarter : int
        Rows per quarter note, from 1 to 960.
    tempo : float
        Quarter notes per minute, from 4 to 1000.

    Raises
    ------
    ValueError
        The roll has another shape or other values, or a number is out of range.
    ImportError
        The package mido is not installed.

    Examples
    --------
    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> roll = torch.zeros(4, 88)
    >>> roll[:, 39] = 1  # middle C, held for four quarters
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_midi(roll, Path(folder) / "c.mid")
    ...     torch.equal(piano_roll(Path(folder) / "c.mid"), roll)
    True
    """
    write_score(to_score(roll, steps_per_quarter), path, tempo, ["piano roll"])


def to_score(roll: Tensor | np.ndarray, steps_per_quarter: int = 1) -> Score:
    """Convert a piano roll, (T, 88) or with onsets (T, 176), to notes of one track; steps are whole ticks."""
    check_steps(steps_per_quarter)
    values = check_roll(roll)
    ticks = max(1, round(TICKS_PER_QUARTER / steps_per_quarter))
    notes = [Note(a * ticks, b * ticks, LOWEST_NOTE + column) for a, b, column in held_notes(values)]
    return Score(notes, ticks * steps_per_quarter, len(values) * ticks)


def held_notes(roll: np.ndarray) -> list[tuple[int, int, int]]:
    """List the notes of a boolean roll as (first row, row after the last, column), by first row.

    Parameters
    ----------
    roll : ndarray
        (T, 88), where a note is a run of ones down a column, or (T, 176), where an onset begins a new note inside a
        run. An onset of an inactive note has no effect.
    """
    active = roll[:, :NOTES]
    before = np.zeros_like(active)
    before[1:] = active[:-1]
    begins = active & (~before | roll[:, NOTES:]) if roll.shape[1] > NOTES else active & ~before
    ends = active.copy()
    ends[:-1] &= ~active[1:] | begins[1:]
    columns, first = np.nonzero(begins.T)
    _, last = np.nonzero(ends.T)  # a column's beginnings and ends alternate, so they pair in this order
    return sorted(zip(first.tolist(), (last + 1).tolist(), columns.tolist(), strict=True))


def check_roll(roll: Tensor | np.ndarray) -> np.ndarray:
    """Return a roll as a boolean array, (T, 88) or (T, 176), or raise ValueError."""
    values = roll.detach().cpu().numpy() if isinstance(roll, Tensor) else np.asarray(roll)
    if values.ndim != 2 or values.shape[1] not in (NOTES, 2 * NOTES):
        raise ValueError(
            f"roll must have shape (T, {NOTES}), or (T, {2 * NOTES}) with onsets, got {tuple(values.shape)}. "
            "Give one column per MIDI note from 21 to 108."
        )
    if not np.isin(values, (0, 1)).all():
        raise ValueError("roll must hold 0 and 1 only, got other values. Threshold or sample probabilities first.")
    return values.astype(bool)


def check_steps(steps_per_quarter: int) -> None:
    """Raise ValueError unless the number of steps is a whole number from 1 to 960."""
    if not isinstance(steps_per_quarter, int) or not 1 <= steps_per_quarter <= MAX_STEPS_PER_QUARTER:
        raise ValueError(
            f"steps_per_quarter must be a whole number from 1 to {MAX_STEPS_PER_QUARTER}, got {steps_per_quarter!r}. "
            "Use 1 for quarters, 2 for eighths, 4 for sixteenths."
        )
