"""The Linear Memory Network recurrence behind one signature (:mod:`linmem.scan.signature`).

``reference`` is the specification in plain autograd, ``fused`` the same with its own backward.
"""

from __future__ import annotations

from linmem.scan import fused, reference
from linmem.scan.signature import Result, Scan, Weights

__all__ = ["BACKENDS", "Result", "Scan", "Weights", "check_backend", "get"]

BACKENDS: dict[str, Scan] = {"reference": reference.scan, "fused": fused.scan}


def check_backend(name: str) -> str:
    """`name` itself, or ``ValueError`` with the list of known ones."""
    if name != "auto" and name not in BACKENDS:
        raise ValueError(f"backend is {name!r}, but it must be one of {', '.join(map(repr, ['auto', *BACKENDS]))}")
    return name


def get(name: str) -> Scan:
    """The scan called `name`; ``auto`` is the fused one."""
    return BACKENDS["fused" if check_backend(name) == "auto" else name]
