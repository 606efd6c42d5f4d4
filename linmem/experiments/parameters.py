"""Parameters: weights of an LMN and an LSTM, by formula and counted. [L18 §3; "about one fifth" in L19.]

Without biases an LMN has (a + p) f + (f + p) p weights, an LSTM 4 (a + h) h. At f = p = h/2, h = 500, a = 88 the ratio
is 5.6. L18 states that for f + p = h the LMN's count is largest at p = f; by its own formula it is largest at p = h −
a/2.

Symbols: a inputs, f functional units, p memory units, h units of an LSTM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from linmem.experiments.harness.summarize import Result, Results
from linmem.experiments.harness.targets import Target
from linmem.nn.lmn import LMN
from linmem.reporting import tables

TITLE = "Parameters: LMN against LSTM"


@dataclass(frozen=True)
class Config:
    """Inputs a, and units h of every comparison."""

    inputs: int
    units: tuple[int, ...]


GRIDS = {"smoke": Config(5, (8, 20)), "paper": Config(88, (50, 100, 250, 500, 750))}


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """One result per number of units h, with f = p = h/2; nothing is random."""
    a = config.inputs
    for h in config.units:
        by_memory_size = {p: lmn_weights(a, h - p, p) for p in range(1, h)}
        peak = max(by_memory_size, key=by_memory_size.__getitem__)
        yield {
            "inputs": a,
            "units": h,
            "lstm": lstm_weights(a, h),
            "lstm_counted": _count_weights(nn.LSTM(a, h)),
            "lmn": lmn_weights(a, h // 2, h // 2),
            "lmn_counted": _count_weights(LMN(a, h // 2, h // 2)),
            "peak_memory_size": peak,
            "peak": by_memory_size[peak],
            "peak_counted": _count_weights(LMN(a, h - peak, peak)),
        }


def lmn_weights(a: int, f: int, p: int) -> int:
    """Return the number of weights of an LMN without biases."""
    return (a + p) * f + (f + p) * p


def lstm_weights(a: int, h: int) -> int:
    """Return the number of weights of an LSTM without biases."""
    return 4 * (a + h) * h


def show(results: Results, folder: Path) -> str:
    """Weights, their ratio, and the division of h units into f + p at which an LMN has most weights."""
    rows = [
        {
            "h": one["units"],
            "LSTM(h)": one["lstm"],
            "LMN(h/2, h/2)": one["lmn"],
            "LSTM / LMN": one["lstm"] / one["lmn"],
            "formula = count": "yes" if formulas_agree(one) else "NO",
            "LMN(h − p, p) is largest at p": one["peak_memory_size"],
            "LSTM / LMN there": one["lstm"] / one["peak"],
            "h − a/2": one["units"] - one["inputs"] / 2,
            "L18's p": one["units"] // 2,
        }
        for one in results
    ]
    return tables.markdown(rows, {"h − a/2": 1})


def formulas_agree(result: Mapping[str, Any]) -> bool:
    """Return whether every formula gives the number of weights of the module."""
    return all(result[name] == result[f"{name}_counted"] for name in ("lstm", "lmn", "peak"))


def targets(results: Results) -> list[Target]:
    """L19's "about one fifth of the parameters", as a count; accuracy at equal count is measured by `table2`."""
    statement, expected = "LMN(h/2, h/2) has at most one fifth of the weights of LSTM(h)", "at most 0.200 at every h"
    shares = {one["units"]: one["lmn"] / one["lstm"] for one in results}
    if not shares:
        return [Target(statement, expected)]
    found = ", ".join(f"{share:.3f}" for share in shares.values())
    return [Target(statement, expected, f"{found} at h = {', '.join(map(str, shares))}", max(shares.values()) <= 0.2)]


def _count_weights(module: nn.Module) -> int:
    return sum(weight.numel() for name, weight in module.named_parameters() if "weight" in name)
