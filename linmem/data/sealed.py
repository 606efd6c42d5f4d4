"""Seal the test split: inside `sealed_test()` every data set that is loaded comes without its test split.

Reading the sealed split raises `SealedTestError`; data that are loaded inside `open_test()` have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, NoReturn

from linmem.data.splits import SPLITS, Splits

_SEALED: ContextVar[bool] = ContextVar("sealed", default=False)


class SealedTestError(RuntimeError):
    """The test split was read where it is sealed."""

    def __init__(self) -> None:
        super().__init__("split must be train or valid where the test split is sealed, got test. Open it first.")


class SealedSequence(Sequence[Any]):
    """Stands in for the sequences of the test split; holds no data."""

    def __getitem__(self, index: Any) -> NoReturn:
        raise SealedTestError

    def __len__(self) -> NoReturn:
        raise SealedTestError

    def __iter__(self) -> NoReturn:
        raise SealedTestError

    def __repr__(self) -> str:
        return "SealedSequence()"


class SealedMapping(dict[str, Any]):
    """Titles, labels or targets by split, without those of the test split."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__({split: value for split, value in values.items() if split != "test"})

    def __missing__(self, key: str) -> NoReturn:
        raise SealedTestError if key == "test" else KeyError(key)


@contextmanager
def sealed_test() -> Iterator[None]:
    """Seal the test split of every data set that is loaded inside the block."""
    with _set(True):
        yield


@contextmanager
def open_test() -> Iterator[None]:
    """Load whole data sets inside the block; data that were loaded before it stay sealed."""
    with _set(False):
        yield


def readable_splits() -> tuple[str, ...]:
    """Return the names of the splits that can be read here: without "test" where it is sealed."""
    return SPLITS[:2] if _SEALED.get() else SPLITS


def seal(splits: Splits) -> Splits:
    """Return the data set without its test split where the test split is sealed, else the data set itself.

    Examples
    --------
    >>> import linmem
    >>> with sealed_test():
    ...     chorales = linmem.data.load("chorales")
    >>> len(chorales.valid)
    78
    >>> chorales.test[0]
    Traceback (most recent call last):
    ...
    linmem.data.sealed.SealedTestError: split must be train or valid where the test split is sealed, got test. ...
    """
    if not _SEALED.get():
        return splits
    by_split = {name: SealedMapping(value) for name, value in vars(splits).items() if isinstance(value, dict)}
    return replace(splits, test=SealedSequence(), **by_split)  # type: ignore[arg-type]


@contextmanager
def _set(value: bool) -> Iterator[None]:
    token = _SEALED.set(value)
    try:
        yield
    finally:
        _SEALED.reset(token)
