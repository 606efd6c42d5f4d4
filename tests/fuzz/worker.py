"""Runs cases in forked processes under limits on memory, CPU time and wall time, and reports the failures.

A process runs many cases, one after another, and writes one line per case to a pipe. If it dies, the case that it had
begun is a failure, and a new process continues with the next case.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tests.fuzz.oracle import Door, problem_of

CPU_SECONDS, WALL_SECONDS = 10.0, 120.0  # of one case
MEMORY = 2**30  # bytes of address space that a process may add to those that it begins with
MAX_BYTES = 2**26  # LINMEM_MAX_BYTES of all cases
CASES_PER_PROCESS = 400
IN_MEMORY = "/dev/shm"  # where files are created and removed fastest


class Failure(NamedTuple):
    """A case that broke a rule."""

    door: str
    seed: int
    problem: str  # the broken rule, with the traceback where there is one
    kept: Path


class Report(NamedTuple):
    """Outcome of the cases of one door."""

    cases: int
    accepted: int  # cases with valid output
    failures: list[Failure]


def keep_folder() -> Path:
    """Where failing cases are kept."""
    return Path(os.environ.get("LINMEM_FUZZ_KEEP") or Path(tempfile.gettempdir()) / "linmem-fuzz")


def run_door(job: tuple[str, int, int]) -> tuple[Report, float]:
    """Run cases of a door from a first seed on; returns the report and its CPU seconds, those of the cases included."""
    from tests.fuzz.doors import DOORS

    name, seed, cases = job
    started, door = sum(os.times()[:4]), DOORS[name]
    report = run_cases(door, range(seed, seed + cases))
    return report, sum(os.times()[:4]) - started


def run_cases(door: Door, seeds: range, *, memory: int = MEMORY, cpu_seconds: float = CPU_SECONDS) -> Report:
    """Run the cases of `seeds` in forked processes."""
    accepted, failures, done = 0, [], 0
    os.environ["LINMEM_FUZZ_KEEP"] = str(keep_folder())  # before the cases get a TMPDIR of their own
    door.prepare()
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None) as root:
        while done < len(seeds):
            chunk = seeds[done : done + CASES_PER_PROCESS]
            started, finished, status = None, 0, 0
            for message in _forked(door, chunk, Path(root), memory, cpu_seconds):
                if "start" in message:
                    started = message["start"]
                elif "seed" in message:
                    started, finished = None, finished + 1
                    accepted += message["problem"] is None and message["accepted"]
                    if message["problem"]:
                        failures.append(Failure(door.name, message["seed"], message["problem"], Path(message["kept"])))
                else:
                    status = message["status"]
            if finished < len(chunk):
                seed = chunk[finished] if started is None else started
                failures.append(Failure(door.name, seed, _death(status), _keep(door, seed, Path(root) / "case")))
                finished += 1
            done += finished
    return Report(len(seeds), accepted, failures)


def _forked(door: Door, seeds: range, root: Path, memory: int, cpu_seconds: float) -> Iterator[dict[str, Any]]:
    """Fork, run the cases in the child, and yield its messages; the last one is the exit status."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "w", buffering=1) as stream:
                _work(door, seeds, root, memory, cpu_seconds, stream)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as stream:
        for line in stream:
            with contextlib.suppress(ValueError):  # a line that the child did not finish
                yield json.loads(line)
    yield {"status": os.waitpid(child, 0)[1]}


def _work(door: Door, seeds: range, root: Path, memory: int, cpu_seconds: float, stream: Any) -> None:
    _set_limits(root, memory)
    for seed in seeds:
        case = root / "case"
        shutil.rmtree(case, ignore_errors=True)
        print(json.dumps({"start": seed}), file=stream)
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
        problem, accepted = run_case(door, seed, case)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        kept = str(_keep(door, seed, case)) if problem else ""
        print(json.dumps({"seed": seed, "problem": problem, "accepted": accepted, "kept": kept}), file=stream)


def _set_limits(root: Path, memory: int) -> None:
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)  # ends the process, in C code, too
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    home, temporary = root / "home", root / "tmp"
    for folder in (home, temporary):
        folder.mkdir(exist_ok=True)
    os.environ |= {"HOME": str(home), "TMPDIR": str(temporary), "LINMEM_MAX_BYTES": str(MAX_BYTES)}
    os.environ["LANGUAGE"] = "C"  # argparse looks for a translation of every word otherwise
    os.environ["MPLCONFIGDIR"] = str(root)  # matplotlib keeps a list of fonts there
    tempfile.tempdir = None


def run_case(door: Door, seed: int, case: Path) -> tuple[str | None, bool]:
    """Make the case `seed` in the folder `case` and use it; see `oracle.problem_of`."""
    (case / "in").mkdir(parents=True)
    (case / "out").mkdir()
    try:
        arguments = door.make(Random(f"{door.name} {seed}"), case / "in")
    except Exception:
        return f"the case cannot be made: {traceback.format_exc()}", False
    (case / "case.json").write_text(json.dumps({"door": door.name, "seed": seed, "arguments": arguments}))
    return problem_of(door, case, arguments)


def _keep(door: Door, seed: int, case: Path) -> Path:
    kept = keep_folder() / f"{door.name}-{seed}"
    shutil.rmtree(kept, ignore_errors=True)
    if case.exists():
        shutil.copytree(case, kept, symlinks=True)
    return kept


def _death(status: int) -> str:
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return {"SIGPROF": "more CPU time than the limit", "SIGALRM": "more time than the limit"}.get(
            name, f"died by {name}"
        )
    return f"the process ended with status {os.waitstatus_to_exitcode(status)}"
