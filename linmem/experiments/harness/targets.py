"""Targets: what an experiment was to show, beside what its kept lines say. Computed from the lines, never typed.

An experiment's module may have `targets(lines) -> list[Target]`. It copes with any lines, also with none: a target
whose figures are not there is not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from linmem.reporting import tables

WORDS = ("target", "wanted", "found", "reached")  # columns that are read, not compared down the page


class Target(NamedTuple):
    """One claim, the figure that it asks for, the figure that was found, and whether that is enough."""

    claim: str
    wanted: str
    found: str = "–"
    reached: bool | None = None  # None: not measured


def verdict(target: Target, caveat: str = "") -> str:
    """In words, with what keeps the run from being the last word, such as "so far"."""
    if target.reached is None:
        return "not measured"
    return ("yes" if target.reached else "NO") + (f", {caveat}" if caveat else "")


def rows(targets: Sequence[Target], caveat: str = "") -> list[dict[str, str]]:
    """One row a target."""
    return [
        {"target": one.claim, "wanted": one.wanted, "found": one.found, "reached": verdict(one, caveat)}
        for one in targets
    ]


def table(targets: Sequence[Target], caveat: str = "") -> str:
    """The same as Markdown."""
    return tables.markdown(rows(targets, caveat), words=WORDS)
