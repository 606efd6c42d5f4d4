"""Code blocks and shell lines of README.md and docs/, for the tests that run them.

HTML comments in a page, which readers do not see, control the block that follows them:

    <!-- do not run: REASON -->       the block is not executed
    <!-- needs A, B>=VERSION -->      the block is skipped where a package is not installed, or older
    <!-- file: NAME -->               the block is the content of a file
    <!-- run before the next block:   code to execute first; ends with -->
"""

from __future__ import annotations

import re
import shlex
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from packaging.version import Version

ROOT = Path(__file__).parent.parent
GENERATED = {"_build", "gallery", "generated", "examples"}
BLOCK = re.compile(r"(?P<comments>(?:<!--.*?-->\s*)*)^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.S | re.M)
COMMENT = re.compile(r"<!--\s*(do not run|needs|file|run before the next block):?\s*(.*?)\s*-->", re.S)
COMMANDS = re.compile(r"^(?:[A-Z_]+=\S+ )*(linmem|make|pip|torchrun|python|\.ci/run|\.venv/\S+)(\s|$)")


class Block(NamedTuple):
    """A fenced block of a page, and what the comments before it say."""

    page: str
    line: int
    language: str
    code: str
    comments: dict[str, str]


def pages() -> list[Path]:
    """README.md, CONTRIBUTING.md and the pages of docs/ that are written by hand."""
    written = [path for path in sorted((ROOT / "docs").rglob("*.md")) if not GENERATED & set(path.parts)]
    written = [path for path in written if path.name != "capabilities_table.md"]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *written]


def blocks(path: Path) -> list[Block]:
    """Fenced blocks of a page."""
    text = path.read_text("utf-8")
    name = path.relative_to(ROOT).as_posix()
    return [
        Block(
            name,
            text.count("\n", 0, found.start("code")),
            found["language"],
            found["code"],
            dict(COMMENT.findall(found["comments"])),
        )
        for found in BLOCK.finditer(text)
    ]


def missing(needs: str) -> list[str]:
    """Which of the packages, `name` or `name>=version` separated by commas, are not installed here."""
    found = []
    for one in filter(None, map(str.strip, needs.split(","))):
        name, _, least = one.partition(">=")
        if find_spec(name) is None or (least and Version(version(name)) < Version(least)):
            found.append(one)
    return found


def shell_lines(path: Path) -> list[str]:
    """Command lines of the fenced blocks without a language or in a shell's, and of indented blocks."""
    fenced = [block.code for block in blocks(path) if block.language in ("", "console", "bash", "sh")]
    rest = BLOCK.sub("", path.read_text("utf-8"))
    indented = re.findall(r"(?:^    .*\n)+", rest, re.M)
    joined = [re.sub(r"\\\n\s*", "", code) for code in fenced + indented]  # a backslash continues a line
    lines = [line.strip().removeprefix("$ ") for code in joined for line in code.splitlines()]
    return [line for line in lines if COMMANDS.match(line)]


def words(line: str) -> list[str]:
    """Split a command line; a description after two spaces or a # is left out, and so are settings of variables."""
    line = re.split(r"\s{2,}|\s#", line)[0]
    found = shlex.split(line)
    while found and re.fullmatch(r"[A-Z_]+=\S+", found[0]):
        found.pop(0)
    return found
