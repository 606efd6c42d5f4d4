"""Versions of the code that measure the same.

A change of the code makes the fingerprints of all experiments that import it change, also where it does not change what
they measure, such as a message or a check of input. `tools/compare_code.py` runs the smallest grid of each experiment
with both versions; where all results are equal but for times it adds a line to `equal_code.jsonl` beside the records.
The records keep the fingerprint of the code that measured them, and are said to be of a version with equal results.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linmem.experiments.harness.fingerprint import code_fingerprint
from linmem.storage.atomic import read_lines

FILE = "equal_code.jsonl"
TIMES = ("seconds", "time", "cpu")  # parts of the names of what two runs do not share


def versions(name: str, folder: Path) -> set[str]:
    """Return the fingerprints of an experiment's present code and of all versions that measure the same as it."""
    path = folder / FILE
    lines = [line for line in read_lines(path) if line["experiment"] == name] if path.exists() else []
    found = {code_fingerprint(f"linmem.experiments.{name}")}
    for line in reversed(lines):  # the latest comparison is the last
        if line["code"] in found:
            found.add(line["earlier"])
    return found


def without_times(value: Any) -> Any:
    """Return a measurement without its times, at any depth.

    Examples
    --------
    >>> without_times({"loss": 0.5, "cpu_seconds": 3.1, "epochs": [{"seconds": 1.0, "nll": 2.0}]})
    {'loss': 0.5, 'epochs': [{'nll': 2.0}]}
    """
    if isinstance(value, dict):
        return {key: without_times(one) for key, one in value.items() if not any(word in key for word in TIMES)}
    return [without_times(one) for one in value] if isinstance(value, list) else value
