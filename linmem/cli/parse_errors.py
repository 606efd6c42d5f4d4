"""Errors of the command line's parser in the form of all other messages: name, what is expected, what was given."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches

TYPES = {"int": "an integer", "float": "a number", "str": "text", "bool": "true or false", "NoneType": ""}


def explain(message: str, known: Sequence[str]) -> str:
    r"""Rewrite a message of argparse or jsonargparse; other messages are returned as they are.

    Parameters
    ----------
    message : str
        The parser's message.
    known : sequence of str
        Names of the command's options, without dashes, and of all commands.

    Examples
    --------
    >>> explain('Parser key "steps": Expected a <class \'int\'>. Got value: many', ["steps"])
    "steps must be an integer, got 'many'."
    >>> explain("unrecognized arguments: --step=3", ["steps"])
    'options must be those of the command, got --step=3. Did you mean --steps?'
    """
    message = " ".join(message.split())
    for pattern, rewrite in FORMS:
        if found := re.search(pattern, message):
            return rewrite(found, known)
    return message


def _wrong_type(found: re.Match[str], known: Sequence[str]) -> str:
    types = [TYPES.get(name, name) for name in re.findall(r"Expected a <class '(\w+)'>", found[0])]
    expected = " or ".join(dict.fromkeys(name for name in types if name))
    return f"{found[1]} must be {expected or 'of another type'}, got {found[2]!r}."


def _unknown_option(found: re.Match[str], known: Sequence[str]) -> str:
    given = found[1]
    if not given.startswith("-"):
        return f"arguments must be those that the help shows, got one more: {given!r}. Omit it."
    return f"options must be those of the command, got {given}.{_suggest(given, known, '--')}"


def _unknown_key(found: re.Match[str], known: Sequence[str]) -> str:
    return f"config must have options of the command, got {found[1]!r}.{_suggest(found[1], known)}"


def _unknown_command(found: re.Match[str], known: Sequence[str]) -> str:
    return f"command must be one that the help lists, got {found[1]!r}.{_suggest(found[1], known)}"


def _suggest(given: str, known: Sequence[str], dashes: str = "") -> str:
    near = get_close_matches(given.lstrip("-").split("=")[0].replace("-", "_"), known, 1)
    return f" Did you mean {dashes}{near[0]}?" if near else ""


FORMS: tuple[tuple[str, Callable[[re.Match[str], Sequence[str]], str]], ...] = (
    (r'[Kk]ey "(\w+)".*Expected.*(?:Got|Given) value: (.*?)\s*$', _wrong_type),
    (r"unrecognized arguments: (\S+)", _unknown_option),
    (r"does not accept option '(\w+)", _unknown_key),
    (r"argument command: invalid choice: '?([^' ]*)'?", _unknown_command),
    (r'expected "command"', lambda found, known: "command must be one that the help lists, got none."),
    (
        r"arguments are required: (.*)",
        lambda found, known: f"{re.sub(r'[a-z_]+[.]', '', found[1])} must be given, got nothing.",
    ),
    (
        r"argument (--(\w+)(?:/(\S+))?): ignored explicit argument (.*)",
        lambda found, known: (
            f"{found[2]} must be given without a value, true or false, got {found[4]}. Write {found[1]}.".replace(
                "/", " or "
            )
        ),
    ),
    (r"argument --(\w+).*: expected .*argument", lambda found, known: f"{found[1]} must have a value, got none."),
    (
        r"File does not exist: '?([^']*)'?",
        lambda found, known: f"config must be a YAML file, got {found[1]!r}: no such file.",
    ),
)
