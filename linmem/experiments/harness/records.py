"""Records of an experiment: one JSON line per measurement, with its provenance, in `NAME.jsonl`."""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from linmem.experiments.harness.reads_of_test import readings_text
from linmem.storage.atomic import write_text
from linmem.storage.messages import shortened

REQUIRED = {"grid", "seed", "finished", "seconds", "versions", "commit", "threads", "result"}
_TYPES = {
    "result": dict,
    "versions": dict,
    "seconds": int | float,
    "finished": str,
    "grid": str,
    "seed": int | None,
    "commit": str | None,
    "threads": int,
}
Record = dict[str, Any]


class Records(NamedTuple):
    """The valid records of a file, and one sentence about the rest, empty if all are valid."""

    valid: list[Record]
    problem: str

    @property
    def results(self) -> list[dict[str, Any]]:
        """The measurements of the valid records."""
        return [record["result"] for record in self.valid]


def read_records(name: str, folder: Path) -> Records:
    """Read as many records of an experiment as are valid; none if it was not run."""
    path = folder / f"{name}.jsonl"
    try:
        lines = path.read_bytes().decode("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return Records([], "")
    except OSError as error:
        return Records([], f"{path.name} cannot be read ({error.strerror})")
    parsed = [_parse(line) for line in lines]
    valid, invalid = [one for one in parsed if one], [str(i) for i, one in enumerate(parsed, 1) if not one]
    if not valid:
        return Records([], f"{path.name} is damaged: it has no valid record")
    return Records(
        valid,
        f"{path.name} is damaged: invalid lines {shortened(', '.join(invalid), 40)} of {len(lines)}" if invalid else "",
    )


def require_records(name: str, folder: Path) -> list[Record]:
    """Read all records of an experiment.

    Raises
    ------
    ValueError
        The file is missing, empty or damaged.
    """
    records = read_records(name, folder)
    if records.problem or not records.valid:
        problem = records.problem or "the file is missing"
        raise ValueError(f"{folder / name}.jsonl must hold valid records, got: {problem}. Run {name} again (--force).")
    return records.valid


def bad_record(results: Sequence[Mapping[str, Any]], show: Callable[[Sequence[Mapping[str, Any]]], object]) -> int:
    """Return the number, from 1, of the first record with which `show` raises; the records before it can be shown."""

    def raises(count: int) -> bool:
        try:
            show(results[:count])
        except Exception:
            return True
        return False

    return 1 + bisect.bisect_left(range(1, len(results)), True, key=raises)


def write_records(name: str, folder: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Replace the records of an experiment."""
    write_text(folder / f"{name}.jsonl", "".join(json.dumps(record) + "\n" for record in records))


def is_complete(records: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether these are all records of the run: the last one is marked."""
    return bool(records and records[-1].get("last"))


def caveat(records: Records) -> str:
    """Return what limits conclusions from these records; empty for a complete run of a full grid."""
    if not records.valid:
        return ""
    limits = {
        "incomplete run": not is_complete(records.valid),
        "records missing": bool(records.problem),
        "smoke grid": records.valid[-1]["grid"] == "smoke",
    }
    return ", ".join(words for words, applies in limits.items() if applies)


def provenance_text(records: Sequence[Record], name: str, folder: Path) -> str:
    """Return grid, seed, date, duration, CPU time, versions, commits and readings of the test split in one line."""
    last, seconds = records[-1], sum(record["seconds"] for record in records)
    commits = dict.fromkeys(str(record["commit"] or "unknown")[:7] for record in records)
    cpu = f"{last['cpu_seconds']:.0f} CPU s in all processes" if "cpu_seconds" in last else "CPU time not recorded"
    reads = readings_text(name, folder) if "code" in last else "readings of the test split not recorded"
    return (
        f"{'' if is_complete(records) else 'incomplete: '}grid {last['grid']}, seed {last['seed']},"
        f" {last['finished'][:10]}, {seconds:.0f} s in {last['threads']} thread(s), {cpu},"
        f" torch {last['versions'].get('torch')}, commit {', '.join(commits)}, {reads}"
    )


def _parse(line: str) -> Record | None:
    """Return a line as a record, None if it is none."""
    try:
        record = None if "\ufffd" in line else json.loads(line)  # json writes ASCII: this was no UTF-8
    except (ValueError, RecursionError):  # no JSON, nested too deeply, or a number of thousands of digits
        return None
    if not isinstance(record, dict) or not record.keys() >= REQUIRED:
        return None
    fits = all(isinstance(record[name], kind) and record[name] is not True for name, kind in _TYPES.items())
    times = [record["seconds"], record.get("cpu_seconds", 0.0)]
    return record if fits and record["result"] and all(map(_is_finite, times)) else None


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False
