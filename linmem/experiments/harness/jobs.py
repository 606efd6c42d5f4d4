"""Work that lasts: each job of an experiment is done once, whoever dies and however many processes share it.

A job is a name and a function that gives something JSON can hold. What it gave is kept in `NAME.json`, and a process
holds the lock `locks/NAME` while it works on it. Training runs are jobs too: those of a sweep.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from linmem.runs.directory import (
    RunOptions,
)
from linmem.runs.sweep.sweep import Outcome, sweep
from linmem.storage.atomic import write_json
from linmem.storage.locks import held

Job = Callable[[], Any]


def shared(folder: Path, jobs: Mapping[str, Job], *, progress: bool = False) -> dict[str, Any]:
    """Do what of `jobs` is not done yet, wait for what other processes have at hand, and return what all of them gave.

    Raises
    ------
    Exception
        Whatever a job raises; what was done by then is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(jobs), desc=folder.name, unit="job", disable=None if progress else True) as bar:
        for wait in (False, True):  # first what nobody works on, then what others have left, if they died
            for name, job in jobs.items():
                with held(folder / "locks" / name, wait=wait) as mine:
                    if mine and not _place(folder, name).exists():
                        write_json(_place(folder, name), job())
                bar.update(sum(_place(folder, name).exists() for name in jobs) - bar.n)
    return {name: json.loads(_place(folder, name).read_text(encoding="utf-8")) for name in jobs}


def trained(
    plan: Sequence[RunOptions],
    folder: Path,
    *,
    may_diverge: bool = False,
    progress: bool = False,
    patience: float = 2.0,
) -> list[Outcome]:
    """Train all of `plan` in `folder`, together with whoever else does; returns when every run is complete.

    With `may_diverge` a run whose loss did not stay finite is done as well, `failed` as it is.

    Raises
    ------
    RuntimeError
        A run failed; the message is its traceback.
    """
    while True:
        outcomes = sweep(plan, folder, progress=progress)
        for one in outcomes:
            if one.state == "failed" and not (may_diverge and one.diverged):
                raise RuntimeError(f"run {one.name} in {folder} failed; its options are {one.options}\n{one.error}")
        if all(one.state in ("complete", "failed") for one in outcomes):
            return outcomes
        time.sleep(patience)  # seconds, until another process is done or gone


def _place(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"
