"""Images pixel by pixel, classified after the last one: the measurements of `smnist` and `psmnist`. [S20.]

*Readouts without backpropagation*: the LAES of the inputs is solved, and its last state classified by ridge, logistic
regression, SVM or a small MLP; the LAES is fitted to other training images with every seed. *Deep readouts*: the same
memory, its last state classified by ReLU layers with dropout, which alone are trained; also the mean probability of the
readouts of all seeds. Both are a linear projection of all pixels followed by a classifier, not recurrent networks
trained through time. Their control is an MLP on the pixels themselves, with the same training, of as many layers and
trained weights. *Memories trained through time*: the same readouts and training, with a memory that is trained,
too, from the LAES or, as a control, from a random orthogonal one. *Networks trained through time*, at equal units (f =
p) and equal epochs: LSTM with forget bias 1, LMN-B with its default initialisation, with orthogonal or diagonal memory,
and from the LAES, with and without stochastic detach.

Valid chooses: a learning rate or a deep readout's variant with the first seed, a classifier's hyperparameters with
each. Test is evaluated for the chosen alone. S20's protocol: 128 units, all images, Adam at 1e-4 or 1e-3, clip 10, L2
1e-5, 100 epochs, batches of 64. Ours: W_mm learns at a tenth of the rate, 10 epochs, and detaching with probability
0.25 alone. Grid "small" has networks on psmnist only, with 10,000 training images: ten epochs of all images take hours
per network on one core.

Symbols: p memory units, f functional units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from linmem.experiments.harness.choose import search_and_evaluate
from linmem.experiments.harness.summarize import Result
from linmem.experiments.harness.training import shared_runs
from linmem.experiments.pixels.deep import component_readouts, deep_readouts, networks_through_time, pixel_readouts
from linmem.experiments.pixels.grids import Config, NetworkSearch, ReadoutSearch
from linmem.experiments.pixels.memories import Memories, load_images
from linmem.experiments.static_memories import last_state
from linmem.nn.registry import ModelOptions
from linmem.runs.options import PretrainingOptions, RunOptions
from linmem.runs.queue import run_jobs
from linmem.training.options import TrainingOptions


class Row(NamedTuple):
    """A network: model, and whether it starts from the LAES of its inputs."""

    model: str
    from_laes: bool = False


NETWORKS: Mapping[str, Row] = {
    "LSTM": Row("lstm"),
    "LMN-B": Row("lmn-b"),
    "LMN-B, detach": Row("lmn-detach"),
    "LMN-B, orthogonal": Row("lmn-orthogonal"),
    "LMN-B, diagonal": Row("lmn-diagonal"),
    "LMN-B, LAES": Row("lmn-b", from_laes=True),
    "LMN-B, LAES, detach": Row("lmn-detach", from_laes=True),
}


def run(config: Config, seed: int, work: Path) -> Iterator[Result]:
    """One result per memory, readout, deep readout, network and seed; ensembles have seed None."""
    memories = Memories(config.data, config.fitted, work / "memories", cached=config.seeds)
    seeds = range(seed, seed + config.seeds)
    for p in config.sizes:
        head = {"set": config.data, "p": p}
        for own_seed in seeds:
            yield {"part": "memory"} | head | {"seed": own_seed} | memories.fit(p, own_seed)
        for search in config.readouts:
            names = {own_seed: f"{search.name}-{p}-{own_seed}" for own_seed in seeds[: search.seeds]}
            jobs = {name: partial(_classify, memories, search, p, own_seed) for own_seed, name in names.items()}
            for own_seed, found in zip(names, run_jobs(work / "readouts", jobs).values(), strict=True):
                yield {"part": "readout"} | head | {"readout": search.name, "seed": own_seed} | found
        if p in config.deep.sizes:
            for found in deep_readouts(memories, config.deep, p, seeds, work / "deep"):
                yield {"part": "deep"} | head | found
            for found in pixel_readouts(memories, config.deep, p, seeds, work / "pixels"):
                yield {"part": "pixels"} | head | found
            for found in component_readouts(memories, config.deep, p, seeds, work / "components"):
                yield {"part": "components"} | head | found
        if p in config.deep.trained_sizes:
            for found in networks_through_time(memories, config.deep, p, seeds, work / "through time"):
                yield {"part": "through time"} | head | found
    if (networks := config.networks) is None:
        return
    plans = {
        row: [network_options(networks, row, rate, seed) for rate in networks.learning_rates] for row in networks.rows
    }
    for found in search_and_evaluate(plans, seeds[: networks.seeds], shared_runs(work), work / "networks"):
        yield {"part": "network", "set": config.data, "images": len(load_images(networks.data).train)} | found


def _classify(memories: Memories, search: ReadoutSearch, p: int, seed: int) -> Result:
    with_test = partial(memories.states_with_test, p, seed, search.name)
    return last_state.fit_classifier(search.name, memories.states(p, seed), search.grid, search.images, seed, with_test)


def network_options(config: NetworkSearch, name: str, rate: float, seed: int) -> RunOptions:
    """Return the training run of a network with a learning rate."""
    row, units = NETWORKS[name], config.units
    training = TrainingOptions(
        rate,
        batch_size=64,
        max_epochs=config.epochs,
        patience=config.epochs,
        clip=10.0,
        weight_decay=1e-5,
        memory_lr_scale=config.memory_lr_scale,
        seed=seed,
    )
    model = ModelOptions(row.model, units, units, forget_bias=1.0 if row.model == "lstm" else 0.0, detach=config.detach)
    return RunOptions(config.data, model, training, PretrainingOptions("inputs" if row.from_laes else "none"))
