"""Audio of a score by additive synthesis, as 16-bit mono WAV, without an external synthesizer.

    s(t) = Σ_notes e(t) Σ_h h^{-1.5} sin(2π h f t),   f = 440 · 2^{(pitch − 69) / 12}

with a decaying envelope e and short attack and release. The sum is scaled to a fixed peak.
"""

from __future__ import annotations

import io
import os
import wave
from pathlib import Path

import numpy as np

from linmem.data.midi_file import Note, Score
from linmem.storage.atomic import write_bytes
from linmem.storage.limits import require_size

RATE = 22_050  # samples per second
HARMONICS = 6
ATTACK, RELEASE, DECAY = 0.01, 0.05, 1.5  # seconds
PEAK = 0.8
TAIL = 0.5  # seconds after the last note
TEMPI = 4, 1000  # quarter notes per minute, the range that `write_score` takes


def check_tempo(tempo: float) -> None:
    """Refuse a tempo that `write_score` does not write.

    Parameters
    ----------
    tempo : float
        Quarter notes per minute.

    Raises
    ------
    ValueError
        The tempo is out of range.
    """
    least, most = TEMPI
    if not least <= tempo <= most:
        raise ValueError(f"tempo must be from {least} to {most} quarter notes per minute, got {tempo}. Change tempo.")


def synthesize(score: Score, tempo: float = 90.0, rate: int = RATE) -> np.ndarray:
    """Compute the samples of a score.

    Parameters
    ----------
    score : Score
        The notes.
    tempo : float
        Quarter notes per minute, from 4 to 1000.
    rate : int
        Samples per second.

    Returns
    -------
    ndarray
        (n,) float32 in [−0.8, 0.8].

    Raises
    ------
    ValueError
        The tempo is out of range, or the audio would exceed `LINMEM_MAX_BYTES`.

    Examples
    --------
    >>> samples = synthesize(Score([Note(0, 1, 69)], resolution=1), tempo=60, rate=8000)
    >>> len(samples)  # one second of A4 and the tail
    12000
    """
    check_tempo(tempo)
    seconds = 60 / (tempo * score.resolution)
    end = max([score.length or 0, *(note.end for note in score.notes)]) * seconds + TAIL
    require_size(8 * int(end * rate), "The audio of the score")
    samples = np.zeros(round(end * rate))
    for note in score.notes:
        first = round(note.onset * seconds * rate)
        tone = _tone(note, (note.end - note.onset) * seconds, rate)[: len(samples) - first]
        samples[first : first + len(tone)] += tone
    peak = np.abs(samples).max(initial=0)
    return (samples * (PEAK / peak if peak > 0 else 1)).astype(np.float32)


def _tone(note: Note, duration: float, rate: int) -> np.ndarray:
    time = np.arange(round((duration + RELEASE) * rate)) / rate
    frequency = 440 * 2 ** ((note.pitch - 69) / 12)
    envelope = (
        np.minimum(time / ATTACK, 1) * np.exp(-time / DECAY) * np.clip((duration + RELEASE - time) / RELEASE, 0, 1)
    )
    harmonics = [h for h in range(1, HARMONICS + 1) if h * frequency < rate / 2]  # no aliases
    return envelope * sum(np.sin(2 * np.pi * h * frequency * time) / h**1.5 for h in harmonics)


def write_wav(samples: np.ndarray, path: str | os.PathLike[str], rate: int = RATE) -> None:
    """Write samples (n,) in [−1, 1] as a 16-bit mono WAV file; an existing file is replaced.

    Examples
    --------
    >>> import tempfile
    >>> tone = np.sin(2 * np.pi * 440 / RATE * np.arange(RATE))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_wav(tone, Path(folder) / "a4.wav")
    ...     (Path(folder) / "a4.wav").stat().st_size
    44144
    """
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    write_bytes(Path(path), content.getvalue())
