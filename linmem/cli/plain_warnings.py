"""Warnings of the library on the command line: one short line each on stderr, without code, and repeated ones once."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from linmem.estimators.series import LayoutWarning


@contextmanager
def plain_warnings(command: str, one_line: Callable[[str], str]) -> Iterator[None]:
    """Print every warning as `linmem COMMAND: warning: TEXT`, once.

    The layout of files is checked where they are read, by name; the estimators' own warning about it would only repeat
    that. Python's options -W and PYTHONWARNINGS keep their effect.
    """
    shown: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        text = one_line(str(message))
        if text not in shown:
            shown.add(text)
            print(f"linmem {command}: warning: {text}", file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LayoutWarning)
        warnings.showwarning = show
        yield
