"""Figure 4: how well states of a LAES can be decoded, and a network whose memory is one."""

from linmem.experiments.figure4.experiment import GRIDS, TITLE, run
from linmem.experiments.figure4.summary import show, targets

__all__ = ["GRIDS", "TITLE", "run", "show", "targets"]
