"""Sequential MNIST: the pixels of an image row by row, 784 steps. See `linmem.experiments.pixels`. [S20]"""

from functools import partial

from linmem.experiments.pixels import summary
from linmem.experiments.pixels.experiment import run
from linmem.experiments.pixels.grids import grids
from linmem.experiments.pixels.summary import targets

TITLE = "Sequential MNIST, pixel by pixel"
GRIDS = grids("smnist")
show = partial(summary.show, name="smnist")

__all__ = ["GRIDS", "TITLE", "run", "show", "targets"]
