"""Reasons from other libraries' exceptions, short enough for an error message of one line."""

from __future__ import annotations


def reason_of(error: BaseException, length: int = 80) -> str:
    r"""Return the exception's text on one line of at most `length` characters, or its type where it has no text.

    Examples
    --------
    >>> reason_of(ValueError("two\nlines"))
    'two lines'
    >>> reason_of(EOFError())
    'EOFError'
    """
    return shortened(" ".join(str(error).split()), length) or type(error).__name__


def shortened(text: object, length: int = 80) -> str:
    """Return the text, cut at `length` characters.

    Examples
    --------
    >>> shortened([1, 2, 3], 6)
    '[1, 2…'
    """
    full = str(text)
    return full if len(full) <= length else full[: length - 1] + "…"
