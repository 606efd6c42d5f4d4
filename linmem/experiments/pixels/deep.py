"""MLPs on the last states of solved memories, on the pixels as a control, and on memories that are trained as well.

The control has the same number of trained weights. Valid chooses the variant, test is evaluated for the chosen one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from linmem.experiments.harness.jobs import run_job
from linmem.experiments.harness.summarize import Result
from linmem.experiments.pixels.grids import DeepSearch
from linmem.experiments.pixels.memories import Memories, Pixels, PrincipalComponents, TrainedMemories
from linmem.experiments.static_memories import last_state
from linmem.experiments.static_memories.last_state import DeepVariant
from linmem.runs.queue import run_jobs
from linmem.training.options import TrainingOptions


def pixel_readouts(
    memories: Memories, config: DeepSearch, p: int, seeds: Sequence[int], work: Path
) -> Iterator[Result]:
    """Yield MLPs on the pixels with as many trained weights as those on p memory units; see `deep_readouts`.

    Some pixels are nearly constant: their deviations count at least a tenth of that of all pixels.
    """
    pixels, classes = Pixels(memories.name), memories.splits.classes
    inputs = pixels.states(p, seeds[0]).states["train"].shape[1]
    variants = tuple(replace(equal_size(one, p, inputs, classes), smallest_scale=0.1) for one in config.variants)
    yield from deep_readouts(pixels, replace(config, variants=variants), p, seeds, work)


def component_readouts(
    memories: Memories, config: DeepSearch, p: int, seeds: Sequence[int], work: Path
) -> Iterator[Result]:
    """Yield MLPs on p principal components; see `deep_readouts`.

    Every variant is tried as it is and with the pixels' smallest deviation: twice as many trials as the memory has.
    """
    scales = (0.0, 0.1)
    variants = tuple(replace(one, smallest_scale=scale) for one in config.variants for scale in scales)
    components = PrincipalComponents(memories, len(seeds))
    yield from deep_readouts(components, replace(config, variants=variants), p, seeds, work)


def networks_through_time(
    memories: Memories, config: DeepSearch, p: int, seeds: Sequence[int], work: Path
) -> Iterator[Result]:
    """Yield linear memories of p units with an MLP, both trained through time; see `deep_readouts`."""
    for start in ("LAES", "orthogonal"):
        for found in deep_readouts(TrainedMemories(memories, start), config, p, seeds, work / start):
            yield {"start": start} | found


def equal_size(variant: DeepVariant, p: int, inputs: int, outputs: int) -> DeepVariant:
    """Return layers of equal width on other inputs, as wide as the number of weights of `variant` on p allows."""

    def count(inputs: int, widths: Sequence[int]) -> int:
        return sum((n + 1) * m for n, m in pairwise((inputs, *widths, outputs)))

    weights, layers, width = count(p, variant.widths), len(variant.widths), 1
    while count(inputs, (width + 1,) * layers) <= weights:
        width += 1
    return replace(variant, widths=(width,) * layers)


def deep_readouts(
    memories: Memories | Pixels | PrincipalComponents, config: DeepSearch, p: int, seeds: Sequence[int], work: Path
) -> Iterator[Result]:
    """Yield the variant that is best on valid with the first seed: once per seed, and all seeds as an ensemble."""

    def fit(seed: int, index: int) -> last_state.TrainedReadout:
        options = TrainingOptions(
            config.learning_rate,
            config.batch_size,
            config.max_epochs,
            patience=10**6,
            memory_lr_scale=config.memory_lr_scale,
            ema_decay=config.ema_decay,
            schedule=config.schedule,
            seed=seed,
        )
        checkpoint = work / f"deep-{p}-{seed}-{index}.safetensors"
        build = partial(memories.build, p, seed, config.variants[index])
        return last_state.train_deep(memories.states(p, seed), build, options, checkpoint)

    def search(seed: int, index: int) -> Result:
        trained = fit(seed, index)
        return {
            "epochs": trained.epochs,
            "best_epoch": trained.best_epoch,
            "valid_loss": trained.valid_loss,
            "trained_parameters": sum(weight.numel() for weight in trained.readout.parameters()),
            "solved_parameters": memories.solved_parameters(p),
            "cpu_seconds": trained.cpu_seconds,
        }

    def evaluate(seeds: Sequence[int], index: int) -> Result:
        readouts = [fit(one, index).readout for one in seeds]
        states = [memories.states_with_test(p, one, f"{memories.title}, p = {p}") for one in seeds]
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
