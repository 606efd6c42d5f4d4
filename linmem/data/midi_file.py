"""Notes of a MIDI file, counted in its own ticks, so that neither tempo nor tick resolution changes what is read.

mido parses the bytes. Drums (channel 10) are left out; all other tracks and channels are read together.
"""

from __future__ import annotations

import io
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from linmem.storage.atomic import write_bytes
from linmem.storage.limits import require_size
from linmem.storage.parsing import parsing

DRUM_CHANNEL = 9
END_MARKER = "end of roll"  # a lyric that records the length, so that silence at the end is kept
VELOCITY = 80
BYTES_PER_BYTE = 100  # memory that mido's messages take per byte of a file, rounded up


class Note(NamedTuple):
    """A note; times in ticks."""

    onset: int
    end: int
    pitch: int  # MIDI note number, 0 … 127
    track: int = 0


class Score(NamedTuple):
    """Notes in order of their onsets, and how time is counted."""

    notes: list[Note]
    resolution: int  # ticks per quarter note
    length: int | None = None  # ticks, where the file records it


def read_score(path: str | os.PathLike[str]) -> Score:
    """Read the notes of a MIDI file.

    Parameters
    ----------
    path : path
        A standard MIDI file of any type and tick resolution.

    Returns
    -------
    Score
        The notes of all instruments but drums. Notes that never end are left out.

    Raises
    ------
    ValueError
        The file is not readable MIDI, counts time in film frames, or is too large (`LINMEM_MAX_BYTES`).
    ImportError
        The package mido is not installed.
    """
    mido = require_mido()
    path = Path(path)
    require_size(BYTES_PER_BYTE * path.stat().st_size, path)
    with parsing(path, "a readable MIDI file", "Repair or remove it."):
        file = mido.MidiFile(file=io.BytesIO(path.read_bytes()))
    if file.ticks_per_beat <= 0:
        raise ValueError(
            f"{path} must count time in ticks per quarter note, got film frames. Export it again in musical time."
        )
    notes: list[Note] = []
    length = None
    for index, track in enumerate(file.tracks):
        found, marker = _notes_of(track, index)
        notes += found
        length = marker if marker is not None else length
    return Score(sorted(notes), file.ticks_per_beat, length)


def write_score(score: Score, path: str | os.PathLike[str], tempo: float = 90.0, names: Sequence[str] = ()) -> None:
    """Write notes as a standard MIDI file of type 1: one track for the tempo, then one per `Note.track`.

    Parameters
    ----------
    score : Score
        What to write; a `length` keeps silence at the end.
    path : path
        The file; replaced if it exists.
    tempo : float
        Quarter notes per minute, from 4 to 1000.
    names : sequence of str
        Names of the tracks, by number; more names than tracks give empty tracks.

    Raises
    ------
    ValueError
        The tempo is out of range.
    ImportError
        The package mido is not installed.
    """
    if not 4 <= tempo <= 1000:
        raise ValueError(f"tempo must be from 4 to 1000 quarter notes per minute, got {tempo}. Change tempo.")
    mido = require_mido()
    first = [(0, mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo)))]
    if score.length is not None:
        first.append((score.length, mido.MetaMessage("lyrics", text=END_MARKER)))
    tracks = [first]
    for index in range(max([len(names) - 1, 0, *(note.track for note in score.notes)]) + 1):
        channel = index + (index >= DRUM_CHANNEL)
        events = [] if index >= len(names) else [(0, mido.MetaMessage("track_name", name=names[index]))]
        own = [note for note in score.notes if note.track == index]
        messages = [(note.end, 0, note.pitch) for note in own] + [(note.onset, VELOCITY, note.pitch) for note in own]
        events += [
            (tick, mido.Message("note_on", channel=channel % 16, note=pitch, velocity=velocity))
            for tick, velocity, pitch in sorted(messages)  # velocity 0, which ends a note, sorts before a new onset
        ]
        tracks.append(events)
    file = mido.MidiFile(type=1, ticks_per_beat=score.resolution)
    file.tracks += [mido.MidiTrack(_relative(events)) for events in tracks]
    content = io.BytesIO()
    file.save(file=content)
    write_bytes(Path(path), content.getvalue())


def _notes_of(track: Iterable[Any], index: int) -> tuple[list[Note], int | None]:
    """Pair the note messages of one track; a note_off ends all open notes of its pitch that began earlier."""
    notes, tick, length = [], 0, None
    active: dict[tuple[int, int], list[int]] = defaultdict(list)
    for message in track:
        tick += message.time
        if message.type == "lyrics" and message.text == END_MARKER:
            length = tick
        elif message.type in ("note_on", "note_off") and message.channel != DRUM_CHANNEL:
            key = message.channel, message.note
            if message.type == "note_on" and message.velocity > 0:
                active[key].append(tick)
                continue
            notes += [Note(onset, tick, message.note, index) for onset in active[key] if onset < tick]
            active[key] = [onset for onset in active[key] if onset == tick]
    return notes, length


def _relative(events: list[tuple[int, Any]]) -> list[Any]:
    """Replace absolute ticks by the differences that a MIDI track stores."""
    ticks = [0, *(tick for tick, _ in events)]
    return [
        message.copy(time=after - before) for before, after, (_, message) in zip(ticks, ticks[1:], events, strict=False)
    ]


def require_mido() -> ModuleType:
    """Import the optional package mido."""
    try:
        import mido
    except ImportError as error:
        raise ImportError(
            "mido must be installed for MIDI files, got none. Run pip install 'linear-memory-networks[music]'."
        ) from error
    return mido
