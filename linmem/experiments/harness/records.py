"""Lines of an experiment: each a measurement and where it comes from, kept in `NAME.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

HEAD = {"grid", "seed", "finished", "seconds", "versions", "commit", "threads", "result"}  # what every line has


def read(path: Path) -> list[dict[str, Any]]:
    """Lines of an experiment: where they come from, and `result`.

    Raises
    ------
    ValueError
        The file is damaged or empty.
    """
    lines = [_parsed(line) for line in path.read_bytes().decode("utf-8", errors="replace").splitlines()]
    if lines and None not in lines:
        return cast(list[dict[str, Any]], lines)
    raise ValueError(f"{path} holds no results of an experiment: run it again (--force)")


class Kept(NamedTuple):
    """What a folder holds of an experiment: the lines that can be read, and a sentence where not all can."""

    lines: list[dict[str, Any]]
    trouble: str


def salvaged(name: str, folder: Path) -> Kept:
    """Lines of an experiment, as many as can be read; none where it was not run."""
    path = folder / f"{name}.jsonl"
    try:
        texts = path.read_bytes().decode("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return Kept([], "")
    except OSError as error:
        return Kept([], f"{path.name} cannot be read ({error.strerror})")
    parsed = [_parsed(text) for text in texts]
    lines, bad = [line for line in parsed if line], [str(i) for i, line in enumerate(parsed, 1) if not line]
    if not lines:
        return Kept([], f"{path.name} is damaged: it holds no line of an experiment")
    return Kept(lines, f"{path.name} is damaged: line {', '.join(bad)} of {len(parsed)} cannot be read" if bad else "")


def finished(lines: Sequence[Mapping[str, Any]]) -> bool:
    """Whether these are all lines of the run."""
    return bool(lines and lines[-1].get("last"))


def caveat(lines: Sequence[Mapping[str, Any]], trouble: str = "") -> str:
    """What keeps these lines from being the last word: they are not all, or of the grid that only tries the code."""
    if not lines:
        return ""
    said = {"so far": not finished(lines), "some lines lost": bool(trouble), "on smoke": lines[-1]["grid"] == "smoke"}
    return ", ".join(words for words, true in said.items() if true)


def said(lines: Sequence[dict[str, Any]]) -> str:
    """When, how long and by what the lines were made, and whether they are all."""
    last, seconds = lines[-1], sum(line["seconds"] for line in lines)
    return (
        f"{'' if finished(lines) else 'not finished: '}grid {last['grid']}, seed {last['seed']},"
        f" {last['finished'][:10]}, {seconds:.0f} s on {last['threads']} thread(s),"
        f" torch {last['versions'].get('torch')}, commit {str(last['commit'] or 'unknown')[:7]}"
    )


def _parsed(text: str) -> dict[str, Any] | None:
    """One line, if it is one of an experiment's."""
    try:
        line = None if "\ufffd" in text else json.loads(text)  # what json writes is ASCII: this was no UTF-8
    except json.JSONDecodeError:
        return None
    if not isinstance(line, dict) or not line.keys() >= HEAD:
        return None
    kinds = {"result": dict, "versions": dict, "seconds": int | float, "finished": str}
    return line if all(isinstance(line[name], kind) for name, kind in kinds.items()) else None
