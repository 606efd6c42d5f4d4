"""`linmem reproduce`: a published table or figure."""

from __future__ import annotations

from pathlib import Path


def reproduce(
    name: str | None = None,
    *,
    out: str = "results",
    grid: str | None = None,
    seed: int | None = None,
    force: bool = False,
) -> None:
    """Reproduce a published table or figure, ours beside theirs; without a name, list the experiments.

    Parameters
    ----------
    name : str
        Name of the experiment.
    out : str
        Folder of the results; existing results are shown, not computed again.
    grid : str
        smoke, small or paper; by default that of the existing results.
    seed : int
        Seed of everything random; by default that of the existing results.
    force : bool
        Compute again.

    Examples
    --------
    ::

        linmem reproduce table1
    """
    from linmem.experiments.harness import reproduce as experiments

    folder = Path(out)
    if name is None:
        print(experiments.list_experiments(folder, check_code=True))
    else:
        print(experiments.reproduce(name, folder, grid=grid, seed=seed, force=force, progress=True))
