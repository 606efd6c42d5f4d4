"""`linmem generate`: continue a piece of music."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from linmem.cli.signature import Options
from linmem.music.sampling import SamplingOptions


def generate(
    run: str,
    sampling: Annotated[Mapping[str, Any], Options(SamplingOptions)],
    *,
    out: str | None = None,
    piece: str = "0",
    prompt_length: int = 16,
    steps: int = 48,
    inpaint: str | None = None,
    candidates: int = 64,
    tempo: float = 90.0,
    steps_per_quarter: int | None = None,
    device: str = "cpu",
    force: bool = False,
) -> None:
    """Continue a piece of the run's data set, or a MIDI file; writes MIDI and a piano-roll picture.

    Parameters
    ----------
    run : str
        Run directory that `linmem train` wrote.
    out : str
        Output folder; by default RUN/generated.
    piece : str
        Index of a test piece, or path of a MIDI file.
    prompt_length : int
        Steps of the piece that the model reads first.
    steps : int
        Steps to generate.
    inpaint : str
        FIRST:LAST: replace these steps of the piece, LAST excluded, by steps that fit before and after.
    candidates : int
        Samples of the range from which --inpaint draws.
    tempo : float
        Quarter notes per minute, from 4 to 1000.
    steps_per_quarter : int
        Steps per quarter note; by default that of the run's data set.
    device : str
        cpu, cuda, cuda:1, …
    force : bool
        Replace earlier output.

    Examples
    --------
    ::

        linmem generate runs/chorales-lmn-b-seed0 --piece 3 --prompt_length 32
    """
    from linmem.music.generate import generate as run_generate

    for path in run_generate(
        Path(run),
        Path(out or Path(run) / "generated"),
        piece=piece,
        prompt_length=prompt_length,
        steps=steps,
        inpaint=inpaint,
        candidates=candidates,
        sampling=SamplingOptions(**sampling),
        tempo=tempo,
        steps_per_quarter=steps_per_quarter,
        device=device,
        force=force,
    ):
        print(path)
