"""Replace files atomically: a reader sees the old file or the new one, never a part of it.

Files that linmem writes whole go through `replacing`; lines are appended elsewhere. A write that fails leaves the old
file as it was and no other file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; at the end of the block the file there replaces `path`.

    The path is the process's own, so that processes which write the same file do not meet. If the block raises, the
    partial file is removed and `path` keeps its content.

    Raises
    ------
    FileNotFoundError
        The folder of `path` does not exist.
    ValueError
        `path` exists and is not a regular file: a folder, a device, a pipe.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path must lie in an existing folder, got {path}. Create {path.parent} first.")
    if (path.exists() or path.is_symlink()) and not path.is_file():
        raise ValueError(f"path must be a regular file or a new one, got {path}, which is neither. Use another path.")
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    if partial.is_symlink():  # writing would follow it
        partial.unlink()
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def require_no_dangling_link(path: Path) -> None:
    """Raise ValueError if `path` is a symbolic link to nothing, where writing would create a file somewhere else."""
    if path.is_symlink() and not path.exists():
        raise ValueError(f"path must not be a symbolic link to a missing file, got {path}. Remove the link.")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content`."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_lines(path: str | Path, rows: Iterable[Any]) -> None:
    """Write dataclasses whose fields JSON can hold, one per line."""
    write_text(path, "".join(json.dumps(vars(row)) + "\n" for row in rows))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read what `write_lines` wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
