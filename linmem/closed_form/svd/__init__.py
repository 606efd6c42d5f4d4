"""Solvers: a history in, its singular values and right vectors out. A new one is a file, and a row in `choose`."""

from .choose import SOLVERS, choose_solver
from .correlated import correlated
from .exact import exact
from .randomized import Randomized
from .remembered import Remembered
from .slices import Slices
from .spectrum import Solver, Spectrum, fix_signs

__all__ = [
    "SOLVERS",
    "Randomized",
    "Remembered",
    "Slices",
    "Solver",
    "Spectrum",
    "choose_solver",
    "correlated",
    "exact",
    "fix_signs",
]
