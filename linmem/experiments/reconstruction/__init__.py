"""Reconstruction: whole sequences from their last state, by solved and by trained autoencoders."""

from linmem.experiments.reconstruction.experiment import GRIDS, TITLE, run
from linmem.experiments.reconstruction.summary import show, targets

__all__ = ["GRIDS", "TITLE", "run", "show", "targets"]
