"""A job queue in a folder: each job is done once, however often and by however many processes the queue is worked on.

A process holds the lock `locks/NAME` while it works on the job NAME. What is done is not the queue's to know: the
caller says whether a job is done and where its result is kept. A job whose process was killed is done by the next one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from linmem.runs.locks import lock
from linmem.storage.atomic import write_json

LOCKS = "locks"
Job = Callable[[], Any]


def work_through(
    folder: Path,
    names: Sequence[str],
    run: Callable[[str], None],
    finished: Callable[[], set[str]],
    *,
    wait: bool,
    progress: bool = False,
    unit: str = "job",
) -> None:
    """Run the jobs that are not done, skipping those that other processes work on; with `wait`, wait for these.

    Parameters
    ----------
    folder : Path
        Holds the locks.
    names : sequence of str
        The jobs.
    run : callable
        Does a job and stores its result.
    finished : callable
        Names of the jobs that are done; called with a job's lock held.
    wait : bool
        Whether to wait at the end until other processes have finished, or were killed and left their job to this one.
    progress : bool
        Show a progress bar on a terminal.
    unit : str
        What the progress bar counts.
    """
    with tqdm(total=len(names), desc=folder.name, unit=unit, disable=None if progress else True) as bar:
        for waiting in (False, True) if wait else (False,):
            for name in names:
                with lock(folder / LOCKS / name, wait=waiting) as acquired:
                    if acquired and name not in finished():
                        run(name)
                if not bar.disable:
                    bar.update(len(finished().intersection(names)) - bar.n)


def run_jobs(folder: Path, jobs: Mapping[str, Job], *, progress: bool = False) -> dict[str, Any]:
    """Do the jobs that are not done yet, wait for those of other processes, and return all results by name.

    Parameters
    ----------
    folder : Path
        Holds each result as `NAME.json`; is created.
    jobs : mapping from name to function
        Each function returns JSON data.
    progress : bool
        Show a progress bar on a terminal.

    Raises
    ------
    Exception
        Any exception of a job; finished jobs are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.json" for name in jobs}
    work_through(
        folder,
        list(jobs),
        lambda name: write_json(paths[name], jobs[name]()),
        lambda: {name for name, path in paths.items() if path.exists()},
        wait=True,
        progress=progress,
    )
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items()}
