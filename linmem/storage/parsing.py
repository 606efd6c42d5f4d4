"""The rule of all readers: what damaged content leads to is a ValueError with the file and the reason.

Exhausted memory says nothing about the content: it stays a MemoryError, with the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from linmem.storage.messages import reason_of


@contextmanager
def parsing(source: object, expected: str, remedy: str) -> Iterator[None]:
    """Turn every exception of the block into ValueError, except MemoryError, those of the system and our own messages.

    Parsers raise whatever damaged bytes lead to: KeyError, RuntimeError, RecursionError, zlib.error, …

    Parameters
    ----------
    source : object
        The file that is read, for the message.
    expected : str
        What it must be.
    remedy : str
        What to do, as a sentence.

    Raises
    ------
    ValueError
        The block raised; messages that begin with `source` are kept.
    MemoryError
        The block needs more memory than there is.

    Examples
    --------
    >>> with parsing("a.idx", "a readable IDX file", "Restore it."):
    ...     {}["size"]
    Traceback (most recent call last):
    ...
    ValueError: a.idx must be a readable IDX file, got: KeyError: 'size'. Restore it.
    """
    try:
        yield
    except MemoryError as error:
        if str(error).startswith(str(source)):
            raise
        reason = reason_of(error)
        raise MemoryError(f"{source} must fit into memory, got: {reason}. Split it, or free memory.") from error
    except Exception as error:
        of_system = isinstance(error, OSError) and error.errno is not None  # gzip and mido raise OSError for content
        if of_system or (isinstance(error, ValueError) and str(error).startswith(str(source))):
            raise
        raise ValueError(f"{source} must be {expected}, got: {_reason(error)}. {remedy}") from error


def _reason(error: Exception) -> str:
    """The text of the exception; with its type where the text alone says little, as that of a KeyError."""
    named = isinstance(error, ValueError | OSError | SyntaxError)
    return reason_of(error) if named or not str(error) else f"{type(error).__name__}: {reason_of(error, 60)}"
