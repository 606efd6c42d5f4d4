"""Figure 3: accuracy on valid against the number of hidden units, one curve per model. [L18, figure 3.]

An LMN's units are its functional and its memory units together. Among several shapes with the same number of units, and
the two initial readout biases, the run with the lower NLL on valid is shown. The protocol is that of table 2's part
"plain" without L2; runs that both experiments need are trained once. L18's curves are not available to us as numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from linmem.experiments.harness.catalog import Result, Results
from linmem.experiments.harness.summarize import group_by
from linmem.experiments.harness.targets import Target
from linmem.experiments.harness.training import shared_runs, train_all
from linmem.reporting import figures, tables
from linmem.reporting.output import figure
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
        plan = [replace(o, training=replace(o.training, seed=seed)) for o in space.plan(config.data, one)]
        for outcome in train_all(plan, shared_runs(work)):
            model = outcome.options.model
            yield {
                "row": row,
                "output_bias_init": outcome.options.pretraining.output_bias_init,
                "functional": model.hidden_size,
                "memory": model.memory_size if "LMN" in row else 0,
                "parameters": outcome.result["parameters"],
                "epochs": outcome.result["epochs"],
                "valid": outcome.result["scores"],
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
    best = {row: _best_by_units(group) for row, group in group_by(results, "row").items()}
    units = sorted({n for at in best.values() for n in at})
    with figure(folder / "figure3.png", 1) as axes:
        curves = {row: [(n, 100 * at[n]["valid"]["accuracy"]) for n in sorted(at)] for row, at in best.items()}
        figures.accuracy_by_units(axes[0], curves)
    rows: list[dict[str, str | None]] = [
        {"model": row, **{str(n): _cell(at[n]) if n in at else None for n in units}} for row, at in best.items()
    ]
    return "Accuracy % / NLL on valid, by units:\n\n" + tables.markdown(rows)


def targets(results: Results) -> list[Target]:
    """Whether an LMN-B, with and without pretraining, has a lower NLL on valid than the LSTM at its best size."""
    best = {row: min(group, key=_nll) for row, group in group_by(results, "row").items()}
    found = []
    for row in ("LMN-B", "pret-LMN-B"):
        both = [best[name]["valid"]["nll"] for name in (row, "LSTM") if name in best]
        measured = ", ".join(f"{nll:.3f}" for nll in both) if len(both) == 2 else "–"
        reached = both[0] < both[1] if len(both) == 2 else None
        found.append(
            Target(f"NLL on valid of {row} below the LSTM's, each at its best size", f"{row} < LSTM", measured, reached)
        )
    return found


def _best_by_units(results: Results) -> dict[int, Mapping[str, Any]]:
    """Return the result with the lowest NLL for every number of units."""
    by_units: dict[int, Mapping[str, Any]] = {}
    for one in results:
        n = one["functional"] + one["memory"]
        if n not in by_units or _nll(one) < _nll(by_units[n]):
            by_units[n] = one
    return by_units


def _nll(result: Mapping[str, Any]) -> float:
    nll: float = result["valid"]["nll"]
    return nll


def _cell(result: Mapping[str, Any]) -> str:
    return f"{100 * result['valid']['accuracy']:.2f} / {_nll(result):.3f}"
