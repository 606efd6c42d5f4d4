"""Forward and backward pass of an LMN in each engine of :mod:`linmem.nn.scan.libraries`, on one thread, in CPU ms.

The fixed order of the engines follows from this table.

    python benchmarks/layer_engines.py

Symbols: T steps, B sequences, a inputs, f functional units, p memory units.
"""

from __future__ import annotations

import os
import statistics
import time

import torch

from linmem.analysis.layer_speed import times, training_step
from linmem.nn.lmn import LMN
from linmem.nn.scan.libraries import ENGINES

SIZES = [  # T, B, a, f, p
    (160, 1, 88, 50, 100),
    (160, 16, 88, 50, 100),
    (160, 64, 88, 50, 100),
    (500, 1, 88, 100, 250),
    (160, 4, 88, 100, 250),
    (160, 16, 88, 100, 250),
    (100, 64, 88, 100, 250),
    (100, 4, 88, 250, 500),
    (100, 32, 88, 250, 500),
]
ROUNDS = 5


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    names = [name for name, engine in ENGINES.items() if engine.supports(torch.float32, torch.device("cpu"))]
    print(f"| T, B, a, (f, p) | {' | '.join(names)} |\n|---{'|---' * len(names)}|")
    for steps, batch, features, f, p in SIZES:
        step = training_step(LMN(features, f, p), steps, batch, features)

        def run(name: str, step=step) -> None:  # type: ignore[no-untyped-def]
            os.environ["LINMEM_ENGINE"] = name
            step()

        runs = {name: lambda name=name, run=run: run(name) for name in names}
        found = times(runs, ROUNDS, time.process_time)
        cells = " | ".join(f"{statistics.median(found[name]):.1f}" for name in names)
        print(f"| {steps}, {batch}, {features}, ({f}, {p}) | {cells} |", flush=True)


if __name__ == "__main__":
    main()
