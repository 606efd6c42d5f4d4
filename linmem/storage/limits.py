"""The limit on what one input file may allocate: checked before the allocation, so that no file exhausts memory."""

from __future__ import annotations

import os

VARIABLE = "LINMEM_MAX_BYTES"
DEFAULT = 2**30


def max_bytes() -> int:
    """Return the limit in bytes: $LINMEM_MAX_BYTES, or 1 GiB.

    Raises
    ------
    ValueError
        The variable is not a positive whole number.
    """
    text = os.environ.get(VARIABLE, "").strip() or str(DEFAULT)
    if not (text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) > 0):
        raise ValueError(f"{VARIABLE} must be a positive whole number of bytes, got {text[:40]!r}. Change or unset it.")
    return int(text)


def require_size(size: int, source: object) -> None:
    """Raise ValueError if `source`, such as a file's path, would allocate more than the limit.

    Parameters
    ----------
    size : int
        Bytes to allocate.
    source : object
        What the message names.
    """
    limit = max_bytes()
    if size > limit:
        raise ValueError(
            f"{source} must need at most {limit:,} bytes in memory, got {_shown(size)}. "
            f"Split it, or raise the limit by the environment variable {VARIABLE}."
        )


def require_memory(size: int, source: object) -> None:
    """Raise ValueError if a model would take more than this machine's memory, or than $LINMEM_MAX_BYTES if it is set.

    Parameters
    ----------
    size : int
        Bytes to allocate.
    source : object
        What the message names.
    """
    limit = max_bytes() if os.environ.get(VARIABLE) else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > limit:
        raise ValueError(f"{source} must need at most {limit:,} bytes in memory, got {_shown(size)}. Lower its sizes.")


def _shown(size: int) -> str:
    return f"{size:,}" if size < 10**18 else "more than 10**18"
