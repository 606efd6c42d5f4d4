"""Figure 3: accuracy on valid against the number of hidden units, one curve per model. [L18, figure 3.]

An LMN's units are its functional and its memory units together. Among the trials with the same number of units (two
initial readout biases; several shapes, if the grid has them) the first seed's NLL on valid chooses; the choice is
repeated with other seeds. Training is as in L18 but for these departures: W_mm learns at a tenth of the rate, Adam's
1e-3, LMNs start from our own initialization, and there is no L2. L18's curves are not available to us as numbers.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from linmem.experiments.harness.choose import best_of
from linmem.experiments.harness.summarize import (
    Group,
    Result,
    Results,
    average,
    averages,
    draw_curves,
    group_by,
    pivot,
    spread,
)
from linmem.experiments.harness.targets import Target
from linmem.experiments.harness.training import shared_runs, train_all, with_seed
from linmem.nn.options import ModelOptions
from linmem.reporting import tables
from linmem.runs.sweep import space
from linmem.runs.sweep.run_sweep import Outcome

TITLE = "Figure 3: validation accuracy against hidden units"
BIAS_INITS = ("marginal", "default")


@dataclass(frozen=True)
class Config:
    """Data set, sizes, and the training options that all models share; `lmn_sizes` are pairs (f, p)."""

    data: str
    units: tuple[int, ...]
    lmn_sizes: tuple[tuple[int, int], ...]
    max_epochs: int
    pretrain_epochs: int
    patience: int
    seeds: int = 1
    excluded_models: tuple[str, ...] = ()
    output_bias_init: tuple[str, ...] = BIAS_INITS


GRIDS = {
    "smoke": Config(
        "chorales", (4, 8), ((2, 2), (4, 4)), 1, 1, 1, 2, ("RNN-RBM", "pret-RNN", "GRU", "LMN-A"), ("marginal",)
    ),
    "small": Config("jsb_chorales", (50, 100, 250, 500, 750), space.PAPER_SIZES, 1000, 60, 20, 3, ("RNN-RBM",)),
    "paper": Config("jsb_chorales", (50, 100, 250, 500, 750), space.PAPER_SIZES, 1000, 60, 20, 3),
}


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """One result per trial, and per other seed of the best trial of a model and size, on valid; test is not read."""
    folder = shared_runs(work)
    for row, one in search_spaces(config).items():
        plan = [with_seed(options, seed) for options in space.plan(config.data, one)]
        trials = list(train_all(plan, folder, may_diverge=True).values())
        yield from (_result(row, one) for one in trials)
        chosen = [best_of(own).options for own in _by_units(row, trials).values()]
        for other in range(seed + 1, seed + config.seeds):
            repeated = [with_seed(options, other) for options in chosen]
            yield from (_result(row, one) for one in train_all(repeated, folder, may_diverge=True).values())


def _by_units(row: str, trials: Iterable[Outcome]) -> dict[int, list[Outcome]]:
    found: dict[int, list[Outcome]] = {}
    for one in trials:
        found.setdefault(sum(_shape(row, one.options.model)), []).append(one)
    return found


def _shape(row: str, model: ModelOptions) -> tuple[int, int]:
    """Return the numbers of functional and of memory units."""
    return model.hidden_size, model.memory_size if "LMN" in row else 0


def _result(row: str, one: Outcome) -> Result:
    functional, memory = _shape(row, one.options.model)
    return {
        "row": row,
        "seed": one.options.training.seed,
        "output_bias_init": one.options.pretraining.output_bias_init,
        "functional": functional,
        "memory": memory,
        "units": functional + memory,
        "parameters": one.result.get("parameters"),
        "epochs": one.result.get("epochs"),
        "training": asdict(one.options.training),
        "diverged": one.loss is None,
        "valid": one.result.get("scores"),
    }


def search_spaces(config: Config) -> dict[str, space.Space]:
    """Return the sizes of every model."""
    spaces = space.table2_rows(
        config.units,
        config.lmn_sizes,
        weight_decay=0.0,
        max_epochs=config.max_epochs,
        patience=config.patience,
        output_bias_init=config.output_bias_init,
        pretrain_epochs=config.pretrain_epochs,
    )
    for row in ("RNN", "pret-RNN", "LSTM", "GRU"):
        spaces[row] = {**spaces[row], "memory_lr_scale": 1.0}  # they have no W_mm: with 1 their runs are table 2's
    return {row: one for row, one in spaces.items() if row not in config.excluded_models}


def show(results: Results, folder: Path) -> str:
    """Accuracy at the threshold chosen on valid, in per cent, and NLL, by number of units; mean over seeds."""
    chosen = [one for own in group_by(results, "row", "units").values() for one in _chosen(own)]
    curves = {
        row: averages(own, "units", "valid", "accuracy", scale=100) for row, own in group_by(chosen, "row").items()
    }
    draw_curves(folder / "figure3.png", {"": curves}, "frame accuracy on valid, %", "hidden units")
    rows = pivot(chosen, {"row": "model"}, "units", _cell)
    return "Accuracy % / NLL on valid, by units:\n\n" + tables.markdown(rows)


def targets(results: Results) -> list[Target]:
    """Whether an LMN-B, with and without pretraining, has a lower NLL on valid than the LSTM at its best size."""
    best = {}
    for row, own in group_by(results, "row").items():
        means = [average(_chosen(group), "valid", "nll") for group in group_by(own, "units").values()]
        best[row] = min((mean for mean in means if mean is not None), default=None)
    return [
        Target.compare(
            f"NLL on valid of {row} below the LSTM's, each at its best size",
            f"{row} < LSTM",
            [best.get(row), best.get("LSTM")],
            operator.lt,
            digits=3,
        )
        for row in ("LMN-B", "pret-LMN-B")
    ]


def _chosen(group: Group) -> Group:
    """Return the results of all seeds of the trial that is the best with the first seed."""
    best = min((one for one in group if one["seed"] == group[0]["seed"]), key=_nll)
    return [one for one in group if all(one[key] == best[key] for key in ("functional", "memory", "output_bias_init"))]


def _nll(result: Mapping[str, Any]) -> float:
    nll: float = math.inf if result["valid"] is None else result["valid"]["nll"]
    return nll


def _cell(group: Group) -> str | None:
    if not group:
        return None
    accuracy, nll = spread(group, "valid", "accuracy", scale=100), spread(group, "valid", "nll", digits=3)
    return "diverged" if nll == "diverged" else f"{accuracy} / {nll}"
