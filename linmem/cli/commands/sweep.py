"""`linmem sweep`: many runs in one study."""

from __future__ import annotations

from pathlib import Path

from linmem.cli.data_argument import DataArgument
from linmem.cli.default_folder import default_folder


def sweep(
    data: DataArgument,
    *,
    out: str | None = None,
    space: str | None = None,
    grid: str | None = None,
    trials: int | None = None,
    storage: str | None = None,
    study: str = "sweep",
    take_over: bool = False,
    seed: int = 0,
    device: str = "cpu",
) -> None:
    """Grid or random search. Several processes or machines that run the same command share the work.

    Parameters
    ----------
    out : str
        Folder of the runs; by default runs/sweep-DATA.
    space : str
        YAML or JSON file that maps option names to lists of values.
    grid : str
        A built-in search space: smoke, small or paper (L18's protocol).
    trials : int
        Number of runs to draw at random; by default all.
    storage : str
        Journal file, or URL of a database.
    study : str
        Name of the study in the storage.
    take_over : bool
        Repeat the runs that lost machines left running.
    seed : int
        Seed of the draw; the seed of a run is an option of the search space.
    device : str
        cpu, cuda, cuda:1, …

    Examples
    --------
    ::

        linmem sweep chorales --grid smoke
    """
    from linmem.runs.sweep import space as spaces
    from linmem.runs.sweep.run_sweep import sweep, table

    if (space is None) == (grid is None):
        raise ValueError("either --space FILE or --grid NAME must be given, got both or none.")
    if grid is not None and grid not in spaces.GRIDS:
        raise ValueError(f"grid must be one of {', '.join(spaces.GRIDS)}, got {grid!r}.")
    chosen = spaces.GRIDS[grid] if grid else spaces.read(Path(space or ""))
    plan = spaces.plan(data, chosen, trials=trials, seed=seed)
    folder = Path(out) if out else default_folder("sweep", data)
    outcomes = sweep(plan, folder, storage=storage, study=study, device=device, take_over=take_over, progress=True)
    print(f"{table(outcomes)}\n\n{folder}: one folder per run, results.jsonl, table.md")
