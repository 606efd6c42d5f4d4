"""File locks that the operating system releases when their process ends, however it ends: no stale locks remain.

They exclude processes of one machine, and of machines that share a file system with locks (NFS has them).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock `path` during the block; yields whether it was acquired, which `wait` guarantees."""
    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path, timeout=-1 if wait else 0)
    try:
        held.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        held.release()
