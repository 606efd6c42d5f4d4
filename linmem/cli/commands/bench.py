"""`linmem bench`: speed on this machine."""

from __future__ import annotations

from pathlib import Path


def bench(
    *,
    out: str | None = None,
    rounds: int = 5,
    clock: str = "wall",
    sizes: int = 3,
    seed: int = 0,
    device: str = "cpu",
    force: bool = False,
) -> None:
    """Speed of an LMN and of torch.nn's recurrent layers on this machine: a training step and an inference step.

    Parameters
    ----------
    out : str
        Folder for the tables and their numbers as JSON; by default they are only printed.
    rounds : int
        Measurements per entry, of which the median is shown; one more is made first and dropped.
    clock : str
        wall; or cpu, for a machine with other load.
    sizes : int
        Number of sizes to measure, the smallest first.
    seed : int
        Seed of weights and inputs.
    device : str
        cpu, cuda, cuda:1, …
    force : bool
        Replace earlier output.

    Examples
    --------
    ::

        linmem bench --sizes 1
    """
    from linmem.analysis import layer_speed
    from linmem.reporting import output

    if out is not None:
        output.check_free(Path(out), output.table_names("bench"), force)
    measured = layer_speed.SIZES[:sizes] if sizes > 0 else ()
    how = {"rounds": rounds, "clock": clock}
    machine = layer_speed.machine(clock=clock, rounds=rounds, device=device)
    rows = layer_speed.measure(measured, rounds=rounds, clock=clock, device=device, seed=seed, progress=True)
    text = f"{machine}\n\n{layer_speed.table(rows)}"
    if out is not None:
        output.write_table(Path(out), "bench", text, {"machine": machine, "rows": rows} | how, force)
    print(text)
