"""Permuted MNIST: the pixels of every image in one random order, 784 steps. See `linmem.experiments.pixels`. [S20]"""

from functools import partial

from linmem.experiments.pixels import summary
from linmem.experiments.pixels.experiment import run
from linmem.experiments.pixels.grids import grids
from linmem.experiments.pixels.summary import targets

TITLE = "Permuted MNIST, pixel by pixel"
GRIDS = grids("psmnist")
show = partial(summary.show, name="psmnist")

__all__ = ["GRIDS", "TITLE", "run", "show", "targets"]
