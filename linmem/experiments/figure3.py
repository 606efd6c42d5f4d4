"""Figure 3: validation accuracy against the number of hidden units, a curve a model. [L18, figure 3.]

An LMN's units are its functional and its memory units together. Of several shapes with as many units, and of the two
starts of a readout's bias, the run with the better NLL on valid counts.
The protocol is the papers', as in table 2's plain part, without L2; the runs that both ask for are done once. L18's own
curves were not at hand as numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from linmem.experiments.harness.jobs import trained
from linmem.reporting import figures, tables
from linmem.reporting.output import figure
from linmem.runs.sweep import space

TITLE = "Figure 3: validation accuracy against hidden units"
_PAPER = [list(pair) for pair in space.PAPER_SIZES]
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "smoke": {
        "set": "chorales",
        "units": [4, 8],
        "pairs": [[2, 2], [4, 4]],
        "without": ["RNN-RBM", "pret-RNN", "GRU", "LMN-A"],
        "starts": ["marginal"],
        "epochs": 1,
        "pretraining epochs": 1,
        "patience": 1,
    },
    "small": {
        "set": "jsb_chorales",
        "units": [50, 100, 250],
        "pairs": _PAPER[:-2],
        "without": ["RNN-RBM"],
        "starts": ["marginal", "default"],
        "epochs": 120,
        "pretraining epochs": 25,
        "patience": 10,
    },
    "paper": {
        "set": "jsb_chorales",
        "units": [50, 100, 250, 500, 750],
        "pairs": _PAPER,
        "without": [],
        "starts": ["marginal", "default"],
        "epochs": 1000,
        "pretraining epochs": 60,
        "patience": 20,
    },
}


def run(config: Mapping[str, Any], seed: int, work: Path) -> Iterator[dict[str, Any]]:
    """A line a model and size; validation only, test is not read."""
    for row, one in spaces(config).items():
        plan = [replace(o, training=replace(o.training, seed=seed)) for o in space.plan(config["set"], one)]
        for outcome in trained(plan, work.parent / "runs"):
            model = outcome.options.model
            yield {
                "row": row,
                "start": outcome.options.pretraining.output_bias_init,
                "functional": model.hidden_size,
                "memory": model.memory_size if "LMN" in row else 0,
                "parameters": outcome.result["parameters"],
                "epochs": outcome.result["epochs"],
                "valid": outcome.result["scores"],
            }


def spaces(config: Mapping[str, Any]) -> dict[str, space.Space]:
    """Sizes of every model that is drawn."""
    found = space.table2_rows(
        config["units"],
        config["pairs"],
        weight_decay=0.0,
        max_epochs=config["epochs"],
        patience=config["patience"],
        output_bias_init=config["starts"],
        pretrain_epochs=config["pretraining epochs"],
    )
    return {row: one for row, one in found.items() if row not in config["without"]}


def show(lines: Sequence[dict[str, Any]], folder: Path) -> str:
    """Accuracy at the threshold that is best on valid, in per cent, and NLL, by number of units."""
    units = sorted({_units(line) for line in lines})
    best: dict[str, dict[int, dict[str, Any]]] = {}
    for line in lines:
        row, n = best.setdefault(line["row"], {}), _units(line)
        if n not in row or line["valid"]["nll"] < row[n]["valid"]["nll"]:
            row[n] = line
    with figure(folder / "figure3.png", 1) as axes:
        curves = {row: [(n, 100 * at[n]["valid"]["accuracy"]) for n in sorted(at)] for row, at in best.items()}
        figures.accuracy_by_units(axes[0], curves)
    rows: list[dict[str, str | None]] = [
        {"model": row, **{str(n): _cell(at[n]) if n in at else None for n in units}} for row, at in best.items()
    ]
    return "Accuracy % / NLL on valid, by units:\n\n" + tables.markdown(rows)


def _units(line: Mapping[str, Any]) -> int:
    total: int = line["functional"] + line["memory"]
    return total


def _cell(line: Mapping[str, Any]) -> str:
    return f"{100 * line['valid']['accuracy']:.2f} / {line['valid']['nll']:.3f}"
