"""Which solver: by name, by size, or the object that was given."""

from collections.abc import Callable

from linmem.autoencoder.history.in_memory import Gram, History
from linmem.autoencoder.solvers.block_krylov import Randomized
from linmem.autoencoder.solvers.column_blocks import Slices
from linmem.autoencoder.solvers.dense import exact
from linmem.autoencoder.solvers.gram import correlated
from linmem.autoencoder.solvers.spectrum import Solver

SOLVERS: dict[str, Callable[[], Solver]] = {
    "exact": lambda: exact,
    "slices": Slices,
    "randomized": Randomized,
    "correlated": lambda: correlated,
}
DENSE_NUMBERS, DENSE_SIDE = 20_000_000, 700  # an exact decomposition within these takes less than a second
CORRELATED_COLUMNS = 1000  # up to so many, all of ΞᵀΞ costs less than the products with its leading directions


def choose_solver(solver: str | Solver, history: Gram) -> tuple[str, Solver]:
    """Return the solver and its name; "auto" is "exact" where Ξ is small or at hand as a small factor.

    Else "correlated" where Ξ has few columns, and "randomized" in general.
    """
    if not isinstance(solver, str) and callable(solver):
        return type(solver).__name__.lower(), solver
    if solver == "auto":
        rows, columns = history.rows, history.lags * history.features
        factored = hasattr(history, "dense") and not hasattr(history, "sequences")
        small = rows * columns <= DENSE_NUMBERS and min(rows, columns) <= DENSE_SIDE
        short = isinstance(history, History) and columns <= CORRELATED_COLUMNS
        solver = "exact" if factored or small else "correlated" if short else "randomized"
    if not isinstance(solver, str) or solver not in SOLVERS:
        known = ", ".join(repr(name) for name in ["auto", *SOLVERS])
        raise ValueError(f"solver is {solver!r}, wanted one of {known}, or a solver object")
    return solver, SOLVERS[solver]()
