"""Table 2: every model on the four sets of polyphonic music, with the published figures. [L18, table 2.]

Two protocols. *Plain* follows L18 in part: Adam at 1e-3, early stopping on valid, tanh, a pretrained memory that keeps
the whole past. It departs from L18: W_mm learns at a tenth of the rate, and in grid "small" it has no L2, two of L18's
five sizes (two of six of an LMN), our initialisation of LMNs, and at most 25 epochs for the unfolded network. Its
figures are therefore no reproduction of L18's protocol.

*Regularized* has, for every model, Adam at 3e-3, dropout, a running average of the weights, and the same number of
trials. It is not the same for every model in all else: LMNs alone have ReLU units, a lower rate of W_mm and,
pretrained, lags and a memory decay. That decay (0.7 on the larger sets, 0.3 on JSB) was chosen by hand on valid of the
chorales and of Nottingham. No learning rate is searched.

Valid chooses the trial and the epoch by NLL, and the threshold. Test is evaluated for the chosen runs of all seeds; on
Piano-midi.de, Nottingham and MuseData the test scores of an earlier grid were known when this protocol was designed.

On JSB the trials include the initial readout bias. The three larger sets have long pieces: gradients are truncated
after 100 steps, the state carried on. In the regularized protocol each is searched on its own valid split, with less
dropout and gradients clipped at 0.25; in the plain one the larger sets take the settings chosen on JSB. The row "a
fifth" is the pretrained LMN-B chosen among the trials with at most a fifth of the chosen LSTM's parameters [L19].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import cast

from linmem import data
from linmem.experiments.harness.choose import best_of, evaluate_chosen, search
from linmem.experiments.harness.jobs import job_name, run_job
from linmem.experiments.harness.reads_of_test import read_test
from linmem.experiments.harness.summarize import Result
from linmem.experiments.harness.training import shared_runs
from linmem.experiments.table2.grids import SMALL_LMN, Config, Part, search_spaces
from linmem.runs import runner
from linmem.runs.options import RunOptions
from linmem.runs.sweep import space
from linmem.runs.sweep.run_sweep import Outcome

TITLE = "Table 2: polyphonic music, frame accuracy and likelihood"


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """Persistence, then one result per row and seed, for every part; the training runs are kept beside `work`."""
    folder = shared_runs(work)
    for part in config.parts:
        head = {"set": part.data, "protocol": part.protocol}
        yield head | {"row": "persistence", "test": persistence(part.data, work)}
        source = _choosing_part(part, config.parts)
        chosen, rows = _choose(source, seed, folder), search_spaces(part)
        final = {
            (row, s): _adapt(best.options, part, s)
            for row, (best, _) in chosen.items()
            if row == SMALL_LMN or row in rows
            for s in range(seed, seed + part.seeds)
        }
        counts = {row: count for row, (_, count) in chosen.items()}
        for result in evaluate_chosen(final, counts, folder, work):
            yield head | {"chosen_on": source.data} | result


def _choosing_part(part: Part, parts: Sequence[Part]) -> Part:
    """Return the part whose valid split chooses the settings: the same protocol on `chosen_on`, or the part itself."""
    key = part.chosen_on or part.data, part.protocol
    return next(one for one in parts if (one.data, one.protocol) == key)


def _choose(part: Part, seed: int, folder: Path) -> dict[str, tuple[Outcome, int]]:
    """Return the best trial on valid of every row, and the number of trials; and the best small pretrained LMN-B."""
    trials = search(plan_runs(part, seed), folder)
    chosen = {row: (best_of(outcomes), len(outcomes)) for row, outcomes in trials.items()}
    allowed = chosen["LSTM"][0].result.get("parameters", 0) / 5  # a run that diverged has no result
    small = [one for one in trials["pret-LMN-B"] if 0 < one.result.get("parameters", 0) <= allowed]
    if small:
        chosen[SMALL_LMN] = best_of(small), len(small)
    return chosen


def plan_runs(part: Part, seed: int) -> dict[str, list[RunOptions]]:
    """Return the trials of every row of a part."""
    spaces = search_spaces(part)
    return {row: [_adapt(o, part, seed) for o in space.plan(part.data, one)] for row, one in spaces.items()}


def _adapt(options: RunOptions, part: Part, seed: int) -> RunOptions:
    """Return the same run on the part's data and another seed, with the part's epochs, patience and truncation."""
    training = replace(
        options.training, seed=seed, max_epochs=part.max_epochs, patience=part.patience, truncate=part.truncate
    )
    return replace(options, data=part.data, training=training)


def persistence(name: str, work: Path) -> Result:
    """Return the test scores of a copy of the last frame; they are kept in `work`."""

    def evaluate() -> Result:
        return asdict(runner.baseline_scores(data.load(name), "test")[1])

    job = partial(read_test, evaluate, model="persistence", data=name)
    return cast(Result, run_job(work, f"persistence-{job_name(name)}", job))
