"""Piano roll ⇄ MIDI file.

A piano roll is (T, 88) of 0 and 1: row t is one step, column j is MIDI note 21 + j (A0..C8). A note is 1 in row t if it
sounds when step t begins; what happens between two steps is not seen. Steps count quarter notes (`steps_per_quarter`
of them each), read from the file's own ticks, so that a change of tempo does not move them.

A roll cannot tell a held note from a repeated one: equal neighbours are written as one held note.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

LOWEST_NOTE, NOTES = 21, 88
SLACK = 1 / 8  # of a step: a player who is this much late or early still plays on the step
END = "end of roll"  # a lyric that write_midi puts there, so that silence at the end is kept
TICKS_PER_QUARTER = 480  # about; a multiple of steps_per_quarter near it is used, so that every step is a whole tick
VELOCITY = 80


def piano_roll(path: str | os.PathLike[str], steps_per_quarter: int = 1) -> Tensor:
    """The piano roll of a MIDI file: float32, (T, 88).

    All instruments are put together, except drums; notes outside A0..C8 are dropped. Silence at the start is kept, and
    T ends with the last note (of files from `write_midi`: with the roll that was written).

    Raises
    ------
    ValueError
        Not a readable MIDI file, or steps_per_quarter is no positive whole number.
    ImportError
        The package pretty_midi is missing.
    """
    check_steps(steps_per_quarter)
    score = read(Path(path))
    per_step = score.resolution / steps_per_quarter
    spans = []
    length = 0
    for instrument in score.instruments:
        if instrument.is_drum:
            continue
        for note in instrument.notes:
            onset, end = (score.time_to_tick(seconds) / per_step for seconds in (note.start, note.end))
            spans.append((*frames_of(onset, end), note.pitch - LOWEST_NOTE))
            length = max(length, math.ceil(end - SLACK), spans[-1][1])
    ends = [round(score.time_to_tick(lyric.time) / per_step) for lyric in score.lyrics if lyric.text == END]
    roll = torch.zeros(max([length, *ends]), NOTES)
    for first, stop, column in spans:
        if 0 <= column < NOTES:
            roll[first:stop, column] = 1
    return roll


def frames_of(onset: float, end: float) -> tuple[int, int]:
    """First row and the row after the last of a note from `onset` to `end`, in steps: the rows t with
    onset ≤ t + SLACK < end, and always the row of an onset within SLACK of it, however short the note.
    """
    first = math.ceil(onset - SLACK)
    stop = math.ceil(end - SLACK)
    on_step = abs(onset - first) <= SLACK
    return first, max(stop, first + on_step)


def write_midi(
    roll: Tensor | np.ndarray, path: str | os.PathLike[str], steps_per_quarter: int = 1, tempo: float = 90.0
) -> None:
    """Write a piano roll, (T, 88) of 0 and 1, as a MIDI file for piano; `tempo` in quarter notes a minute.

    Equal neighbours become one held note; T = 0 gives a file without notes. An existing file is overwritten.

    Raises
    ------
    ValueError
        Another shape, other values than 0 and 1, or a step or tempo that MIDI cannot write.
    ImportError
        The package pretty_midi is missing.
    """
    check_steps(steps_per_quarter)
    if not 4 <= tempo <= 1000:
        raise ValueError(f"tempo is {tempo}, but 4 to 1000 quarter notes a minute are wanted")
    sounding = check_roll(roll)
    pretty_midi = require_pretty_midi()
    seconds = 60 / (tempo * steps_per_quarter)
    resolution = steps_per_quarter * max(1, round(TICKS_PER_QUARTER / steps_per_quarter))
    score = pretty_midi.PrettyMIDI(resolution=resolution, initial_tempo=tempo)
    piano = pretty_midi.Instrument(program=0, name="piano roll")
    for onset, end, column in held_notes(sounding):
        piano.notes.append(pretty_midi.Note(VELOCITY, LOWEST_NOTE + column, onset * seconds, end * seconds))
    score.instruments.append(piano)
    score.lyrics.append(pretty_midi.Lyric(END, len(sounding) * seconds))
    score.write(os.fspath(path))


def held_notes(sounding: np.ndarray) -> list[tuple[int, int, int]]:
    """Onset row, the row after the last, and column of every run of ones down a column, by onset."""
    edges = np.diff(sounding.astype(np.int8), axis=0, prepend=0, append=0)
    columns, onsets = np.nonzero(edges.T == 1)
    _, ends = np.nonzero(edges.T == -1)  # a column's onsets and ends alternate, so they pair in this order
    return sorted(zip(onsets.tolist(), ends.tolist(), columns.tolist(), strict=True))


def check_roll(roll: Tensor | np.ndarray) -> np.ndarray:
    """The roll as a boolean array (T, 88), or ValueError."""
    values = roll.detach().cpu().numpy() if isinstance(roll, Tensor) else np.asarray(roll)
    if values.ndim != 2 or values.shape[1] != NOTES:
        raise ValueError(f"a piano roll has shape (T, {NOTES}), but this one has {tuple(values.shape)}")
    if not np.isin(values, (0, 1)).all():
        raise ValueError("a piano roll holds 0 and 1 only: compare probabilities with a threshold, or sample, first")
    return values.astype(bool)


def check_steps(steps_per_quarter: int) -> None:
    """Raise ValueError unless it is a whole number from 1 to 960."""
    if not isinstance(steps_per_quarter, int) or not 1 <= steps_per_quarter <= 960:
        raise ValueError(f"steps_per_quarter is {steps_per_quarter!r}, but a whole number from 1 to 960 is wanted")


def read(path: Path) -> Any:
    """The file as a PrettyMIDI object whose times are consistent with its ticks."""
    pretty_midi = require_pretty_midi()
    content = path.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd places of tempo events: seconds are not used here, ticks are
            score = pretty_midi.PrettyMIDI(io.BytesIO(content))
    except Exception as error:  # the parsers underneath raise whatever the damaged bytes lead to
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} is not a readable MIDI file ({reason}): mend it or take it away") from error
    if score.resolution <= 0:
        raise ValueError(f"{path} counts time in film frames, not in quarter notes: save it in ticks a quarter note")
    return score


def require_pretty_midi() -> ModuleType:
    """The optional package, imported when it is first needed."""
    try:
        import pretty_midi
    except ImportError as error:
        raise ImportError(
            "MIDI files need the package pretty_midi: pip install 'linear-memory-networks[music]'"
        ) from error
    return pretty_midi
