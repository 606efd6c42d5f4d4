"""L18's table 2: every model on the four sets of polyphonic music."""

from linmem.experiments.table2.experiment import TITLE, run
from linmem.experiments.table2.grids import CONFIGS
from linmem.experiments.table2.summary import show, targets

__all__ = ["CONFIGS", "TITLE", "run", "show", "targets"]
