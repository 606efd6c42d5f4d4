"""Parameters: weights of an LMN and an LSTM, by formula and counted, and accuracy at equal count. [L18 §3; L19.]

Without biases an LMN has (a + p) f + (f + p) p weights, an LSTM 4 (a + h) h. At f = p = h/2, h = 500, a = 88 the ratio
is 5.6. L18 states that for f + p = h the LMN's count is largest at p = f; by its own formula it is largest at p = h −
a/2.

Accuracy and NLL against the count: every model has the largest size within each limit on its weights, with biases and
readout, f = p for LMNs, and the same trials, one per learning rate; valid chooses with the first seed. All else is
fixed, on the axes of the fair protocol of table 2 (`linmem.experiments.table2.fair`): dropout 0.2 and 0.4, averaged
weights, early stopping; LMNs have ReLU units, and W_mm at a tenth of the rate. No L2, skip connection or transposition.

Symbols: a inputs, f functional units, p memory units, h units of an LSTM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from linmem.experiments.harness.choose import search_and_evaluate
from linmem.experiments.harness.summarize import (
    Group,
    Result,
    Results,
    average,
    averages,
    draw_curves,
    group_by,
    pivot,
    select,
    spread,
)
from linmem.experiments.harness.targets import Target
from linmem.experiments.harness.training import shared_runs
from linmem.experiments.table2.fair import Search, run_options
from linmem.nn.lmn import LMN
from linmem.reporting import tables

TITLE = "Parameters: LMN against LSTM"
ROWS = ("LSTM", "GRU", "LMN-B", "pret-LMN-B")
COMMON = {
    "memory_ratio": 1.0,
    "input_dropout": 0.2,
    "readout_dropout": 0.4,
    "weight_decay": 0.0,
    "skip_connection": False,
    "transpose": 0,
    "nonlinearity": "relu",
    "forget_bias": 0.0,
    "memory_lr_scale": 0.1,
    "lag_decay": 0.7,
}


@dataclass(frozen=True)
class Config:
    """Inputs a and units h of the counts; learning rates and the search (data, seeds, weights, rows) of the scores."""

    inputs: int
    units: tuple[int, ...]
    learning_rates: tuple[float, ...]
    search: Search


UNITS = (50, 100, 250, 500, 750)
JSB = Search("jsb_chorales", 1, 5, 400, weights=(12_500, 25_000, 50_000, 100_000, 200_000), rows=ROWS)
GRIDS = {
    "smoke": Config(5, (8, 20), (3e-3,), Search("chorales:4:4:4", 1, 1, 1, 1, 1, weights=(8_000,), rows=ROWS)),
    "small": Config(88, UNITS, (3e-3,), replace(JSB, seeds=3)),
    "paper": Config(88, UNITS, (1e-3, 3e-3, 1e-2), JSB),
}


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """One result per number of units h, with f = p = h/2; then one per limit on the weights, model and seed."""
    a, search = config.inputs, config.search
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
    seeds = range(seed, seed + search.seeds)
    for weights in search.weights:
        trials = [{**COMMON, "weights": weights, "learning_rate": rate} for rate in config.learning_rates]
        plans = {row: [run_options(row, values, search, seed) for values in trials] for row in search.rows}
        for result in search_and_evaluate(plans, seeds, shared_runs(work), work):
            yield {"set": search.data, "weights": weights} | result


def lmn_weights(a: int, f: int, p: int) -> int:
    """Return the number of weights of an LMN without biases."""
    return (a + p) * f + (f + p) * p


def lstm_weights(a: int, h: int) -> int:
    """Return the number of weights of an LSTM without biases."""
    return 4 * (a + h) * h


def show(results: Results, folder: Path) -> str:
    """Weights, their ratio, and the division of h units at which an LMN has most; accuracy and NLL by limit."""
    counted, trained = _parts(results)
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
        for one in counted
    ]
    texts = [tables.markdown(rows, {"h − a/2": 1})] if rows else []
    if trained:
        table = pivot(trained, {"row": "model"}, "weights", _cell)
        text = f"Accuracy % / NLL on test, by limit on the weights, seeds {len(group_by(trained, 'seed'))}:"
        texts.append(f"{text}\n\n{tables.markdown(table)}")
        groups = group_by(trained, "row")
        panels = {
            "frame accuracy, %": {
                r: averages(own, "weights", "test", "accuracy", scale=100) for r, own in groups.items()
            },
            "NLL, nats per frame": {r: averages(own, "weights", "test", "nll") for r, own in groups.items()},
        }
        draw_curves(folder / "parameters.png", panels, "on test", "limit on the weights")
    return "\n\n".join(texts)


def formulas_agree(result: Mapping[str, Any]) -> bool:
    """Return whether every formula gives the number of weights of the module."""
    return all(result[name] == result[f"{name}_counted"] for name in ("lstm", "lmn", "peak"))


def targets(results: Results) -> list[Target]:
    """L19's "about one fifth of the parameters", as a count; and NLL at an equal count."""
    counted, trained = _parts(results)
    return [_count_target(counted), *(_score_target(trained, row) for row in ("LMN-B", "pret-LMN-B"))]


def _count_target(results: Results) -> Target:
    statement, expected = "LMN(h/2, h/2) has at most one fifth of the weights of LSTM(h)", "at most 0.200 at every h"
    shares = {one["units"]: one["lmn"] / one["lstm"] for one in results}
    if not shares:
        return Target(statement, expected)
    found = ", ".join(f"{share:.3f}" for share in shares.values())
    return Target(statement, expected, f"{found} at h = {', '.join(map(str, shares))}", max(shares.values()) <= 0.2)


def _score_target(results: Results, row: str) -> Target:
    """Compare the mean NLL of `row` with that of the better of LSTM and GRU at every limit that all have."""
    statement, found = f"{row}: NLL on test below that of LSTM and GRU with the same limit on the weights", {}
    for weights, own in group_by(results, "weights").items():
        ours, *others = (average(select(own, row=name), "test", "nll") for name in (row, "LSTM", "GRU"))
        known = [nll for nll in others if nll is not None]
        if ours is not None and len(known) == len(others):
            found[weights] = ours, min(known)
    text = "; ".join(f"{weights:,}: {ours:.3f}, {other:.3f}" for weights, (ours, other) in found.items())
    reached = all(ours < other for ours, other in found.values()) if found else None
    return Target(statement, "at every limit", text or "–", reached)


def _cell(group: Group) -> str | None:
    if not group:
        return None
    return f"{spread(group, 'test', 'accuracy', scale=100)} / {spread(group, 'test', 'nll', digits=3)}"


def _parts(results: Results) -> tuple[Group, Group]:
    """Return the counts and the trained networks."""
    return [one for one in results if "row" not in one], [one for one in results if "row" in one]


def _count_weights(module: nn.Module) -> int:
    return sum(weight.numel() for name, weight in module.named_parameters() if "weight" in name)
