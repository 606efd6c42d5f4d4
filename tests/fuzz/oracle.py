"""What a case must not do: the rules that all doors share."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

LONGEST = 300  # characters of a message
MOST_WARNINGS = 3
SCIKIT_LEARN = ("NotFittedError", "InvalidParameterError")  # its own kinds of ValueError


class Rejected(Exception):
    """A command exited with status 2 and this line."""


@dataclass(frozen=True)
class Door:
    """A way into linmem.

    `make(rng, folder)` writes the input files of a case into `folder` and returns JSON arguments; `use(folder, out,
    arguments)` uses them, writes only into `out`, and asserts what valid output must fulfil.
    """

    name: str
    make: Callable[[Random, Path], dict[str, Any]]
    use: Callable[[Path, Path, dict[str, Any]], None]
    prepare: Callable[[], object] = lambda: None  # imports and valid material, once per process, before forking
    allowed: tuple[type[Exception], ...] = (ValueError,)
    names_file: bool = True  # whether messages name an input file


def problem_of(door: Door, case: Path, arguments: dict[str, Any]) -> tuple[str | None, bool]:
    """Use a case; returns the broken rule, None if there is none, and whether the case succeeded."""
    before, error = _snapshot(case), None
    with inside(case / "in"), _captured() as streams, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            door.use(case / "in", case / "out", arguments)
        except BaseException as found:
            error, trace = found, traceback.format_exc()
    if error is not None and (broken := _broken(door, case, error)):
        return f"{broken}\n{trace}", False
    texts = Counter(str(one.message) for one in caught)
    if len(texts) > MOST_WARNINGS or any("\n" in text.strip() for text in texts):
        return f"{len(texts)} warnings: {list(texts)[:3]}", False
    if written := streams.getvalue():
        return f"output outside the command: {written[:500]!r}", False
    if changed := _changes(before, _snapshot(case)):
        return f"changed outside the output folder: {changed}", False
    return None, error is None


def _broken(door: Door, case: Path, error: BaseException) -> str | None:
    message = str(error)
    if isinstance(error, Rejected):
        kind = True
    elif isinstance(error, OSError):
        kind, message = type(error).__module__ == "builtins", message
    else:
        own = isinstance(error, ValueError) and type(error).__module__.startswith("linmem.")
        kind = own or type(error) in door.allowed or type(error).__name__ in SCIKIT_LEARN
    if not kind:
        return f"{type(error).__name__} instead of one of {[one.__name__ for one in door.allowed]}"
    if "\n" in message or not message.strip():
        return f"a message that is not one line: {message!r}"
    if len(message) > LONGEST:
        return f"a message of {len(message)} characters: {message!r}"
    files = [case / "in", *(case / "in").rglob("*")] if door.names_file and not isinstance(error, Rejected) else []
    if files and not any(one.name in message or one.stem in message for one in files):
        return f"a message that does not name the file: {message!r}"
    return None


def _snapshot(case: Path) -> dict[str, str]:
    """Every file of the case and of the home folder beside it, but not of the output folder, with its checksum."""
    found = {}
    for root in (case / "in", case.parent / "home", case.parent / "tmp"):
        for folder, names, files in os.walk(root):
            for name in (*names, *files):
                path = os.path.join(folder, name)
                regular = os.path.isfile(path) and not os.path.islink(path)
                content = Path(path).read_bytes() if regular else b""
                found[path] = hashlib.blake2b(content).hexdigest()
    found[str(case)] = " ".join(sorted(os.listdir(case)))
    return found


def _changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder, so that relative paths are found there."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _captured() -> Iterator[io.StringIO]:
    stream, kept = io.StringIO(), (sys.stdout, sys.stderr)
    sys.stdout = sys.stderr = stream
    try:
        yield stream
    finally:
        sys.stdout, sys.stderr = kept


def run_command(*arguments: str) -> str:
    """Run the command line; returns what it printed, or raises `Rejected` with its line if the status is 2."""
    command_line = import_module("linmem.cli.main")  # `linmem.cli.main` is the function
    if not hasattr(command_line.parser, "cache_info"):  # building the options takes longer than most cases
        command_line.parser = functools.cache(command_line.parser)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = command_line.main(arguments)
        except SystemExit as error:
            status = error.code
    assert status in (0, 2), f"status {status}"
    if status == 2:
        assert err.getvalue().count("\n") == 1, f"more than one line: {err.getvalue()!r}"
        raise Rejected(err.getvalue().rstrip("\n"))
    assert not err.getvalue(), f"printed to stderr with status 0: {err.getvalue()!r}"
    return out.getvalue()
