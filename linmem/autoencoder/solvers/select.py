"""Choice of the solver: by name, by size, or the object that was given.

Symbols: L lags, a features.
"""

from collections.abc import Callable
from typing import NamedTuple

from linmem.autoencoder.history.operator import HistoryOperator
from linmem.autoencoder.solvers.block_krylov import Randomized
from linmem.autoencoder.solvers.column_blocks import Slices
from linmem.autoencoder.solvers.dense import exact
from linmem.autoencoder.solvers.gram import correlated
from linmem.autoencoder.solvers.spectrum import Solver


class Entry(NamedTuple):
    """A solver and what it needs of a history."""

    make: Callable[[], Solver]
    needs: str | None  # one of HistoryOperator.provides, or None for gram_matvec alone


SOLVERS: dict[str, Entry] = {
    "exact": Entry(lambda: exact, "dense"),
    "slices": Entry(Slices, "matvec"),
    "randomized": Entry(Randomized, None),
    "correlated": Entry(lambda: correlated, "gram"),
}
DENSE_NUMBERS, DENSE_SIDE = 20_000_000, 700  # an exact decomposition within these takes less than a second
CORRELATED_COLUMNS = 1000  # up to so many, all of ΞᵀΞ costs less than the products with its leading directions
GRAM_COLUMNS = 8000  # with lag decay, ΞᵀΞ of so many columns (512 MB) is built in one pass


def choose_solver(solver: str | Solver, history: HistoryOperator) -> tuple[str, Solver]:
    """Return the solver and its name; of an object that is its own, for a function, or that of its class.

    "auto" is "exact" where Ξ or a factor of it is small, else "correlated" where Ξ has few columns and its Gram matrix
    can be had, else "randomized".
    """
    if not isinstance(solver, str) and callable(solver):
        return getattr(solver, "__name__", type(solver).__name__.lower()), solver
    if solver == "auto":
        solver = _by_size(history)
    if not isinstance(solver, str) or solver not in SOLVERS:
        known = ", ".join(repr(name) for name in ["auto", *SOLVERS])
        raise ValueError(f"solver must be one of {known} or a solver object, got {solver!r}. Choose one of them.")
    needs = SOLVERS[solver].needs
    if needs is not None and needs not in history.provides:
        able = [name for name, entry in SOLVERS.items() if entry.needs is None or entry.needs in history.provides]
        raise ValueError(
            f"solver must be one of {', '.join(map(repr, ['auto', *able]))} for sequences that are not all in memory, "
            f"got {solver!r}. Choose one of them or pass a list."
        )
    return solver, SOLVERS[solver].make()


def precompute_gram(history: HistoryOperator) -> HistoryOperator:
    """Replace a history with lag decay by its Gram matrix, one pass over the data, unless that is too large."""
    columns = history.lags * history.features
    small = columns <= CORRELATED_COLUMNS or columns <= min(GRAM_COLUMNS, history.rows)
    if history.decay == 1 or not small or "gram" not in history.provides:
        return history
    return history.precompute()


def _by_size(history: HistoryOperator) -> str:
    rows, columns = history.rows, history.lags * history.features
    small = rows * columns <= DENSE_NUMBERS and min(rows, columns) <= DENSE_SIDE
    if "dense" in history.provides and (small or "sequences" not in history.provides):
        return "exact"
    if "gram" in history.provides and columns <= CORRELATED_COLUMNS:
        return "correlated"
    return "randomized"
