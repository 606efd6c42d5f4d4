"""Capacity: how much of its past a memory of p units tells: LAES, delay line, orthogonal, LMU. [E21; Jaeger 2001.]

MC = Σ_k ρ² between the input k steps back and the best linear readout of the state. On independent input no memory
exceeds p and a delay line attains it; a memory that is fitted has something to gain only where the input has structure.
Each memory is linear, m_t = A u_t + B m_{t-1}, and read by least squares on half of a series it was not fitted to. The
orthogonal memory's radius and the LMU's window are those that score best, of several; the LAES has nothing to choose.

Letters: u one input, p memory units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linmem.analysis.memory_capacity import memory_capacity
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.data.synthetic import mackey_glass, noise, waveform
from linmem.experiments.harness.targets import Target
from linmem.nn.baselines import orthogonal_
from linmem.nn.baselines.lmu import legendre_system, zero_order_hold
from linmem.nn.lmn import LMN
from linmem.reporting import figures, tables
from linmem.reporting.output import figure

TITLE = "Memory capacity, Σρ² over lags"
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "smoke": {"units": [6], "steps": 600, "lags": 40, "length": 60, "series": 2},
    "paper": {"units": [10, 25, 50], "steps": 8000, "lags": 200, "length": 200, "series": 3},
}
RADII = (1.0, 0.99, 0.97, 0.95, 0.9)
WINDOWS = (1.0, 1.5, 2.0, 4.0, 8.0)  # of the LMU, in multiples of p
INDEPENDENT = "independent"  # the one kind of input without structure
STRUCTURED = ("resonant noise", "five sines + 5 % noise", "Mackey-Glass, τ = 17")
FITTED = 5000  # steps that a LAES is fitted to, at most those it is measured on


def run(config: Mapping[str, Any], seed: int, work: Path) -> Iterator[dict[str, Any]]:
    """A line a series, kind of input, number of units and memory."""
    for series in range(config["series"]):
        own = 100 * seed + series
        for kind, values in inputs(config["steps"], own).items():
            for p in config["units"]:
                for name, candidates in memories(p, values[: config["steps"]][:FITTED], config["length"], own).items():
                    heard = values[config["steps"] :]
                    found = [(w, memory_capacity(states(A, B, heard), heard, config["lags"])) for w, A, B in candidates]
                    what, best = max(found, key=lambda one: one[1].total)
                    yield {
                        "series": series,
                        "input": kind,
                        "units": p,
                        "memory": name,
                        "chosen": what,
                        "capacity": best.total,
                        "curve": [round(rho, 3) for rho in best.curve.tolist()] if series == 0 else None,
                    }


def inputs(steps: int, seed: int) -> dict[str, Tensor]:
    """Series of 2 × `steps` values, mean 0: the first half to fit to, the second to measure on; float64."""
    white = noise(2 * steps, seed=seed).double().flatten()
    structured = (
        _resonant(noise(2 * steps + 500, seed=seed + 1).double().flatten())[500:],
        waveform(2 * steps, seed=seed).double().flatten() + 0.05 * white,
        mackey_glass(2 * steps, seed=seed).double().flatten(),
    )
    made = {INDEPENDENT: white} | dict(zip(STRUCTURED, structured, strict=True))
    return {name: series - series[:steps].mean() for name, series in made.items()}


Candidates = list[tuple[str, Tensor, Tensor]]  # what was chosen, A (p,), B (p, p)


def memories(p: int, fitted: Tensor, length: int, seed: int) -> dict[str, Candidates]:
    """Every kind of memory of p units, with the variants of which the best counts."""
    first = torch.eye(p, dtype=torch.float64)[0]
    shift = torch.diag(torch.ones(p - 1, dtype=torch.float64), -1)
    layer = orthogonal_(LMN(1, 1, p, dtype=torch.float64), seed=seed)
    rotation = layer.get_parameter("weight_mm_l0").detach()
    write = torch.randn(p, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    pieces = [piece[:, None] for piece in fitted.split(length)]
    solved = LinearAutoencoder(p, decoder="tied", random_state=seed).fit(pieces)
    systems = {scale * p: zero_order_hold(legendre_system(p, scale * p)) for scale in WINDOWS}
    return {
        "delay line": [("", first, shift)],
        "orthogonal": [(f"radius {radius:g}", write, radius * rotation) for radius in RADII],
        "LMU": [(f"window {window:g}", system.B, system.A) for window, system in systems.items()],
        "LAES": [("", torch.as_tensor(solved.A_)[:, 0], torch.as_tensor(solved.B_))],
    }


def states(A: Tensor, B: Tensor, series: Tensor) -> Tensor:
    """m_t = A u_t + B m_{t-1} after every step, (T, p)."""
    m, kept = torch.zeros_like(A), []
    for u in series:
        m = A * u + B @ m
        kept.append(m)
    return torch.stack(kept)


def show(lines: Sequence[dict[str, Any]], folder: Path) -> str:
    """Mean over the series, and the range; a picture of ρ² against lag, of the first series at the largest size."""
    found: dict[tuple[str, int], dict[str, list[float]]] = {}
    for line in lines:
        row = found.setdefault((line["input"], line["units"]), {})
        row.setdefault(line["memory"], []).append(line["capacity"])
    largest, kinds = max(line["units"] for line in lines), list(dict.fromkeys(line["input"] for line in lines))
    with figure(folder / "capacity.png", len(kinds), width=4.0) as axes:
        for panel, kind in zip(axes, kinds, strict=True):
            place = (0, kind, largest)
            curves = {li["memory"]: li["curve"] for li in lines if (li["series"], li["input"], li["units"]) == place}
            figures.capacity_by_lag(panel, curves)
            panel.set_title(f"{kind}, {largest} units")
    return tables.markdown(
        [
            {"input": kind, "units": p} | {name: _spread(values) for name, values in row.items()}
            for (kind, p), row in found.items()
        ]
    )


def targets(lines: Sequence[dict[str, Any]]) -> list[Target]:
    """On structured input a LAES tells more of its past than what it is compared with, at every p on every series."""
    return [
        Target(f"{kind}: LAES ahead of the {other} at equal p", "every series, every p", *_ahead(lines, kind, other))
        for kind in STRUCTURED
        for other in ("orthogonal", "delay line")
    ]


def _ahead(lines: Sequence[dict[str, Any]], kind: str, other: str) -> tuple[str, bool | None]:
    """In how many pairs (a series, a p) LAES is ahead, and the ratio of the means at each p."""
    found: dict[int, dict[str, list[float]]] = {}  # p, memory: a capacity a series
    for line in lines:
        if line["input"] == kind:
            found.setdefault(line["units"], {}).setdefault(line["memory"], []).append(line["capacity"])
    pairs = {p: list(zip(of.get("LAES", ()), of.get(other, ()), strict=False)) for p, of in found.items()}
    both = [pair for at in pairs.values() for pair in at]
    if not both:
        return "–", None
    ratios = [f"{sum(our for our, _ in at) / sum(their for _, their in at):.3f}" for at in pairs.values() if at]
    sizes = ", ".join(str(p) for p, at in pairs.items() if at)
    ahead = sum(our > their for our, their in both)
    return f"{ahead} of {len(both)}; × {', '.join(ratios)} at p = {sizes}", ahead == len(both)


def _spread(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.1f} ({min(values):.1f} … {max(values):.1f})"


def _resonant(white: Tensor) -> Tensor:
    """x_t = 1.6 x_{t-1} − 0.9 x_{t-2} + white noise: its past is partly told by its present."""
    x = [0.0, 0.0]
    for u in white.tolist():
        x.append(1.6 * x[-1] - 0.9 * x[-2] + u)
    return torch.tensor(x[2:], dtype=torch.float64)
