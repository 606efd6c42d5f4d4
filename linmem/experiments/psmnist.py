"""Permuted MNIST: the pixels of every picture in one and the same random order, 784 steps. See `pixels`. [S20]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from linmem.experiments import pixels_shown
from linmem.experiments.pixels import run
from linmem.experiments.pixels_grids import grids
from linmem.experiments.pixels_shown import targets

TITLE = "Permuted MNIST, pixel by pixel"
CONFIGS: Mapping[str, Mapping[str, Any]] = grids("psmnist")

__all__ = ["CONFIGS", "TITLE", "run", "show", "targets"]


def show(lines: Sequence[dict[str, Any]], folder: Path) -> str:
    """The tables of `pixels_shown`, and psmnist.png."""
    return pixels_shown.show(lines, folder, "psmnist")
