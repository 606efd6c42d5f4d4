"""Targets: what an experiment was to show, beside what its kept lines say. Computed from the lines, never typed.

An experiment's module may have `targets(lines) -> list[Target]`. It copes with any lines, also with none: a target
whose figures are not there is not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from linmem import tables


class Target(NamedTuple):
    """One claim, the figure that it asks for, the figure that was found, and whether that is enough."""

    claim: str
    wanted: str
    found: str = "–"
    reached: bool | None = None  # None: not measured


def verdict(target: Target, finished: bool = True) -> str:
    """In words; of a run that is not finished, what its lines say so far."""
    if target.reached is None:
        return "not measured"
    return ("yes" if target.reached else "NO") + ("" if finished else ", so far")


def table(targets: Sequence[Target], finished: bool = True) -> str:
    """A Markdown table, a row a target."""
    return tables.markdown(
        [
            {"target": one.claim, "wanted": one.wanted, "found": one.found, "reached": verdict(one, finished)}
            for one in targets
        ]
    )
