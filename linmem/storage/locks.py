"""Locks on files that the system takes back when their holder dies, in whatever way: nothing stale is left behind.

They hold between processes of one machine, and between machines whose shared file system passes them on (NFS does).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock `path` during the block; gives whether it is held, which it always is with `wait`.

    Raises
    ------
    ImportError
        The system has no such locks.
    """
    try:
        import fcntl
    except ImportError:
        raise ImportError("sharing a study needs POSIX file locks, which this system lacks") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True  # closing the file gives the lock back
