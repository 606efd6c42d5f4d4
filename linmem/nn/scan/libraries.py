"""Which library multiplies the matrices of a scan, by a fixed order; nothing is timed.

On the CPU, the time loop runs in the first of these that supports dtype and layer:

1. ``native``, the loop compiled from C (float32, one functional layer), if it is in the cache or can be compiled;
2. ``onednn`` (float32), if a step has at least 4 rows and 2²¹ multiplications;
3. ``numpy`` (float32 and float64);
4. ``torch``.

The products outside the loop run in ``onednn``, ``numpy`` or ``torch``, in this order. Other devices use ``torch``.
The environment variable ``LINMEM_ENGINE`` (``native``, ``onednn``, ``numpy`` or ``torch``) replaces the order.

The order follows from ``benchmarks/layer_engines.py`` (AMD EPYC, one thread, forward and backward pass, CPU ms):

========================= ====== ====== ====== =====
T, B, a, (f, p)           native onednn  numpy torch
========================= ====== ====== ====== =====
160, 1, 88, (50, 100)        2.3   10.6    2.7   5.3
160, 16, 88, (50, 100)       7.9   18.9    9.7  13.1
160, 16, 88, (100, 250)     28.6   42.8   37.7  41.1
100, 4, 88, (250, 500)      25.3   31.4   39.6  42.2
100, 32, 88, (250, 500)    136.0  154.7  165.5 187.2
========================= ====== ====== ====== =====
"""

from __future__ import annotations

import os
from typing import NamedTuple

import torch

from linmem.nn.scan.checks import check_choice
from linmem.nn.scan.engine import Engine, NumpyEngine, OneDnnEngine
from linmem.nn.scan.native import NativeEngine

ENGINES: dict[str, Engine] = {
    engine.name: engine for engine in (NativeEngine(), OneDnnEngine(), NumpyEngine(), Engine())
}
LEAST_ROWS, LEAST_MULTIPLICATIONS = 4, 2**21  # of a step, for oneDNN


class Libraries(NamedTuple):
    """The engine of the time loop, and the engine of the products outside it."""

    loop: Engine
    product: Engine

    def __str__(self) -> str:
        return f"time loop in {self.loop.name}, other products in {self.product.name}"


def choose_libraries(
    rows: int, inputs: int, outputs: int, dtype: torch.dtype, device: torch.device, *, step_by_step: bool = False
) -> Libraries:
    """The libraries for a loop with products (rows, inputs) x (inputs, outputs), by the order of this file.

    `step_by_step` says that the caller runs the loop itself, or that there are several functional layers: the compiled
    loop, which runs all steps of one functional layer, is then not available.
    """
    available = {name: engine for name, engine in ENGINES.items() if engine.supports(dtype, device, step_by_step)}
    forced = os.environ.get("LINMEM_ENGINE")
    if forced and check_choice("LINMEM_ENGINE", forced, ENGINES) in available:
        return Libraries(ENGINES[forced], ENGINES["numpy" if forced == "native" else forced])
    if device.type != "cpu":
        return Libraries(ENGINES["torch"], ENGINES["torch"])
    large = rows >= LEAST_ROWS and rows * inputs * outputs >= LEAST_MULTIPLICATIONS
    loop = next(engine for name, engine in available.items() if name != "onednn" or large)
    product = next(engine for name, engine in available.items() if name != "native")
    return Libraries(loop, product)
