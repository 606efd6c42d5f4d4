"""L18's table 2: every model on the four sets of polyphonic music."""

from linmem.experiments.table2.experiment import TITLE, run
from linmem.experiments.table2.grids import GRIDS
from linmem.experiments.table2.summary import show
from linmem.experiments.table2.targets import targets

__all__ = ["GRIDS", "TITLE", "run", "show", "targets"]
