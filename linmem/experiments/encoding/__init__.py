"""Encoding: fitted memories against memories that do not depend on the data, at equal size."""

from linmem.experiments.encoding.experiment import CONFIGS, TITLE, run
from linmem.experiments.encoding.summary import show, targets

__all__ = ["CONFIGS", "TITLE", "run", "show", "targets"]
