"""Continuation of a piece with the model of a run, as MIDI, WAV and a piano-roll figure."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from linmem.data import midi
from linmem.data.midi_file import require_mido, write_score
from linmem.music.audio import check_tempo, synthesize, write_wav
from linmem.music.continuation import continue_piece
from linmem.music.inpainting import inpaint as inpaint_range
from linmem.music.sampling import DEFAULTS, SamplingOptions
from linmem.music.voices import NAMES, voice_score
from linmem.reporting import figures
from linmem.reporting.output import figure, output_paths, require_matplotlib
from linmem.runs.directory import load_run
from linmem.runs.options import RunOptions

INPAINTED = ("inpainting.mid", "inpainting.wav", "inpainting.png")
FILES = ("continuation.mid", "continuation.wav", "continuation.png")


def generate(
    run: Path,
    folder: Path,
    *,
    piece: str = "0",
    prompt_length: int = 16,
    steps: int = 48,
    inpaint: str | None = None,
    candidates: int = 64,
    sampling: SamplingOptions = DEFAULTS,
    tempo: float = 90.0,
    steps_per_quarter: int | None = None,
    device: str = "cpu",
    force: bool = False,
) -> list[Path]:
    """Continue a piece with the model of a run.

    Parameters
    ----------
    run : Path
        The run directory.
    folder : Path
        Output folder for `continuation.mid`, `continuation.wav` and `continuation.png`.
    piece : str
        Index of a piece of the run's test split, or the path of a MIDI file.
    prompt_length : int
        Number of steps of the piece that the model reads first.
    steps : int
        Number of steps to sample.
    inpaint : str, optional
        "FIRST:LAST": replace the steps FIRST … LAST − 1 of the piece instead of continuing it; see
        `linmem.music.inpainting`. `prompt_length` and `steps` then have no effect, and the files are called inpainting.
    candidates : int
        Number of candidates for the range.
    sampling : SamplingOptions
        Temperature, nucleus, number of voices and seed. With `voices` or `max_voices`, MIDI has one track per voice if
        no frame has more notes.
    tempo : float
        Quarter notes per minute, from 4 to 1000.
    steps_per_quarter : int, optional
        Steps per quarter note; by default that of the run's data set.
    device : str
        Where the model runs.
    force : bool
        Whether an earlier continuation may be replaced.

    Returns
    -------
    list of Path
        The files: MIDI, WAV, figure.

    Raises
    ------
    ValueError
        The piece does not exist or is too short, or a number is out of range.
    FileExistsError
        `folder` already holds a continuation and `force` is false.
    ImportError
        mido or matplotlib is not installed.
    """
    require_mido()
    require_matplotlib()
    check_tempo(tempo)
    if prompt_length < 1:
        raise ValueError(f"prompt_length must be at least 1, got {prompt_length}. Raise prompt_length.")
    options, model = load_run(run)
    roll, resolution = _read_piece(piece, steps_per_quarter, options, model)
    roll, model = roll.to(device), model.to(device)
    if inpaint is not None:
        first, last = _range_of(inpaint)
        result = inpaint_range(model, roll, first, last, sampling, candidates)
        whole, split_at, files = result.roll.cpu(), first, INPAINTED
        title = f"steps {first} to {last - 1} replaced, {result.effective_candidates:.1f} effective candidates"
    else:
        if len(roll) < prompt_length:
            raise ValueError(
                f"prompt_length must be at most the piece's {len(roll)} steps, got {prompt_length}. Lower it."
            )
        prompt = roll[:prompt_length]
        whole = torch.cat([prompt, continue_piece(model, prompt, steps, sampling)]).cpu()
        split_at, files = prompt_length, FILES
        title = f"prompt of {prompt_length} steps, continuation of {steps} steps"
    paths = output_paths(folder, files, force)
    write_music(whole, paths[0], paths[1], resolution, tempo, sampling.voices or sampling.max_voices)
    with figure(paths[2], 1, width=10, height=4) as axes:
        figures.piano_roll(axes[0], whole, split_at=split_at)
        axes[0].set_title(title)
    return paths


def _read_piece(
    piece: str, steps_per_quarter: int | None, options: RunOptions, model: nn.Module
) -> tuple[torch.Tensor, int]:
    """The piano roll of a test piece or MIDI file, and its steps per quarter note."""
    is_index, resolution = piece.isdecimal(), steps_per_quarter
    if not is_index and not Path(piece).is_file():
        raise ValueError(f"piece must be the index of a test piece or a MIDI file, got {piece!r}. Correct the path.")
    if is_index or resolution is None:
        splits = options.load_data()
        if splits.kind != "piano_roll":
            raise ValueError(
                f"run must be of piano rolls, got one of {splits.kind} ({options.data}). Name another run."
            )
        resolution = (splits.steps_per_quarter or 1) if resolution is None else resolution
    midi.check_steps(resolution)
    if is_index:
        if int(piece) >= len(splits.test):
            raise ValueError(
                f"piece must be an index of the test split of {options.data}, which has pieces 0 to "
                f"{len(splits.test) - 1}, got {piece}. Change piece."
            )
        roll = splits.test[int(piece)]
    else:
        roll = midi.piano_roll(piece, resolution, onsets=getattr(model, "input_size", None) == 2 * midi.NOTES)
    return roll, resolution


def _range_of(text: str) -> tuple[int, int]:
    """Read FIRST:LAST."""
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal()):
        raise ValueError(f"inpaint must be FIRST:LAST, two whole numbers, got {text!r}. Write it as 16:24.")
    return int(first), int(last)


def write_music(
    roll: torch.Tensor,
    sound: Path,
    audio: Path,
    steps_per_quarter: int = 1,
    tempo: float = 90.0,
    voices: int | None = None,
) -> None:
    """Write a piano roll as MIDI and WAV.

    Parameters
    ----------
    roll : Tensor
        (T, 88), or (T, 176) with onsets.
    sound, audio : Path
        The MIDI and the WAV file.
    steps_per_quarter : int
        Rows per quarter note.
    tempo : float
        Quarter notes per minute.
    voices : int, optional
        Number of tracks, one per voice, if no frame has more notes; else one track.
    """
    if voices is not None and int(roll[:, : midi.NOTES].sum(1).max()) <= voices:
        score = voice_score(roll, voices, steps_per_quarter)
        names = NAMES if voices == len(NAMES) else [f"voice {i + 1}" for i in range(voices)]
    else:
        score, names = midi.to_score(roll, steps_per_quarter), ["piano roll"]
    write_score(score, sound, tempo, names)
    write_wav(synthesize(score, tempo), audio)
