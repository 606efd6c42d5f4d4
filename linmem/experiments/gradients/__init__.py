"""Gradients: what reaches the first steps of a long sequence, at the start and during training."""

from linmem.experiments.gradients.experiment import GRIDS, TITLE, run
from linmem.experiments.gradients.summary import show, targets

__all__ = ["GRIDS", "TITLE", "run", "show", "targets"]
