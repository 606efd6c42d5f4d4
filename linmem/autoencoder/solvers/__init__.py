"""Solvers: from a history to its singular vectors. A new one is a file and a row in `select.SOLVERS`."""

from linmem.autoencoder.solvers.block_krylov import Randomized
from linmem.autoencoder.solvers.cached import Remembered, resolved
from linmem.autoencoder.solvers.column_blocks import Slices
from linmem.autoencoder.solvers.dense import exact
from linmem.autoencoder.solvers.gram import correlated
from linmem.autoencoder.solvers.select import SOLVERS, choose_solver, precompute_gram
from linmem.autoencoder.solvers.spectrum import Solver, Spectrum, fix_signs

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
    "precompute_gram",
    "resolved",
]
