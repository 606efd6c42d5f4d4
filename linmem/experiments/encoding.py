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
from itertools import groupby
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from linmem import tables
from linmem.experiments.encoding_models import ROWS, trained
from linmem.experiments.encoding_sets import question
from linmem.experiments.folders import figure
from linmem.experiments.solved_readouts import best
from linmem.experiments.static_memories import DRAWN, KINDS, candidates, started
from linmem.experiments.work import shared

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
OTHERS = ("orthogonal", "delay line", "LMU")
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


def show(lines: Sequence[Line], folder: Path) -> str:
    """Solved readouts and how far the fitted memory is ahead; trained networks; a picture of the solved ones."""
    solved, trained = ([line for line in lines if line["part"] == part] for part in ("solved", "trained"))
    texts = []
    if solved:
        _draw(solved, folder)
        texts.append(f"Static memories, solved readouts: test, %:\n\n{_compared(solved, 'accuracy', 100.0)}")
        texts.append(f"The same: loss on test (NLL, or MSE):\n\n{_compared(solved, 'loss', 1.0)}")
        texts.append(f"LAES ahead by, in points of test:\n\n{_ahead(solved)}")
    if trained:
        rows = [_row(list(group)) for _, group in groupby(trained, key=lambda line: (line["set"], line["memory"]))]
        texts.append(f"Trained, at equal units:\n\n{tables.markdown(rows, {'loss': 4, 'rate': 4, 'CPU s': 1})}")
    return "\n\n".join(texts)


def _groups(solved: Sequence[Line]) -> dict[tuple[str, int], dict[str, list[Line]]]:
    found: dict[tuple[str, int], dict[str, list[Line]]] = {}
    for line in solved:
        found.setdefault((line["set"], line["units"]), {}).setdefault(line["memory"], []).append(line)
    return found


def _compared(solved: Sequence[Line], metric: str, scale: float) -> str:
    digits = 2 if scale > 1 else 4
    rows = []
    for (name, p), kinds in _groups(solved).items():
        row: Line = {"set": name, "units": p}
        for kind in KINDS:
            row[kind] = _spread([scale * line["test"][metric] for line in kinds.get(kind, [])], digits)
        rows.append(row)
    return tables.markdown(rows)


def _ahead(solved: Sequence[Line]) -> str:
    rows = []
    for (name, p), kinds in _groups(solved).items():
        row: Line = {"set": name, "units": p}
        for kind in OTHERS:
            row[f"of {kind}"] = _difference(kinds.get("LAES", []), kinds.get(kind, []))
        chosen = [line["chosen"] for line in kinds.get("LAES", [])]
        rows.append(row | {"LAES chosen": "; ".join(dict.fromkeys(chosen)) or None})
    return tables.markdown(rows)


def _difference(ours: Sequence[Line], theirs: Sequence[Line]) -> str | None:
    """Mean over the seeds that both have; a memory that is not drawn stands for all seeds."""
    if not ours or not theirs:
        return None
    a, b = ({line["seed"]: 100 * line["test"]["accuracy"] for line in side} for side in (ours, theirs))
    seeds = sorted(set(a) | set(b))
    first, second = min(a), min(b)
    return _spread([a.get(s, a[first]) - b.get(s, b[second]) for s in seeds], 2)


def _row(lines: Sequence[Line]) -> Line:
    first, tests = lines[0], [100 * line["test"]["accuracy"] for line in lines]
    return {
        "set": first["set"],
        "network": first["memory"],
        "units": first["units"],
        "parameters": first["parameters"],
        "rate": first["rate"],
        "test, %": _spread(tests, 2),
        "loss": mean(line["test"]["loss"] for line in lines),
        "best epoch": round(mean(line["best epoch"] for line in lines)),
        "of": first["epochs"],
        "CPU s": mean(line["cpu seconds"] for line in lines),
        "seeds": len(lines),
    }


def _spread(values: Sequence[float], digits: int) -> str | None:
    """Mean ± standard deviation over seeds."""
    if not values:
        return None
    return f"{mean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


def _draw(solved: Sequence[Line], folder: Path) -> None:
    names = list(dict.fromkeys(line["set"] for line in solved))
    groups = _groups(solved)
    with figure(folder / "encoding.png", len(names), width=3.5) as axes:
        for panel, name in zip(axes, names, strict=True):
            for kind in KINDS:
                points = [(p, kinds[kind]) for (one, p), kinds in groups.items() if one == name and kind in kinds]
                scores = [mean(100 * line["test"]["accuracy"] for line in lines) for _, lines in points]
                panel.plot([p for p, _ in points], scores, "o--" if kind == "LAES as solved" else "o-", label=kind)
            panel.set(title=name, xlabel="memory units", ylabel="test, %")
        axes[0].legend(fontsize="small")


def _job(*parts: Any) -> str:
    return "-".join("".join(c if c.isalnum() else "_" for c in str(part)) for part in parts)
