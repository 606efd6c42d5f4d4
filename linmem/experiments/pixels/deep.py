"""Deep readouts of solved memories: the variant is chosen on valid, test is evaluated for the chosen one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from linmem.experiments.harness.jobs import run_job
from linmem.experiments.harness.summarize import Result
from linmem.experiments.pixels.grids import DeepSearch
from linmem.experiments.pixels.memories import Memories
from linmem.experiments.static import last_state
from linmem.runs.queue import run_jobs
from linmem.training.options import TrainingOptions


def deep_readouts(memories: Memories, config: DeepSearch, p: int, seeds: Sequence[int], work: Path) -> Iterator[Result]:
    """Yield the variant that is best on valid with the first seed: once per seed, and all seeds as an ensemble."""

    def fit(seed: int, index: int) -> last_state.TrainedReadout:
        options = TrainingOptions(
            config.learning_rate,
            config.batch_size,
            config.max_epochs,
            patience=10**6,
            ema_decay=config.ema_decay,
            seed=seed,
        )
        checkpoint = work / f"deep-{p}-{seed}-{index}.safetensors"
        return last_state.train_deep(memories.states(p, seed), config.variants[index], options, checkpoint)

    def search(seed: int, index: int) -> Result:
        trained = fit(seed, index)
        return {
            "epochs": trained.epochs,
            "best_epoch": trained.best_epoch,
            "valid_loss": trained.valid_loss,
            "trained_parameters": sum(weight.numel() for weight in trained.readout.parameters()),
            "solved_parameters": p * (p + memories.splits.features),
            "cpu_seconds": trained.cpu_seconds,
        }

    def evaluate(seeds: Sequence[int], index: int) -> Result:
        readouts = [fit(one, index).readout for one in seeds]
        states = [memories.states_with_test(p, one, f"deep readout, p = {p}") for one in seeds]
        splits = ("valid", "test")
        return {f"{split}_accuracy": last_state.accuracy_percent(readouts, states, split) for split in splits}

    def name(seed: int, index: int) -> str:
        return f"deep-{p}-{seed}-{index}"

    variants = range(len(config.variants))
    first = run_jobs(work, {name(seeds[0], i): partial(search, seeds[0], i) for i in variants})
    best = min(variants, key=lambda i: first[name(seeds[0], i)]["valid_loss"])
    variant = asdict(config.variants[best])
    rows = run_jobs(work, {name(one, best): partial(search, one, best) for one in seeds})
    scores = run_jobs(work, {f"test-{name(one, best)}": partial(evaluate, [one], best) for one in seeds})
    for seed in seeds:
        yield {"seed": seed, "variant": variant} | rows[name(seed, best)] | scores[f"test-{name(seed, best)}"]
    if len(seeds) > 1:
        together = run_job(work, f"all-{p}-{seeds[0]}-{best}", partial(evaluate, seeds, best))
        keys = ("trained_parameters", "solved_parameters", "cpu_seconds")
        sums = {key: sum(row[key] for row in rows.values()) for key in keys}
        yield {"seed": None, "ensemble": len(seeds), "variant": variant} | sums | together
