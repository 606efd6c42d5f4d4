"""Encoding: fitted memories against memories that do not depend on the data, at equal size."""

from linmem.experiments.encoding.experiment import TITLE, run
from linmem.experiments.encoding.grids import GRIDS
from linmem.experiments.encoding.summary import show, targets

__all__ = ["GRIDS", "TITLE", "run", "show", "targets"]
