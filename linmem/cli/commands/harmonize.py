"""`linmem harmonize`: voices under a given melody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from linmem.cli.signature import Options
from linmem.music.sampling import SamplingOptions


def harmonize(
    run: str,
    file: str,
    sampling: Annotated[Mapping[str, Any], Options(SamplingOptions)],
    *,
    out: str | None = None,
    beam: int = 0,
    tempo: float = 90.0,
    steps_per_quarter: int | None = None,
    device: str = "cpu",
    force: bool = False,
) -> None:
    """Sample voices under a given melody; writes MIDI, WAV and a piano-roll picture.

    The run needs a joint readout that starts at the highest note: train with --readout nade.
    The melody counts as a voice. Without --voices or --max_voices, every frame has four voices.

    Parameters
    ----------
    run : str
        Run directory that `linmem train` wrote.
    file : str
        MIDI file with the melody, one note at a time.
    out : str
        Output folder; by default RUN/harmonized.
    beam : int
        Search the most probable voices by a beam of this width; 0 samples them.
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

        linmem harmonize runs/chorales-lmn-b-seed0 melody.mid --temperature 0.7
    """
    from linmem.music.harmonize import FOUR_VOICES
    from linmem.music.harmonize import harmonize as run_harmonize

    limited = sampling.get("voices") or sampling.get("max_voices")
    for path in run_harmonize(
        Path(run),
        Path(file),
        Path(out or Path(run) / "harmonized"),
        sampling=SamplingOptions(**sampling) if limited else replace(FOUR_VOICES, **sampling),
        beam=beam,
        tempo=tempo,
        steps_per_quarter=steps_per_quarter,
        device=device,
        force=force,
    ):
        print(path)
