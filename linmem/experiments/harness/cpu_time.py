"""CPU time of an experiment: that of all processes that worked on it, also of those that were killed.

Each process keeps its CPU seconds in a file of its own in the work folder and writes them every few seconds.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from threading import Event, Thread
from types import TracebackType

from linmem.storage.atomic import write_json

INTERVAL = 10.0  # seconds between two writes; a killed process loses at most this time


class CPUMeter:
    """Measure the CPU seconds of this process, its threads and its finished children inside a `with` block.

    Parameters
    ----------
    folder : Path
        Holds one file per process; is created.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / f"{os.getpid()}-{time.time_ns()}.json"
        self._start, self._stopped = cpu_seconds(), Event()
        self._thread = Thread(target=self._keep_writing, daemon=True)

    def __enter__(self) -> CPUMeter:
        """Start to write."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write a last time."""
        self._stopped.set()
        self._thread.join()
        self.write()

    def write(self) -> None:
        """Write the CPU seconds since the beginning."""
        write_json(self.path, {"cpu_seconds": round(cpu_seconds() - self._start, 2)})

    def total(self) -> float:
        """Return the CPU seconds of all processes so far."""
        self.write()
        seconds = (json.loads(path.read_text(encoding="utf-8"))["cpu_seconds"] for path in self.folder.glob("*.json"))
        return round(sum(seconds), 2)

    def _keep_writing(self) -> None:
        while not self._stopped.wait(INTERVAL):
            self.write()


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its finished children."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
