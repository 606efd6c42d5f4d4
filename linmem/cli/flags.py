"""Flags that are given a value, as other command lines have it: `--standardize true`, `--standardize=false`."""

from __future__ import annotations

from argparse import Action
from collections.abc import Iterable, Mapping, Sequence

VALUES = {"true": True, "yes": True, "false": False, "no": False}


def flags_of(actions: Iterable[Action]) -> dict[str, str]:
    """The flags among the actions of a parser, each with the flag for its opposite; empty where there is none."""
    flags = [action.option_strings for action in actions if action.nargs == 0 and action.option_strings]
    return {names[0]: next((name for name in names if name.startswith("--no_")), "") for names in flags}


def without_values(arguments: Sequence[str], flags: Mapping[str, str]) -> list[str]:
    """Replace each flag and its value true or false by the flag alone, or by that for its opposite.

    Examples
    --------
    >>> without_values(["--onsets", "false", "data", "--resume=true"], {"--onsets": "--no_onsets", "--resume": ""})
    ['--no_onsets', 'data', '--resume']
    """
    result: list[str] = []
    rest = list(arguments)
    while rest:
        name, sign, value = rest.pop(0).partition("=")
        if name in flags and not sign and rest and rest[0].lower() in VALUES:
            value = rest.pop(0)
        chosen = VALUES.get(value.lower()) if name in flags else None
        if chosen is None:
            result.append(name + sign + value)
        elif chosen or flags[name]:
            result.append(name if chosen else flags[name])
    return result
