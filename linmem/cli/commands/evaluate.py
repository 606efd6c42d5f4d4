"""`linmem evaluate`: metrics of a finished run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path


def evaluate(
    run: str,
    *,
    out: str | None = None,
    split: str = "test",
    best_by: str = "loss",
    device: str = "cpu",
    force: bool = False,
) -> None:
    """Metrics of a finished run on one split, the baseline first.

    Parameters
    ----------
    run : str
        Run directory that `linmem train` wrote.
    out : str
        Folder for the table and its numbers as JSON; by default they are only printed.
    split : str
        train, valid or test.
    best_by : str
        Weights of the best epoch by loss or by accuracy, on the validation split.
    device : str
        cpu, cuda, cuda:1, …
    force : bool
        Replace earlier output.

    Examples
    --------
    ::

        linmem evaluate runs/chorales-lmn-b-seed0 --split test
    """
    from linmem.reporting import output
    from linmem.runs import runner

    scores = runner.evaluate_run(Path(run), split, best_by, device)
    text = runner.scores_table(scores)
    if out is not None:
        rows = {name: asdict(one) for name, one in scores.items()}
        numbers = {"run": run, "split": split, "best_by": best_by, "scores": rows}
        output.write_table(Path(out), f"scores-{split}", text, numbers, force)
    print(text)
