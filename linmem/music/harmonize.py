"""Harmonization: the soprano is given, the voices below it are sampled or searched with a descending NADE.

    frame_t ~ p(frame | frames before t, highest note = melody_t)

A descending NADE visits the soprano first, so every frame is conditioned on it exactly. With two orders, the descending
one proposes frames that are reweighted to the mixture (`FrameDistribution.sample_below`). The frames before t are those
that were chosen; where the melody rests, all voices rest. Instead of sampling, `linmem.music.beam` searches probable
voices.

Symbols: T steps, a notes.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from linmem.data import midi
from linmem.data.midi_file import read_score, require_mido
from linmem.music.audio import check_tempo
from linmem.music.beam import beam_search
from linmem.music.continuation import evaluation_mode, joint_voices
from linmem.music.generate import write_music
from linmem.music.sampling import SamplingOptions, check_options
from linmem.nn.sequence_model import SequenceModel
from linmem.reporting import figures
from linmem.reporting.output import figure, output_paths, require_matplotlib
from linmem.runs.directory import load_run

FOUR_VOICES = SamplingOptions(voices=4)
FILES = ("harmonization.mid", "harmonization.wav", "harmonization.png")


@torch.no_grad()
def harmonize_melody(
    model: nn.Module, melody: Tensor, sampling: SamplingOptions = FOUR_VOICES, beam: int = 0
) -> Tensor:
    """Sample voices below a melody.

    Parameters
    ----------
    model : SequenceModel
        With a NADE of order "descending".
    melody : Tensor
        (T, a) piano roll with at most one note per step.
    sampling : SamplingOptions
        Temperature, nucleus, number of voices and seed; the melody counts as a voice.
    beam : int
        Width of a beam search for probable voices; 0 samples them. Temperature, nucleus and seed then have no effect.

    Returns
    -------
    Tensor
        (T, a), the melody and the voices.

    Raises
    ------
    ValueError
        The model has no descending NADE, the melody is empty or polyphonic or leaves no room below, or a number is out
        of range.

    Notes
    -----
    The first frame has no past: the model reads a frame with the first note of the melody alone.

    Examples
    --------
    >>> import linmem
    >>> from linmem.nn.nade import NADE
    >>> model = SequenceModel(linmem.LMN(88, 8, 8, batch_first=True), NADE(8, 88, 8, "descending"))
    >>> melody = torch.zeros(5, 88)
    >>> melody[:, 50] = 1
    >>> harmonize_melody(model, melody).sum(1)
    tensor([4., 4., 4., 4., 4.])
    """
    if not isinstance(model, SequenceModel) or not model.is_joint or not model.readout.harmonizes:
        raise ValueError(
            "model must have a NADE readout in descending order to harmonize, got another. Train with --readout nade,"
            " with note_order auto or descending, without --onsets."
        )
    check_options(sampling, melody.shape[1])
    _check_melody(melody, sampling.voices or 1)
    if beam < 0:
        raise ValueError(f"beam must be at least 0, got {beam}. Use 0 to sample.")
    generator = torch.Generator(melody.device).manual_seed(sampling.seed)
    given = _given_notes(melody)
    sounding = melody.any(1)
    begin, frames = melody[sounding.nonzero()[:1, 0]], []
    with evaluation_mode(model):
        if beam:
            return beam_search(model, begin[0], melody, joint_voices(sampling), beam)
        outputs, state = model(begin[None])
        for step in range(len(melody)):
            frame = melody[step]
            if sounding[step]:
                frame = outputs[0, -1].sample_below(given[step], joint_voices(sampling), generator).to(melody)
            frames.append(frame)
            outputs, state = model(frame[None, None], state)
    return torch.stack(frames)


def _given_notes(melody: Tensor) -> Tensor:
    """What each frame is conditioned on, (T, a): silence above the melody, the melody, NaN below it."""
    index = torch.arange(melody.shape[1], device=melody.device)
    soprano = melody.argmax(1, keepdim=True)
    return torch.where(index < soprano, torch.nan, (index == soprano).to(melody))


def _check_melody(melody: Tensor, voices: int) -> None:
    """Raise ValueError unless the melody has notes, one at a time, each with room for the other voices below it."""
    counts = melody.sum(1)
    if len(melody) == 0 or not counts.any():
        raise ValueError("melody must have at least one note, got none. Use a file with notes of a pitched instrument.")
    if (counts > 1).any():
        step = int((counts > 1).nonzero()[0])
        raise ValueError(
            f"melody must have one note at a time, got {int(counts[step])} at step {step}. Keep its highest voice only."
        )
    lowest = int(melody.any(0).nonzero()[0])
    if lowest < voices - 1:
        raise ValueError(
            f"melody must have room for {voices - 1} voices below it, got MIDI note {midi.LOWEST_NOTE + lowest}."
            " Transpose it."
        )


def harmonize(
    run: Path,
    file: Path,
    folder: Path,
    *,
    sampling: SamplingOptions = FOUR_VOICES,
    beam: int = 0,
    tempo: float = 90.0,
    steps_per_quarter: int | None = None,
    device: str = "cpu",
    force: bool = False,
) -> list[Path]:
    """Harmonize a melody with the model of a run.

    Parameters
    ----------
    run : Path
        The run directory.
    file : Path
        MIDI file with the melody.
    folder : Path
        Output folder for `harmonization.mid`, `harmonization.wav` and `harmonization.png`.
    sampling : SamplingOptions
        Temperature, nucleus, number of voices and seed; the melody counts as a voice.
    beam : int
        Width of a beam search; 0 samples.
    tempo : float
        Quarter notes per minute, from 4 to 1000.
    steps_per_quarter : int, optional
        Steps per quarter note; by default that of the run's data set.
    device : str
        Where the model runs.
    force : bool
        Whether an earlier harmonization may be replaced.

    Returns
    -------
    list of Path
        The files: MIDI, WAV, figure.

    Raises
    ------
    ValueError
        The melody or the model is not suitable: see `harmonize_melody`. The melody must also lie in the range of the
        notes of the run's training set.
    FileExistsError
        `folder` already holds a harmonization and `force` is false.
    ImportError
        mido or matplotlib is not installed.
    """
    require_mido()
    require_matplotlib()
    check_tempo(tempo)
    options, model = load_run(run)
    splits = options.load_data()
    if splits.features != midi.NOTES:
        raise ValueError(
            f"run must be trained on piano rolls of {midi.NOTES} notes, got {splits.features}. "
            "Use a run of piano rolls without --onsets."
        )
    resolution = (splits.steps_per_quarter or 1) if steps_per_quarter is None else steps_per_quarter
    midi.check_steps(resolution)
    if not file.is_file():
        raise ValueError(f"file must be a MIDI file, got {str(file)!r}. Correct the path.")
    _check_range([note.pitch for note in read_score(file).notes], torch.cat(list(splits.train)), options.data)
    melody = midi.piano_roll(file, resolution).to(device)
    roll = harmonize_melody(model.to(device), melody, sampling, beam).cpu()
    paths = output_paths(folder, FILES, force)
    write_music(roll, paths[0], paths[1], resolution, tempo, sampling.voices or sampling.max_voices)
    with figure(paths[2], 1, width=10, height=4) as axes:
        figures.piano_roll(axes[0], roll)
        axes[0].set_title(f"harmonization of {file.name}", parse_math=False)
    return paths


def _check_range(pitches: list[int], training: Tensor, name: str) -> None:
    """Raise ValueError unless all MIDI notes lie in the range of the training set."""
    active = training[:, : midi.NOTES].any(0).nonzero()[:, 0] + midi.LOWEST_NOTE
    lowest, highest = int(active.min()), int(active.max())
    for pitch in pitches:
        if not lowest <= pitch <= highest:
            raise ValueError(
                f"melody must lie between MIDI notes {lowest} and {highest}, the range of {name}, got {pitch}."
                " Transpose it."
            )
