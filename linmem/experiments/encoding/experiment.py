"""Encoding: does a memory that was fitted to the data serve a task better than one that was not, at p units? [E21.]

Solved: a static linear memory m_t = A x_t + B m_{t-1} hears the inputs, and a readout without backpropagation answers:
LAES, orthogonal, delay line and LMU. Trained: the same ideas within networks trained by Adam for a few epochs, beside
RNN and LSTM; of `rates` the one is taken that was best on valid for the first seed. E21's own figures were not at hand.
"Test" is frame accuracy, recall accuracy or R², in per cent: higher is better.

Letters: p memory units.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from linmem.experiments.encoding.models import ROWS, trained
from linmem.experiments.encoding.tasks import question
from linmem.experiments.harness.jobs import shared
from linmem.experiments.static.memories import DRAWN, KINDS, candidates, started
from linmem.experiments.static.readouts import best

TITLE = "Encoding: fitted and unfitted memories at equal size"
COPY = {"counts": [400, 200, 200], "symbols": 4, "length": 10, "blanks": 30}
WARPED = {"counts": [400, 200, 200], "symbols": 4, "length": 5, "blanks": 20}
SERIES = {"counts": [8, 4, 4], "steps": 500, "ahead": 15}
FAST = {"batch_size": 20, "max_epochs": 30}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "smoke": {
        "seeds": 1,
        "rates": [1e-2],
        "sets": {
            "copy": {
                "sizes": {"counts": [20, 5, 5], "symbols": 2, "length": 2, "blanks": 3},
                "units": [6],
                "trained": {"units": 10, "window": 8, "max_epochs": 1},
            },
            "generation": {
                "sizes": {"steps": 60, "components": 2, "longest": 20.0},
                "units": [8],
                "trained": {"units": 10, "window": 60, "max_epochs": 1},
            },
            "Mackey-Glass, τ = 17": {"sizes": {"counts": [2, 1, 1], "tau": 17, "steps": 150, "ahead": 5}, "units": [5]},
        },
    },
    "small": {
        "seeds": 3,
        "rates": [1e-3, 5e-3],
        "sets": {
            "copy": {"sizes": COPY, "units": [25, 50, 100], "trained": {"units": 50, "window": 51, **FAST}},
            "generation": {
                "sizes": {"steps": 320, "components": 20, "longest": 160.0},
                "units": [10, 20, 40],
                "trained": {"units": 40, "window": 320, "max_epochs": 200},
            },
            "Mackey-Glass, τ = 17": {
                "sizes": {"tau": 17, **SERIES},
                "units": [5, 10, 20],
                "trained": {"units": 20, "window": 80, "batch_size": 2, "max_epochs": 50},
            },
            "Mackey-Glass, τ = 30": {"sizes": {"tau": 30, **SERIES}, "units": [5, 10, 20]},
            "jsb_chorales, 16 back": {"sizes": {"music": "jsb_chorales", "back": 16}, "units": [50, 100, 250]},
            "jsb_chorales": {
                "sizes": {},
                "units": [50, 100, 250],
                "trained": {"units": 100, "window": 16, "batch_size": 16, "max_epochs": 20},
            },
            "warped copy": {"sizes": WARPED, "units": [25, 50, 100]},
            "adding": {
                "sizes": {"counts": [500, 200, 200], "steps": 50},
                "units": [10, 25, 50],
                "trained": {"units": 25, "window": 50, "batch_size": 25, "max_epochs": 30},
            },
        },
    },
}
Line = dict[str, Any]


def run(config: Mapping[str, Any], seed: int, work: Path) -> Iterator[Line]:
    """A line a set, size, memory and seed, solved; then a line a set, row and seed, trained."""
    seeds = range(seed, seed + config["seeds"])
    for name, plan in config["sets"].items():
        places = [
            (p, kind, s)
            for p in plan["units"]
            for kind in KINDS
            for s in seeds
            if s == seed or kind in DRAWN or _drawn(plan["sizes"])
        ]
        jobs = {_job(name, *place): partial(_solved, name, plan["sizes"], *place) for place in places}
        yield from shared(work / "solved", jobs).values()
    for name, plan in config["sets"].items():
        if "trained" in plan:
            yield from _all_trained(name, plan, config["rates"], seeds, work / "trained")


def _drawn(sizes: Mapping[str, Any]) -> bool:
    """Whether a set is made from a seed; music is there already."""
    return bool(sizes) and "music" not in sizes


def _solved(name: str, sizes: Mapping[str, Any], p: int, kind: str, seed: int) -> Line:
    asked, begun = question(name, sizes, seed), time.process_time()
    if name == "generation":
        memories = started(kind, asked.task.examples(asked.splits, "train").targets[0], p, seed)
    else:
        memories = candidates(kind, asked.task.examples(asked.lifted, "train").inputs, p, seed)
    found = best(memories, asked.lifted, asked.task)
    return {
        "part": "solved",
        "set": name,
        "units": p,
        "memory": kind,
        "seed": seed,
        "chosen": found.memory.chosen,
        "penalty": found.penalty,
        "variants": len(memories),
        "cpu seconds": round(time.process_time() - begun, 2),
        "valid": asdict(found.valid) | {"loss": found.valid.loss},
        "test": asdict(found.test) | {"loss": found.test.loss},
    }


def _all_trained(
    name: str, plan: Mapping[str, Any], rates: Sequence[float], seeds: Sequence[int], work: Path
) -> Iterator[Line]:
    for label in ROWS:

        def jobs(rates: Sequence[float], seeds: Sequence[int], label: str = label) -> dict[str, Callable[[], Line]]:
            return {
                _job(name, label, rate, s): partial(_trained, name, plan, label, rate, s)
                for rate in rates
                for s in seeds
            }

        tried = list(shared(work, jobs(rates, seeds[:1])).values())
        chosen = min(tried, key=lambda line: line["valid"]["loss"])["rate"]
        yield from shared(work, jobs([chosen], seeds)).values()


def _trained(name: str, plan: Mapping[str, Any], label: str, rate: float, seed: int) -> Line:
    training = {key: value for key, value in plan["trained"].items() if key not in ("units", "window")}
    p, window = plan["trained"]["units"], plan["trained"]["window"]
    asked = question(name, plan["sizes"], seed)
    what = {"part": "trained", "set": name, "units": p, "memory": label, "seed": seed, "rate": rate}
    return what | trained(ROWS[label], asked, p, window, training | {"learning_rate": rate}, seed)


def _job(*parts: Any) -> str:
    return "-".join("".join(c if c.isalnum() else "_" for c in str(part)) for part in parts)
