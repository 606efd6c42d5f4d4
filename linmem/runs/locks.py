"""File locks that the operating system releases when their process ends, however it ends: no stale locks remain.

They exclude processes of one machine, and of machines that share a file system with locks (NFS has them).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from linmem.storage.atomic import require_no_dangling_link

LOCK = "run.lock"


@contextmanager
def lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock `path` during the block; yields whether it was acquired, which `wait` guarantees."""
    path.parent.mkdir(parents=True, exist_ok=True)
    require_no_dangling_link(path)
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


@contextmanager
def sole_writer(folder: Path, files: Sequence[str]) -> Iterator[None]:
    """Lock an output folder during the block; it is created if necessary.

    Parts of `files` that a killed process left are removed, which is safe because no other process writes there.

    Raises
    ------
    FileExistsError
        Another process writes there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / LOCK, wait=False) as acquired:
        if not acquired:
            raise FileExistsError(f"out must not be in use, got {folder}, where another process writes. Use another.")
        for name in files:
            for partial in folder.glob(f"{name}.*.partial"):
                partial.unlink(missing_ok=True)
        yield
