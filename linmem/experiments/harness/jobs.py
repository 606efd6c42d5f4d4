"""Resumable jobs of an experiment, one per case; `linmem.runs.queue.run_jobs` does them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from linmem.runs.queue import Job, run_jobs


def run_cases(folder: Path, function: Callable[..., Any], cases: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Call `function` with the arguments of every case that is not done yet; return all results, in order."""
    name = function.__name__.strip("_")
    return list(run_jobs(folder, {job_name(name, *case): partial(function, *case) for case in cases}).values())


def run_job(folder: Path, name: str, job: Job) -> Any:
    """Do one job, unless it is done, and return its result."""
    return run_jobs(folder, {name: job})[name]


def job_name(*parts: Any) -> str:
    """Return a name that is safe in a path: "Mackey-Glass, τ = 17" becomes "Mackey_Glass__τ___17".

    A part with an attribute `name`, such as the plan of a data set, is called by it.
    """
    names = (str(getattr(part, "name", part)) for part in parts)
    return "-".join("".join(c if c.isalnum() else "_" for c in name) for name in names)
