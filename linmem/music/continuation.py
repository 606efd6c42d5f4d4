"""A continued piece: what a trained model makes of a beginning, as MIDI to hear and as a picture to look at."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from linmem import data
from linmem.data import midi
from linmem.music.generate import continue_piece
from linmem.reporting import figures
from linmem.reporting.output import figure, output_paths
from linmem.runs.directory import (
    load_run,
)


def generate(
    run: Path,
    folder: Path,
    *,
    piece: str = "0",
    prompt_length: int = 16,
    steps: int = 48,
    temperature: float = 1.0,
    voices: int | None = None,
    tempo: float = 90.0,
    seed: int = 0,
    device: str = "cpu",
    force: bool = False,
) -> list[Path]:
    """Continue a piece with the model of a run; returns the files written, MIDI first.

    Parameters
    ----------
    run : folder of a run.
    folder : where `continuation.mid` and `continuation.png` go.
    piece : index of a piece of the run's test split, or the path of a MIDI file.
    prompt_length : steps of the piece that the model reads before it continues.
    steps, temperature, voices, seed : see `continue_piece`.
    tempo : quarter notes a minute.

    Raises
    ------
    ValueError
        The piece is not there or too short, or a number is out of range.
    FileExistsError
        `folder` already holds a continuation, and `force` was not given.
    """
    if prompt_length < 1:
        raise ValueError(f"prompt_length must be at least 1, got {prompt_length}.")
    options, model = load_run(run)
    roll = _piece(piece, options.data)
    if len(roll) < prompt_length:
        raise ValueError(f"prompt_length must be at most the piece's {len(roll)} steps, got {prompt_length}. Lower it.")
    prompt = roll[:prompt_length].to(device)
    drawn = continue_piece(model.to(device), prompt, steps, temperature=temperature, voices=voices, seed=seed)
    sound, picture = output_paths(folder, ("continuation.mid", "continuation.png"), force)
    whole = torch.cat([prompt, drawn]).cpu()
    midi.write_midi(whole, sound, tempo=tempo)
    with figure(picture, 1, width=10, height=4) as axes:
        figures.piano_roll(axes[0], whole, split_at=prompt_length)
        axes[0].set_title(f"prompt of {prompt_length} steps, continuation of {steps}")
    return [sound, picture]


def _piece(piece: str, name: str) -> Tensor:
    if not piece.isdigit():
        return midi.piano_roll(piece)
    pieces = data.load(name).test
    if int(piece) >= len(pieces):
        raise ValueError(f"piece is {piece}, but the test split of {name} has pieces 0 to {len(pieces) - 1}")
    return pieces[int(piece)]
