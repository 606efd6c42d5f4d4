"""`linmem reproduce`: a published table or figure."""

from __future__ import annotations

from pathlib import Path

PROTOCOLS = ("fair", "paper")


def reproduce(
    name: str | None = None,
    *,
    out: str = "results",
    grid: str | None = None,
    seed: int | None = None,
    force: bool = False,
    protocol: str | None = None,
    dry_run: bool = False,
    repeat: int | None = None,
) -> None:
    """Reproduce a published table or figure, ours beside theirs; without a name, list the experiments.

    Parameters
    ----------
    name : str
        Name of the experiment.
    out : str
        Folder of the results; existing results are shown, not computed again.
    grid : str
        smoke, small or paper, for table2_paper also up_to_100 and up_to_250; by default that of the existing results.
    seed : int
        Seed of everything random; by default that of the existing results.
    force : bool
        Compute again.
    protocol : str
        For table2: fair, one search for all models, the default; or paper, L18's own protocol. The records are those of
        table2_PROTOCOL.
    dry_run : bool
        Print the runs of the searches and their cost in core-hours, and compute nothing else.
    repeat : int
        Train so many kept trials of the searches again, and compare their losses on valid with the kept ones.

    Examples
    --------
    ::

        linmem reproduce table1
    """
    from linmem.experiments.harness import reproduce as experiments
    from linmem.experiments.harness.plan import plan_table
    from linmem.experiments.harness.repeat import repeat_trials

    folder = Path(out)
    if protocol is not None and (name != "table2" or protocol not in PROTOCOLS):
        given = f"{name!r} with protocol {protocol!r}"
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)} with the name table2, got {given}.")
    if name == "table2":
        name = f"table2_{protocol or PROTOCOLS[0]}"
    if name is None and (dry_run or repeat is not None):
        raise ValueError(f"name must be an experiment with {'dry_run' if dry_run else 'repeat'}, got none. Name one.")
    if name is not None and dry_run:
        print(plan_table(name, grid, seed or 0))
    elif name is not None and repeat is not None:
        print(repeat_trials(name, folder, repeat, progress=True))
    elif name is None:
        print(experiments.list_experiments(folder, check_code=True))
    else:
        print(experiments.reproduce(name, folder, grid=grid, seed=seed, force=force, progress=True))
