"""Figure 3: accuracy on valid against the number of hidden units, one curve per model. [L18, figure 3.]

An LMN's units are its functional and its memory units together. Among several shapes with the same number of units, and
the two initial readout biases, the run with the lower NLL on valid is shown; a run that diverged has none. Training is
as in L18 but for these departures: W_mm learns at a tenth of the rate, Adam's 1e-3, LMNs start from our own
initialization, and there is no L2. L18's curves are not available to us as numbers.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linmem.experiments.harness.summarize import Group, Result, Results, averages, draw_curves, group_by, pivot
from linmem.experiments.harness.targets import Target
from linmem.experiments.harness.training import shared_runs, train_all, with_seed
from linmem.reporting import tables
from linmem.runs.sweep import space

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
    excluded_models: tuple[str, ...] = ()
    output_bias_init: tuple[str, ...] = BIAS_INITS


GRIDS = {
    "smoke": Config(
        "chorales", (4, 8), ((2, 2), (4, 4)), 1, 1, 1, ("RNN-RBM", "pret-RNN", "GRU", "LMN-A"), ("marginal",)
    ),
    "small": Config("jsb_chorales", (50, 100, 250), space.PAPER_SIZES[:-2], 120, 25, 10, ("RNN-RBM",)),
    "paper": Config("jsb_chorales", (50, 100, 250, 500, 750), space.PAPER_SIZES, 1000, 60, 20),
}


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """One result per model and size, on valid; test is not read."""
    for row, one in search_spaces(config).items():
        plan = [with_seed(options, seed) for options in space.plan(config.data, one)]
        for outcome in train_all(plan, shared_runs(work), may_diverge=True).values():
            model = outcome.options.model
            yield {
                "row": row,
                "output_bias_init": outcome.options.pretraining.output_bias_init,
                "functional": model.hidden_size,
                "memory": model.memory_size if "LMN" in row else 0,
                "parameters": outcome.result.get("parameters"),
                "epochs": outcome.result.get("epochs"),
                "valid": outcome.result.get("scores"),
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
    return {row: one for row, one in spaces.items() if row not in config.excluded_models}


def show(results: Results, folder: Path) -> str:
    """Accuracy at the threshold chosen on valid, in per cent, and NLL, by number of units."""
    by_size = group_by([{**one, "units": one["functional"] + one["memory"]} for one in results], "row", "units")
    best = [min(own, key=_nll) for own in by_size.values()]
    curves = {row: averages(own, "units", "valid", "accuracy", scale=100) for row, own in group_by(best, "row").items()}
    draw_curves(folder / "figure3.png", {"": curves}, "frame accuracy on valid, %", "hidden units")
    rows = pivot(best, {"row": "model"}, "units", _cell)
    return "Accuracy % / NLL on valid, by units:\n\n" + tables.markdown(rows)


def targets(results: Results) -> list[Target]:
    """Whether an LMN-B, with and without pretraining, has a lower NLL on valid than the LSTM at its best size."""
    lowest = {row: min(map(_nll, own)) for row, own in group_by(results, "row").items()}
    best = {row: nll for row, nll in lowest.items() if nll < math.inf}
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


def _nll(result: Mapping[str, Any]) -> float:
    nll: float = math.inf if result["valid"] is None else result["valid"]["nll"]
    return nll


def _cell(group: Group) -> str | None:
    if not group:
        return None
    valid = group[0]["valid"]
    return f"{100 * valid['accuracy']:.2f} / {valid['nll']:.3f}" if valid else "diverged"
