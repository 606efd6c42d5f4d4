"""Table 2 under one protocol for all models: a random search with the same trials for each, and two comparisons.

Every model is trained with the same random trials (`linmem.experiments.table2.fair`): learning rate, number of
weights, dropout, L2, skip connection and transposition, and the axes that only some models have: nonlinearity, forget
bias, ratio of memory to functional units, rate of W_mm, lag decay. All share the batch size, gradient clipping at
0.25, averaged weights, early stopping and one pruner: every trial is trained for a few epochs, the best quarter of a
model's trials on valid for four times as many, and the best quarter of these in full. Valid chooses by NLL, once among
all trials ("best of each") and once among those with at most 50,000 weights; each comparison is pruned on its own.
Only when every model of a set is chosen are the chosen options trained with the other seeds, and test is read.

A solved memory's matrices count as weights in the limits, though they are not trained. A pretrained LMN-B trains an
unfolded network first, which costs time that the others do not have: 25 epochs, on Nottingham and MuseData, which have
13 and 18 times the training frames of JSB, 5.

Grid "small" has at most 50,000 weights on all sets but JSB, therefore one comparison there, and 8 trials on
Piano-midi.de and MuseData. On JSB and Piano-midi.de it has a control within this limit: the same trials of LMNs with
limited norms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from linmem.experiments.harness import choose
from linmem.experiments.harness.summarize import Result
from linmem.experiments.harness.training import shared_runs, with_epochs
from linmem.experiments.table2.fair import AXES, LIMITED, ROWS, Search, plan_runs, weight_count
from linmem.experiments.table2.persistence import persistence
from linmem.experiments.table2.summary import show
from linmem.experiments.table2.targets import targets as targets_of_protocols
from linmem.runs.options import RunOptions

TITLE = "Table 2 under one protocol for all models"
SMALL = 50_000  # weights of the second comparison
SMALL_WEIGHTS = tuple(count for count in AXES["weights"] if count <= SMALL)
SMOKE_ROWS = ("LSTM", "LMN-B", "pret-LMN-B", "solved")
PROTOCOLS = ("fair, at most 50,000 weights", "fair, best of each")


@dataclass(frozen=True)
class Config:
    """The searches, one per data set."""

    searches: tuple[Search, ...]


_JSB = Search("jsb_chorales", trials=16, seeds=3, max_epochs=400, rungs=(12, 48))
_PIANO = Search("piano_midi", trials=8, seeds=3, max_epochs=200, truncate=200, rungs=(6, 24))
_NOTTINGHAM = Search("nottingham", trials=16, seeds=3, max_epochs=200, pretrain_epochs=5, truncate=200, rungs=(3, 12))
_MUSE_DATA = Search("muse_data", trials=8, seeds=3, max_epochs=200, pretrain_epochs=5, truncate=200, rungs=(2, 8))
_SMOKE = Search("chorales:8:4:4", 3, 1, 2, 1, 1, weights=(12_500, 60_000), rows=SMOKE_ROWS, rungs=(1,))
_WITH_CONTROL = (*ROWS, *LIMITED)
GRIDS = {
    "smoke": Config((_SMOKE,)),
    "small": Config(
        (
            replace(_JSB, rows=_WITH_CONTROL),
            replace(_PIANO, weights=SMALL_WEIGHTS, rows=_WITH_CONTROL),
            replace(_NOTTINGHAM, weights=SMALL_WEIGHTS),
            replace(_MUSE_DATA, weights=SMALL_WEIGHTS),
        )
    ),
    "paper": Config((_JSB, *(replace(one, trials=16) for one in (_PIANO, _NOTTINGHAM, _MUSE_DATA)))),
}
SETS = tuple(search.data for search in GRIDS["paper"].searches)
targets = partial(targets_of_protocols, protocols=dict(zip(PROTOCOLS, (SETS, ("jsb_chorales",)), strict=True)))


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """Persistence, then one result per comparison, model and seed, for every data set.

    A search without models of more than `SMALL` weights has one comparison.
    """
    folder = shared_runs(work)
    for search in config.searches:
        planned, trained = {}, {}
        for protocol, limit in zip(PROTOCOLS, limits(search), strict=False):
            planned[protocol] = within(plan_runs(search, seed), limit)
            trained[protocol] = choose.search_by_halving(planned[protocol], search.rungs, folder)
        persistent = persistence(search.data, work) if search.seeds else None
        for protocol, trials in trained.items():
            head = {"set": search.data, "protocol": protocol}
            if persistent:
                yield head | persistent
            counts = {row: len(plan) for row, plan in planned[protocol].items()}
            for row, outcomes in trials.items() if not search.seeds else ():
                yield head | choose.describe_run(row, counts[row], choose.best_of(outcomes), folder)
            for result in choose.evaluate_best(trials, range(seed, seed + search.seeds), folder, work, counts):
                yield head | result


def limits(search: Search) -> tuple[int | None, ...]:
    """Return the largest number of weights of every comparison, None without a limit."""
    return (SMALL, None) if max(search.weights) > SMALL else (SMALL,)


def within(plans: choose.Plans, weights: int | None) -> dict[str, list[RunOptions]]:
    """Return the runs with at most so many weights, all but those of the control for None.

    Rows without such runs are left out.
    """
    small = {
        row: [o for o in plan if weights is None or weight_count(o.model) <= weights]
        for row, plan in plans.items()
        if weights is not None or row not in LIMITED
    }
    return {row: plan for row, plan in small.items() if plan}


def plan(config: Config, seed: int) -> Mapping[tuple[str, str], list[RunOptions]]:
    """Return the training runs of the search, by data set and row; those of other seeds follow the choice.

    The first trials stand for those that go on where trials are halved.
    """
    plans = {one: plan_runs(one, seed) for one in config.searches}
    return {
        (one.data, row): with_rungs(runs, one.rungs)
        for one, all_runs in plans.items()
        for row, runs in (within(all_runs, SMALL) | within(all_runs, limits(one)[-1])).items()
    }


def with_rungs(runs: list[RunOptions], rungs: Sequence[int]) -> list[RunOptions]:
    """Return the runs that training `runs` by halving takes, the first ones in place of the best ones."""
    taken = []
    for epochs in rungs:
        taken += [with_epochs(o, epochs) for o in runs]
        runs = runs[: choose.quarter(len(runs))]
    return taken + runs


__all__ = ["GRIDS", "TITLE", "plan", "run", "show", "targets"]
