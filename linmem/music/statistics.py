"""Statistics of pieces of music, to compare sampled pieces with real ones.

    notes per frame      mean number of active notes
    pitch range          highest minus lowest pitch, in semitones
    interval class c     share of the pairs of notes of a frame whose pitches differ by ±c semitones modulo 12
    held notes           share of the active notes that continue a note of the frame before
    voice movement       mean |pitch change| in semitones over the voices that change pitch
    parallels            fifths and octaves (or unisons) reached by parallel motion, per 100 moves of two voices
    copied passage       longest run of frames that occurs in a training piece

Symbols: T steps, V voices. Pieces are piano rolls (T, 88), or (T, 176) with onsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from torch import Tensor

from linmem.data.midi import NOTES, check_roll
from linmem.music.voices import REST, assign_voices

INTERVAL_CLASSES = 7  # 0 (octave) … 6 (tritone)


@dataclass(frozen=True)
class PieceStatistics:
    """Statistics of one piece; None where the piece has nothing to measure."""

    notes_per_frame: float
    pitch_range: int | None
    interval_classes: tuple[float, ...] | None  # (7,) shares
    held_share: float | None
    voice_movement: float | None  # semitones
    parallels: float | None  # per 100 moves
    copied_steps: int | None


def measure(
    piece: Tensor | np.ndarray, training: Sequence[Tensor | np.ndarray] = (), voices: int = 4
) -> PieceStatistics:
    """Measure one piece.

    Parameters
    ----------
    piece : Tensor or ndarray
        (T, 88), or (T, 176) with onsets.
    training : sequence of Tensor or ndarray
        Pieces in which to search for copied passages; without any, `copied_steps` is None.
    voices : int
        V. Pieces with more notes in a frame have no voice movement and no parallels.

    Returns
    -------
    PieceStatistics

    Notes
    -----
    Time O(T · steps of `training`) for the copied passage, O(T V³) for the voices.

    Examples
    --------
    Two voices move from C4–G4 to D4–A4, a parallel fifth:

    >>> piece = np.zeros((2, 88))
    >>> piece[0, [39, 46]] = piece[1, [41, 48]] = 1
    >>> found = measure(piece, voices=2)
    >>> found.notes_per_frame, found.pitch_range, found.voice_movement, found.parallels
    (2.0, 9, 2.0, 100.0)
    """
    roll = check_roll(piece)
    active = roll[:, :NOTES]
    pitches = np.flatnonzero(active.any(0))
    lines = assign_voices(active, voices) if active.sum(1).max(initial=0) <= voices else None
    return PieceStatistics(
        notes_per_frame=float(active.sum(1).mean()) if len(active) else 0.0,
        pitch_range=int(pitches[-1] - pitches[0]) if len(pitches) else None,
        interval_classes=interval_classes(active),
        held_share=held_share(roll),
        voice_movement=None if lines is None else voice_movement(lines),
        parallels=None if lines is None else parallels(lines),
        copied_steps=longest_copy(active, [check_roll(one)[:, :NOTES] for one in training]) if len(training) else None,
    )


def interval_classes(active: np.ndarray) -> tuple[float, ...] | None:
    """Return the shares of the interval classes 0 … 6 among the pairs of notes of all frames of (T, 88)."""
    counts = np.zeros(INTERVAL_CLASSES)
    for difference in range(1, NOTES):
        step = difference % 12
        counts[min(step, 12 - step)] += (active[:, difference:] & active[:, :-difference]).sum()
    return tuple((counts / counts.sum()).tolist()) if counts.sum() else None


def held_share(roll: np.ndarray) -> float | None:
    """Return the share of active notes, from the second frame on, that continue a note; an onset begins a new one."""
    active = roll[:, :NOTES]
    held = active[1:] & active[:-1]
    if roll.shape[1] > NOTES:
        held &= ~roll[1:, NOTES:]
    return float(held.sum() / active[1:].sum()) if active[1:].any() else None


def voice_movement(lines: np.ndarray) -> float | None:
    """Return the mean absolute pitch change in semitones over the voices of (T, V) that change pitch."""
    before, after = lines[:-1], lines[1:]
    moves = np.abs(after - before)[(before != REST) & (after != REST) & (after != before)]
    return float(moves.mean()) if moves.size else None


def parallels(lines: np.ndarray) -> float | None:
    """Return parallel perfect fifths and octaves per 100 moves of (T, V) voices.

    A move is two voices that both change pitch between two frames. It is parallel if both change in the same direction
    and their interval is a fifth (7 semitones modulo 12) before and after, or an octave or unison before and after.
    """
    moves = found = 0
    before, after = lines[:-1], lines[1:]
    moving = (before != REST) & (after != REST) & (before != after)
    for i, j in combinations(range(lines.shape[1]), 2):
        both = moving[:, i] & moving[:, j]
        moves += int(both.sum())
        same_direction = (after[:, i] > before[:, i]) == (after[:, j] > before[:, j])
        first, second = (np.abs(x[:, i] - x[:, j]) % 12 for x in (before, after))
        found += int((both & same_direction & (first == second) & ((first == 7) | (first == 0))).sum())
    return 100 * found / moves if moves else None


def longest_copy(active: np.ndarray, training: Sequence[np.ndarray]) -> int:
    """Return the length of the longest run of frames of (T, 88) that occurs in one of the training pieces.

    Runs of silence do not count as copies.
    """
    code: dict[bytes, int] = {}
    piece = [_code(frame, code) for frame in np.packbits(active, axis=1)]
    longest = 0
    for other in training:
        frames = np.array([code.get(frame.tobytes(), -1) for frame in np.packbits(other, axis=1)])
        run = np.zeros(len(frames) + 1, dtype=int)
        notes = active.any(1)
        first_notes = np.concatenate([[0], np.cumsum(notes)])
        for t, frame in enumerate(piece):
            run[1:] = np.where(frames == frame, run[:-1] + 1, 0)
            length = int(run.max())
            if length > longest and first_notes[t + 1] > first_notes[t + 1 - length]:
                longest = length
    return longest


def _code(frame: np.ndarray, code: dict[bytes, int]) -> int:
    return code.setdefault(frame.tobytes(), len(code))
