"""Memory capacity of a LAES, a delay line, an orthogonal memory and an LMU with p units. [E21; Jaeger 2001.]

MC = Σ_k ρ²(k), with ρ the correlation between the input k steps back and its best linear estimate from the state. On
independent input no memory exceeds p and a delay line attains it; a fitted memory can gain only where the input has
structure. Each memory is linear, m_t = A u_t + B m_{t-1}. The estimates are fitted by least squares on half of a series
that no memory was fitted to. The orthogonal memory's radius, the LMU's window and the delay line's leak are the best of
several on the measured series; a LAES has nothing to choose.

Symbols: u one input, p memory units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor

from linmem.analysis.memory_capacity import memory_capacity
from linmem.autoencoder.coding import encode
from linmem.data.synthetic import mackey_glass, noise, waveform
from linmem.experiments.harness.summarize import Result, Results, column, group_by, mean_range, pivot, select
from linmem.experiments.harness.targets import Target
from linmem.experiments.static_memories import memories
from linmem.experiments.static_memories.memories import Memory
from linmem.reporting import figures, tables
from linmem.reporting.output import figure

TITLE = "Memory capacity, Σρ² over lags"
RADII = (1.0, 0.995, 0.99, 0.97, 0.95, 0.9, 0.8)
INDEPENDENT = "independent"  # the one kind of input without structure
STRUCTURED = ("resonant noise", "five sines + 5 % noise", "Mackey-Glass, τ = 17")
FITTED_STEPS = 5000  # the largest part of the first half of a series that a LAES is fitted to


@dataclass(frozen=True)
class Config:
    """Memory sizes, steps of half a series, lags of the sum, steps of a fitted piece, and number of series."""

    units: tuple[int, ...]
    steps: int
    lags: int
    length: int
    series: int


GRIDS = {"smoke": Config((6,), 600, 40, 60, 2), "paper": Config((10, 25, 50), 8000, 200, 200, 3)}


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """One result per series, kind of input, number of units and memory."""
    for series in range(config.series):
        own_seed = 100 * seed + series
        for kind, values in inputs(config.steps, own_seed).items():
            fitted, measured = values[: config.steps][:FITTED_STEPS], values[config.steps :]
            for p in config.units:
                for name, variants in variants_by_memory(p, fitted, config.length, own_seed).items():
                    capacities = [
                        (one.label, memory_capacity(states(one, measured), measured, config.lags)) for one in variants
                    ]
                    label, best = max(capacities, key=lambda one: one[1].total)
                    yield {
                        "series": series,
                        "input": kind,
                        "units": p,
                        "memory": name,
                        "variant": label,
                        "capacity": best.total,
                        "curve": [round(rho, 3) for rho in best.curve.tolist()] if series == 0 else None,
                    }


def inputs(steps: int, seed: int) -> dict[str, Tensor]:
    """Draw series of 2 × `steps` values with mean 0: the first half to fit to, the second to measure on; float64."""
    white = noise(2 * steps, seed=seed).double().flatten()
    structured = (
        _resonant(noise(2 * steps + 500, seed=seed + 1).double().flatten())[500:],
        waveform(2 * steps, seed=seed).double().flatten() + 0.05 * white,
        mackey_glass(2 * steps, seed=seed).double().flatten(),
    )
    kinds = {INDEPENDENT: white} | dict(zip(STRUCTURED, structured, strict=True))
    return {name: series - series[:steps].mean() for name, series in kinds.items()}


def variants_by_memory(p: int, fitted: Tensor, length: int, seed: int) -> dict[str, list[Memory]]:
    """Return the variants of every memory of p units; a LAES is fitted to pieces of `length` steps."""
    one_input = torch.ones(1, 1, dtype=torch.float64)
    return {
        "delay line": memories.delay_line(one_input, p),
        "orthogonal": memories.orthogonal(1, p, seed, RADII),
        "LMU": memories.legendre(one_input, p),
        "LAES": [memories.fitted(fitted[:, None].split(length), p, seed, 1.0)],
    }


def states(memory: Memory, series: Tensor) -> Tensor:
    """Return m_t = A u_t + B m_{t-1} after every step, (T, p)."""
    return encode([series[:, None]], memory.A, memory.B, None)[0]


def show(results: Results, folder: Path) -> str:
    """Mean and range over the series; a figure of ρ² against the lag, for the first series and the largest size."""
    largest, kinds = max(one["units"] for one in results), list(group_by(results, "input"))
    with figure(folder / "capacity.png", len(kinds), width=4.0) as axes:
        for panel, kind in zip(axes, kinds, strict=True):
            shown = select(results, series=0, input=kind, units=largest)
            figures.capacity_by_lag(panel, {one["memory"]: one["curve"] for one in shown})
            panel.set_title(f"{kind}, {largest} units")
    headers = {"input": "input", "units": "units"}
    return tables.markdown(pivot(results, headers, "memory", lambda own: mean_range(column(own, "capacity"), 1)))


def targets(results: Results) -> list[Target]:
    """On structured input a LAES has a larger capacity than the unfitted memories, at every p on every series."""
    return [
        Target(
            f"{kind}: capacity of the LAES above the {other}'s at equal p",
            "every series, every p",
            *_compare(own, other),
        )
        for kind in STRUCTURED
        for own in [select(results, input=kind)]
        for other in ("orthogonal", "delay line")
    ]


def _compare(results: Results, other: str) -> tuple[str, bool | None]:
    """Count the pairs (series, p) with LAES ahead, and give the ratio of the means at each p."""
    ratios, ahead = {}, []
    for p, group in group_by(results, "units").items():
        ours, theirs = (column(select(group, memory=name), "capacity") for name in ("LAES", other))
        pairs = list(zip(ours, theirs, strict=False))
        if pairs:
            ahead += [our > their for our, their in pairs]
            ratios[p] = mean(our for our, _ in pairs) / mean(their for _, their in pairs)
    if not ratios:
        return "–", None
    listed = ", ".join(f"{ratio:.3f}" for ratio in ratios.values())
    return f"{sum(ahead)} of {len(ahead)}; ratio {listed} at p = {', '.join(map(str, ratios))}", all(ahead)


def _resonant(white: Tensor) -> Tensor:
    """Return x_t = 1.6 x_{t-1} − 0.9 x_{t-2} + white noise."""
    x = [0.0, 0.0]
    for u in white.tolist():
        x.append(1.6 * x[-1] - 0.9 * x[-2] + u)
    return torch.tensor(x[2:], dtype=torch.float64)
