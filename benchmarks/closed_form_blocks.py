"""Cost of the matrix-free solver against the number of columns of one product.

A Krylov space of single columns needs the fewest products, because each one raises the degree of its polynomial;
products of many columns run faster. Columns and times include the products that confirm convergence with a fresh
random block. "missing" is the energy that the p directions lack against a fit with a tolerance of 1e-13, as a share
of that of the whole matrix. Features that are always 0 are left out, as in every fit.

    python benchmarks/closed_form_blocks.py                               # JSB Chorales, p = 100, three rounds
    python benchmarks/closed_form_blocks.py --set nottingham --rounds 1
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from typing import Any

import torch
from torch import Tensor

from linmem import data
from linmem.autoencoder.history.in_memory import InMemoryHistory
from linmem.autoencoder.history.survey import Survey
from linmem.autoencoder.solvers import Randomized
from linmem.reporting import tables
from linmem.sequences import check_sequences


class Counted(InMemoryHistory):
    """A history that counts the columns which it multiplies."""

    columns_multiplied = 0

    def gram_matvec(self, block: Tensor) -> Tensor:
        """Multiply and count."""
        self.columns_multiplied += block.shape[-1]
        return super().gram_matvec(block)


def captured(sequences: list[Tensor], size: int, solver: Randomized) -> tuple[float, int, float]:
    """Share of the energy in the `size` directions, columns multiplied and CPU seconds of a fit."""
    survey = Survey.of(sequences, sequences[0].shape[1], sequences[0].device)
    history = Counted(sequences, features=survey.active())
    start = time.process_time()
    spectrum = solver(history, size, torch.Generator().manual_seed(0))
    seconds = time.process_time() - start
    return float(spectrum.singular_values[:size].square().sum()) / history.energy, history.columns_multiplied, seconds


def measure(sequences: list[Tensor], size: int, blocks: list[int], rounds: int) -> list[dict[str, Any]]:
    """Return one row per number of columns."""
    whole, _, _ = captured(sequences, size, Randomized(tolerance=1e-13, block=32))
    rows = []
    for block in blocks:
        found = [captured(sequences, size, Randomized(block=block)) for _ in range(rounds)]
        seconds = statistics.median(one[-1] for one in found)
        missing = f"{max(whole - found[0][0], 0.0):.0e}"
        rows.append({"block": block, "columns multiplied": found[0][1], "CPU seconds": seconds, "missing": missing})
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="jsb_chorales")
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--blocks", nargs="+", type=int, default=[1, 4, 8, 16, 32, 64])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sequences = check_sequences(data.load(options.set).train)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores (load {load}), one thread, torch {torch.__version__}; "
        f"{options.set}, p = {options.size}; CPU time, medians of {options.rounds}\n"
    )
    print(tables.markdown(measure(sequences, options.size, options.blocks, options.rounds), {"CPU seconds": 2}))


if __name__ == "__main__":
    main()
