"""`linmem harmonize`: voices under a given melody."""

from __future__ import annotations

from pathlib import Path


def harmonize(
    run: str,
    file: str,
    *,
    out: str | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    voices: int = 4,
    max_voices: int | None = None,
    tempo: float = 90.0,
    steps_per_quarter: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    force: bool = False,
) -> None:
    """Sample voices under a given melody; writes MIDI, WAV and a piano-roll picture.

    The run needs a joint readout that starts at the highest note: train with --readout nade --note_order descending.

    Parameters
    ----------
    run : str
        Run directory that `linmem train` wrote.
    file : str
        MIDI file with the melody, one note at a time.
    out : str
        Output folder; by default RUN/harmonized.
    temperature : float
        Below 1 less random, above 1 more random.
    top_p : float
        Probability of the most likely choices of the next note that may be sampled.
    voices : int
        Exact number of simultaneous notes, the melody included.
    max_voices : int
        Largest number of simultaneous notes, instead of `voices`.
    tempo : float
        Quarter notes per minute.
    steps_per_quarter : int
        Steps per quarter note; by default that of the run's data set.
    seed : int
        Seed of the sampling.
    device : str
        cpu, cuda, cuda:1, …
    force : bool
        Replace earlier output.

    Examples
    --------
    ::

        linmem harmonize runs/chorales-lmn-b-seed0 melody.mid --temperature 0.7
    """
    from linmem.music.harmonize import harmonize as run_harmonize

    for path in run_harmonize(
        Path(run),
        Path(file),
        Path(out or Path(run) / "harmonized"),
        temperature=temperature,
        top_p=top_p,
        voices=voices,
        max_voices=max_voices,
        tempo=tempo,
        steps_per_quarter=steps_per_quarter,
        seed=seed,
        device=device,
        force=force,
    ):
        print(path)
