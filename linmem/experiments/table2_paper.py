"""Table 2 under L18's protocol, as far as it is published. [L18, table 2.]

Adam at 1e-3 for all weights, W_mm included; the initialization of torch.nn.Linear for LMNs and torch's own for all
other layers, also for the readout; tanh; one layer; L2 in {0, 1e-7 … 1e-4} and all sizes of L18's lists searched, an
LSTM's forget bias in {0, 1}; early stopping on valid with a patience of 20 epochs and a limit of 1000. A pretrained
LMN-B starts from an unfolded network with 10 lags and SELU units and keeps the whole past. L18 does not give its batch
size, its patience and whether the accuracy is pooled over a split: here 16, 20 and pooled. L2 is relative to a loss in
nats per frame.

Valid chooses among all runs of a row by NLL; the chosen options are trained with three seeds, and test is read once
for each. The row "a fifth" is the pretrained LMN-B chosen among the trials with at most a fifth of the chosen LSTM's
parameters [L19]. Grid "up_to_100" is JSB with the sizes of at most 100 units, "up_to_250" that of at most 250, "small"
all of JSB, "paper" all four sets; runs that two grids have are trained once. JSB also has controls, which are not
L18's, except in "paper": LMN-A and LMN-B with the same options and limits on the norms of their weights. The RNN-RBM is
left out: L18's row is B12's. The GRU is not in L18.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from linmem.experiments.harness.choose import best_of, evaluate_chosen, search
from linmem.experiments.harness.summarize import Result
from linmem.experiments.harness.training import shared_runs, with_seed
from linmem.experiments.table2 import published
from linmem.experiments.table2.as_published import SMALL_LMN, Part, plan_runs
from linmem.experiments.table2.persistence import persistence
from linmem.experiments.table2.summary import show
from linmem.experiments.table2.targets import targets as targets_of_protocols
from linmem.runs.options import RunOptions
from linmem.runs.sweep.run_sweep import Outcome

TITLE = "Table 2 under L18's protocol"
PROTOCOL = "paper"


@dataclass(frozen=True)
class Config:
    """The parts of a grid, one per data set."""

    parts: tuple[Part, ...]


_JSB = Part("jsb_chorales", controls=("LMN-A", "LMN-B"))


def _up_to(most: int) -> Part:
    """JSB with the sizes of at most `most` units."""
    pairs = tuple(pair for pair in _JSB.lmn_sizes if max(pair) <= most)
    units = tuple(units for units in _JSB.units if units <= most)
    return replace(_JSB, units=units, lmn_sizes=pairs)


GRIDS = {
    "smoke": Config(
        (Part("chorales", (4,), ((4, 6),), (0.0,), 1, 1, 1, 1, excluded_rows=("pret-RNN", "GRU", "LMN-A")),)
    ),
    "up_to_100": Config((_up_to(100),)),
    "up_to_250": Config((_up_to(250),)),
    "small": Config((_JSB,)),
    "paper": Config(tuple(Part(name) for name in published.ACCURACY)),
}
targets = partial(targets_of_protocols, protocols={PROTOCOL: tuple(published.ACCURACY)})


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """Persistence, then one result per row and seed, for every set; the training runs are kept beside `work`."""
    folder = shared_runs(work)
    for part in config.parts:
        head = {"set": part.data, "protocol": PROTOCOL}
        yield head | persistence(part.data, work)
        chosen = _choose(part, seed, folder)
        seeds = range(seed, seed + part.seeds)
        final = {(row, s): with_seed(best.options, s) for row, (best, _) in chosen.items() for s in seeds}
        counts = {row: count for row, (_, count) in chosen.items()}
        for result in evaluate_chosen(final, counts, folder, work):
            yield head | result


def _choose(part: Part, seed: int, folder: Path) -> dict[str, tuple[Outcome, int]]:
    """Return the best trial on valid of every row, and the number of trials; and the best small pretrained LMN-B."""
    trials = search(plan_runs(part, seed), folder)
    chosen = {row: (best_of(outcomes), len(outcomes)) for row, outcomes in trials.items()}
    allowed = chosen["LSTM"][0].result.get("parameters", 0) / 5  # a run that diverged has no result
    small = [one for one in trials["pret-LMN-B"] if 0 < one.result.get("parameters", 0) <= allowed]
    if small:
        chosen[SMALL_LMN] = best_of(small), len(small)
    return chosen


def plan(config: Config, seed: int) -> Mapping[tuple[str, str], list[RunOptions]]:
    """Return the training runs of the search, by data set and row; those of other seeds follow the choice."""
    return {(part.data, row): runs for part in config.parts for row, runs in plan_runs(part, seed).items()}


__all__ = ["GRIDS", "TITLE", "plan", "run", "show", "targets"]
