"""Permuted MNIST: the pixels of every picture in one and the same random order, 784 steps. See `pixels`. [S20]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from linmem.experiments.pixels import summary as pictures
from linmem.experiments.pixels.experiment import run
from linmem.experiments.pixels.grids import grids
from linmem.experiments.pixels.summary import targets

TITLE = "Permuted MNIST, pixel by pixel"
CONFIGS: Mapping[str, Mapping[str, Any]] = grids("psmnist")

__all__ = ["CONFIGS", "TITLE", "run", "show", "targets"]


def show(lines: Sequence[dict[str, Any]], folder: Path) -> str:
    """The tables of `pixels_shown`, and psmnist.png."""
    return pictures.show(lines, folder, "psmnist")
