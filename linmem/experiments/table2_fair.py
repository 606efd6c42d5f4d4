"""Table 2 under one protocol for all models: a random search with the same trials for each, and two comparisons.

Every model is trained with the same random trials (`linmem.experiments.table2.fair`): learning rate, number of
weights, dropout, L2, skip connection and transposition, and the axes that only some models have: nonlinearity, forget
bias, ratio of memory to functional units, rate of W_mm, lag decay. All share the batch size, gradient clipping at
0.25, averaged weights and early stopping; no trial is pruned otherwise. Valid chooses by NLL, once among all trials
("best of each") and once among those with at most 50,000 weights. Only when every model of a set is chosen are the
chosen options trained with the other seeds, and test is read.

A solved memory's matrices count as weights in the limits, though they are not trained. A pretrained LMN-B trains an
unfolded network first, which costs time that the others do not have. Grid "medium" has half
the trials of "paper" on JSB, the first eight; on the three larger sets it has at most 50,000 weights, therefore the
second comparison alone, and half to two thirds of the trials, in favour of no model. Grid "small" is its first two
sets, JSB and Piano-midi.de. Both have a control: the same trials of LMNs with limited norms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from linmem.experiments.harness import choose
from linmem.experiments.harness.summarize import Result
from linmem.experiments.harness.training import shared_runs
from linmem.experiments.table2.experiment import persistence
from linmem.experiments.table2.fair import AXES, LIMITED, ROWS, Search, plan_runs, weight_count
from linmem.experiments.table2.summary import show
from linmem.experiments.table2.targets import targets as targets_of_protocols
from linmem.runs.options import RunOptions
from linmem.runs.sweep.run_sweep import Outcome

TITLE = "Table 2 under one protocol for all models"
SMALL = 50_000  # weights of the second comparison
SMALL_WEIGHTS = tuple(count for count in AXES["weights"] if count <= SMALL)
SMOKE_ROWS = ("LSTM", "LMN-B", "pret-LMN-B", "solved")
PROTOCOLS = ("fair, at most 50,000 weights", "fair, best of each")


@dataclass(frozen=True)
class Config:
    """The searches, one per data set."""

    searches: tuple[Search, ...]


_WITH_CONTROL = (*ROWS, *LIMITED)
_MEDIUM = (
    Search("jsb_chorales", trials=8, seeds=3, max_epochs=400, rows=_WITH_CONTROL),
    Search("piano_midi", 4, 3, 200, truncate=200, weights=SMALL_WEIGHTS, rows=_WITH_CONTROL),
    Search("nottingham", 3, 2, 200, truncate=200, weights=SMALL_WEIGHTS),
    Search("muse_data", 2, 1, 100, truncate=200, weights=SMALL_WEIGHTS),
)
GRIDS = {
    "smoke": Config((Search("chorales:8:4:4", 2, 1, 1, 1, 1, weights=(12_500, 60_000), rows=SMOKE_ROWS),)),
    "small": Config(_MEDIUM[:2]),
    "medium": Config(_MEDIUM),
    "paper": Config(
        (
            Search("jsb_chorales", 16, 3, 400),
            Search("piano_midi", 8, 3, 200, truncate=200),
            Search("nottingham", 4, 3, 200, truncate=200),
            Search("muse_data", 3, 1, 100, truncate=200),
        )
    ),
}
targets = partial(targets_of_protocols, protocols=PROTOCOLS)


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """Persistence, then one result per comparison, model and seed, for every data set.

    A search without models of more than `SMALL` weights has one comparison.
    """
    folder = shared_runs(work)
    for search in config.searches:
        trials = choose.search(plan_runs(search, seed), folder)
        persistent = {"row": "persistence", "test": persistence(search.data, work)} if search.seeds else None
        limits = (SMALL, None) if max(search.weights) > SMALL else (SMALL,)
        for protocol, limit in zip(PROTOCOLS, limits, strict=False):
            head = {"set": search.data, "protocol": protocol}
            if persistent:
                yield head | persistent
            allowed = {row: within(outcomes, limit) for row, outcomes in trials.items()}
            for row, outcomes in allowed.items() if not search.seeds else ():
                if outcomes:
                    yield head | choose.describe_run(row, len(outcomes), choose.best_of(outcomes), folder)
            for result in choose.evaluate_best(allowed, range(seed, seed + search.seeds), folder, work):
                yield head | result


def within(outcomes: list[Outcome], weights: int | None) -> list[Outcome]:
    """Return the runs with at most so many weights; all for None."""
    return [one for one in outcomes if weights is None or weight_count(one.options.model) <= weights]


def plan(config: Config, seed: int) -> Mapping[tuple[str, str], list[RunOptions]]:
    """Return the training runs of the search, by data set and row; those of other seeds follow the choice."""
    return {(one.data, row): runs for one in config.searches for row, runs in plan_runs(one, seed).items()}


__all__ = ["GRIDS", "TITLE", "plan", "run", "show", "targets"]
