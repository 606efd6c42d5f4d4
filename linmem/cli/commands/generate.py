"""`linmem generate`: continue a piece of music."""

from __future__ import annotations

from pathlib import Path


def generate(
    run: str,
    *,
    out: str | None = None,
    piece: str = "0",
    prompt_length: int = 16,
    steps: int = 48,
    temperature: float = 1.0,
    top_p: float = 1.0,
    voices: int | None = None,
    max_voices: int | None = None,
    tempo: float = 90.0,
    steps_per_quarter: int | None = None,
    seed: int = 0,
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
    temperature : float
        Divides the logits: below 1 less random, above 1 more random.
    top_p : float
        Probability of the most likely notes that may be sampled.
    voices : int
        Exact number of simultaneous notes.
    max_voices : int
        Largest number of simultaneous notes.
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

        linmem generate runs/chorales-lmn-b-seed0 --piece 3 --prompt_length 32
    """
    from linmem.music.generate import generate as run_generate

    for path in run_generate(
        Path(run),
        Path(out or Path(run) / "generated"),
        piece=piece,
        prompt_length=prompt_length,
        steps=steps,
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
