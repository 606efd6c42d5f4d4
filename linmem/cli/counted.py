"""Counts in what the commands print."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A number with its noun, which gets an s unless the number is 1.

    Examples
    --------
    >>> counted(1, "state"), counted(2, "state")
    ('1 state', '2 states')
    """
    return f"{count} {noun}" + ("" if count == 1 else "s")
