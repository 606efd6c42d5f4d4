"""The one function through which experiments read the test split, and the record of every reading.

An experiment runs with the test split sealed (`linmem.data.sealed`): what it loads has no test split, except inside
`read_test`, which adds a line to `test_reads.jsonl` first.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from linmem.data.sealed import open_test, sealed_test
from linmem.runs.directory import provenance
from linmem.storage.atomic import read_lines

READS = "test_reads.jsonl"
Value = TypeVar("Value")


class Run(NamedTuple):
    """The run of an experiment whose readings are recorded."""

    experiment: str
    folder: Path  # of the records
    code: str  # fingerprint


_RUN: ContextVar[Run | None] = ContextVar("run", default=None)


@contextmanager
def sealed_run(run: Run) -> Iterator[None]:
    """Seal the test split inside the block and record the readings of `read_test` as those of `run`."""
    token = _RUN.set(run)
    try:
        with sealed_test():
            yield
    finally:
        _RUN.reset(token)


def sealed_results(run: Run, results: Iterator[Value]) -> Iterator[Value]:
    """Yield the results of an experiment, each measured with the test split sealed."""
    while True:
        with sealed_run(run):
            try:
                result = next(results)
            except StopIteration:
                return
        yield result


def read_test(read: Callable[[], Value], *, model: str, data: str) -> Value:
    """Call `read` with the test split open, after recording the reading.

    Parameters
    ----------
    read : callable
        Loads the data set and evaluates the test split.
    model : str
        What is evaluated.
    data : str
        Name of the data set.

    Returns
    -------
    Value
        What `read` returns.
    """
    if (run := _RUN.get()) is not None:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        line = {"experiment": run.experiment, "model": model, "data": data, "time": now, "code": run.code}
        with (run.folder / READS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line | {"commit": provenance()["commit"]}) + "\n")
    with open_test():
        return read()


def readings(experiment: str, folder: Path) -> list[dict[str, Any]]:
    """Return the recorded readings of an experiment, the first one first."""
    path = folder / READS
    return [row for row in read_lines(path) if row["experiment"] == experiment] if path.exists() else []


def readings_text(experiment: str, folder: Path) -> str:
    """Return how often an experiment read the test split, by data set, in one phrase."""
    by_data = Counter(row["data"] for row in readings(experiment, folder))
    sets = ", ".join(f"{data} {count}" for data, count in by_data.items())
    return f"test split read {by_data.total()} times" + (f" ({sets})" if sets else "")
