"""Multi-scale and other memories at equal units: JSB and the generation of a waveform. [E21.]

Every row has a state of the same number of units and the same trials, one per learning rate; valid chooses by the loss
with the first seed, and the choice is repeated with other seeds. Rows: LSTM; LMN-B, also with a functional part of two
layers and with the penalty λ ‖W_mmᵀ W_mm − I‖² (soft orthogonality, λ = 1e-3 [S20]); a multi-scale LMN of four memory
modules, each a quarter of the units, trained at once, or incrementally: one module first, a slower one added in closed
form after every `pretrain_epochs` epochs, and all trained at the end; Clockwork network; LRU; an echo state network
with five times the units, because its readout alone is trained, for at most 1000 epochs. Incremental training has more
epochs in all.

The waveform is one sequence, which all splits share: its score is how well it was learned, not a generalization.
E21's figures are not available to us.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from linmem.experiments.harness.choose import search_and_evaluate
from linmem.experiments.harness.summarize import Group, Result, Results, average, group_by, spread
from linmem.experiments.harness.targets import Target
from linmem.experiments.harness.training import shared_runs
from linmem.nn.options import ModelOptions
from linmem.reporting import tables
from linmem.runs.options import PretrainingOptions, RunOptions
from linmem.training.options import TrainingOptions

TITLE = "Multi-scale and other memories at equal units"
SCALES, PENALTY = 4, 1e-3
ECHO_STATE_EPOCHS = 1000  # at most: the loss of its readout falls on for over ten thousand epochs, by ever less
ROWS: Mapping[str, str] = {
    "LSTM": "lstm",
    "LMN-B": "lmn-b",
    "LMN-B, two functional layers": "lmn-b",
    "LMN-B, soft orthogonality": "lmn-b",
    "multi-scale LMN": "lmn-multiscale",
    "multi-scale LMN, incremental": "lmn-multiscale",
    "Clockwork": "clockwork",
    "LRU": "lru",
    "echo state": "echo-state",
}


@dataclass(frozen=True)
class SetPlan:
    """A data set and the training that all rows share."""

    data: str
    max_epochs: int
    pretrain_epochs: int
    patience: int


@dataclass(frozen=True)
class Config:
    """Units of the state, seeds, learning rates to try, and data sets."""

    units: int
    seeds: int
    learning_rates: tuple[float, ...]
    sets: tuple[SetPlan, ...]


JSB, WAVEFORM = SetPlan("jsb_chorales", 300, 10, 8), SetPlan("generation", 20_000, 50, 200)
GRIDS = {
    "smoke": Config(8, 1, (1e-2,), (SetPlan("chorales:4:4:4", 1, 1, 1),)),
    "small": Config(100, 3, (1e-3, 3e-3, 1e-2), (JSB, WAVEFORM)),
    "paper": Config(100, 5, (5e-4, 1e-3, 3e-3, 1e-2), (JSB, replace(WAVEFORM, patience=1000))),
}


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """One result per set, row and seed."""
    seeds = range(seed, seed + config.seeds)
    for plan in config.sets:
        plans = {row: [run_options(row, config.units, plan, rate) for rate in config.learning_rates] for row in ROWS}
        for result in search_and_evaluate(plans, seeds, shared_runs(work), work):
            yield {"set": plan.data} | result


def run_options(row: str, units: int, plan: SetPlan, learning_rate: float) -> RunOptions:
    """Return the training run of a row."""
    model = ModelOptions(ROWS[row], units, units, scales=SCALES)
    if ROWS[row] == "lmn-multiscale":
        model = replace(model, memory_size=units // SCALES)
    elif ROWS[row] == "echo-state":
        model = replace(model, hidden_size=5 * units)
    elif row == "LMN-B, two functional layers":
        model = replace(model, functional_layers=2)
    training = TrainingOptions(
        learning_rate,
        max_epochs=min(plan.max_epochs, ECHO_STATE_EPOCHS) if row == "echo state" else plan.max_epochs,
        patience=plan.patience,
        orthogonality=PENALTY if row == "LMN-B, soft orthogonality" else 0.0,
    )
    incremental = row == "multi-scale LMN, incremental"
    scheme = PretrainingOptions("incremental", plan.pretrain_epochs, learning_rate) if incremental else None
    return RunOptions(plan.data, model, training, scheme or PretrainingOptions())


def show(results: Results, folder: Path) -> str:
    """One table per set; mean ± standard deviation over seeds."""
    return "\n\n".join(
        f"**{name}**\n\n"
        + tables.markdown([_row(row, group) for row, group in group_by(own, "row").items()], {"CPU s": 0})
        for name, own in group_by(results, "set").items()
    )


def targets(results: Results) -> list[Target]:
    """E21: incremental training and several scales against one linear memory."""
    found = []
    for name in (JSB.data, WAVEFORM.data):
        rows = group_by([one for one in results if one["set"] == name], "row")
        for ours, other in (
            ("multi-scale LMN", "LMN-B"),
            ("multi-scale LMN, incremental", "multi-scale LMN"),
            ("multi-scale LMN, incremental", "Clockwork"),
        ):
            scores = [average(rows.get(row, []), "test", "accuracy", scale=100) for row in (ours, other)]
            statement = f"{name}: {ours} ahead of {other} in accuracy or R² on test, %"
            found.append(Target.compare(statement, "score above", scores, operator.gt))
    return found


def _row(row: str, group: Group) -> Result:
    first = group[0]
    loss = "mse" if any("mse" in (one["test"] or ()) for one in group) else "nll"
    return {
        "model": row,
        "parameters": first["parameters"],
        "learning rate": f"{first['training']['learning_rate']:g}",
        "trials": first["trials"],
        "seeds": len(group),
        "accuracy %" if loss == "nll" else "R² %": spread(group, "test", "accuracy", scale=100),
        loss.upper(): spread(group, "test", loss, digits=3 if loss == "nll" else 5),
        "epochs": average(group, "epochs"),
        "diverged": sum(one["diverged"] for one in group),
        "CPU s": average(group, "cpu_seconds"),
    }
