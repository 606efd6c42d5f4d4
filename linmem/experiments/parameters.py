"""Parameters: an LMN and an LSTM counted by formula and weight by weight. [L18 §3; "about one fifth" in L19.]

Without biases an LMN has (a + p) f + (f + p) p weights, an LSTM 4 (a + h) h. At f = p = h/2, h = 500, a = 88 that is
5.6 times fewer. L18 says that for f + p = h the LMN's count peaks at p = f; by its own formula it peaks at p = h − a/2.

Letters: a inputs, f functional units, p memory units, h units of an LSTM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from linmem.experiments.harness.targets import Target
from linmem.nn.lmn import LMN
from linmem.reporting import tables

TITLE = "Parameters: LMN against LSTM"
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "smoke": {"inputs": 5, "units": [8, 20]},
    "paper": {"inputs": 88, "units": [50, 100, 250, 500, 750]},
}


def run(config: Mapping[str, Any], seed: int, work: Path) -> Iterator[dict[str, Any]]:
    """A line a number of units h, with f = p = h/2; nothing is drawn."""
    a = config["inputs"]
    for h in config["units"]:
        half = h // 2
        lmn, lstm = LMN(a, half, half), nn.LSTM(a, h)
        counts = [lmn_weights(a, h - p, p) for p in range(1, h)]
        yield {
            "inputs": a,
            "units": h,
            "lstm": lstm_weights(a, h),
            "lstm counted": _weights(lstm),
            "lmn": lmn_weights(a, half, half),
            "lmn counted": _weights(lmn),
            "peak at p": 1 + max(range(len(counts)), key=counts.__getitem__),
            "peak": max(counts),
            "peak counted": _weights(LMN(a, h - counts.index(max(counts)) - 1, counts.index(max(counts)) + 1)),
        }


def lmn_weights(a: int, f: int, p: int) -> int:
    """Weights of an LMN without biases."""
    return (a + p) * f + (f + p) * p


def lstm_weights(a: int, h: int) -> int:
    """Weights of an LSTM without biases."""
    return 4 * (a + h) * h


def show(lines: Sequence[dict[str, Any]], folder: Path) -> str:
    """Counts, their ratio, and where the LMN's count peaks when its units are shared out."""
    rows = [
        {
            "h": line["units"],
            "LSTM(h)": line["lstm"],
            "LMN(h/2, h/2)": line["lmn"],
            "LSTM / LMN": line["lstm"] / line["lmn"],
            "formula = count": "yes"
            if all(line[name] == line[f"{name} counted"] for name in ("lstm", "lmn", "peak"))
            else "NO",
            "LMN(h − p, p) peaks at p": line["peak at p"],
            "LSTM / LMN there": line["lstm"] / line["peak"],
            "h − a/2": line["units"] - line["inputs"] / 2,
            "L18's p": line["units"] // 2,
        }
        for line in lines
    ]
    return tables.markdown(rows, {"h − a/2": 1})


def targets(lines: Sequence[dict[str, Any]]) -> list[Target]:
    """L19's "about one fifth of the parameters"; that the LMN is not worse for it is for the trained models to show."""
    claim, wanted = "LMN(h/2, h/2) has at most one fifth of the weights of LSTM(h)", "at most 0.200 at every h"
    shares = {line["units"]: line["lmn"] / line["lstm"] for line in lines}
    if not shares:
        return [Target(claim, wanted)]
    found = ", ".join(f"{share:.3f}" for share in shares.values())
    return [Target(claim, wanted, f"{found} at h = {', '.join(map(str, shares))}", max(shares.values()) <= 0.2)]


def _weights(module: nn.Module) -> int:
    return sum(weight.numel() for name, weight in module.named_parameters() if "weight" in name)
