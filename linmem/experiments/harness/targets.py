"""Targets: what an experiment tests, beside what its records show. Computed from the records, never typed.

Each experiment has `targets(results) -> list[Target]`. It accepts any beginning of a run, also an empty one: a target
whose measurements are missing is not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from linmem.reporting import tables

TEXT_COLUMNS = ("target", "expected", "found", "reached")


class Target(NamedTuple):
    """One statement, the condition that it has to meet, what was found, and whether the condition holds."""

    statement: str
    expected: str
    found: str = "–"
    reached: bool | None = None  # None: not measured

    @classmethod
    def compare(
        cls,
        statement: str,
        expected: str,
        values: Sequence[float | None],
        condition: Callable[..., bool],
        text: str | None = None,
        digits: int = 2,
    ) -> Target:
        """Return a target about numbers, not measured where one is None: `condition(*values)` decides.

        `text` formats the numbers, such as "{:.2f} ({:.0f} units)"; by default they are listed with `digits` decimals.
        """
        if not values or None in values:
            return cls(statement, expected)
        found = (text or ", ".join([f"{{:.{digits}f}}"] * len(values))).format(*values)
        return cls(statement, expected, found, bool(condition(*values)))


def verdict(target: Target, caveat: str = "") -> str:
    """Return "yes", "NO" or "not measured", with the caveat of the run, such as "incomplete run"."""
    if target.reached is None:
        return "not measured"
    return ("yes" if target.reached else "NO") + (f", {caveat}" if caveat else "")


def target_rows(targets: Sequence[Target], caveat: str = "") -> list[dict[str, str]]:
    """Return one table row per target."""
    return [
        {"target": one.statement, "expected": one.expected, "found": one.found, "reached": verdict(one, caveat)}
        for one in targets
    ]


def target_table(targets: Sequence[Target], caveat: str = "") -> str:
    """Return the targets as a Markdown table."""
    return tables.markdown(target_rows(targets, caveat), words=TEXT_COLUMNS)
