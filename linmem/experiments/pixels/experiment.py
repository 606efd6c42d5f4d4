"""Images pixel by pixel, classified after the last one: the measurements of `smnist` and `psmnist`. [S20.]

*Readouts without backpropagation*: the LAES of the inputs is solved, and its last state classified by ridge, logistic
regression, SVM or a small MLP; the LAES is fitted to other training images with every seed. *Deep readouts*: the same
memory, its last state classified by ReLU layers with dropout, which alone are trained; also the mean probability of the
readouts of all seeds. Both are a linear projection of all pixels followed by a classifier, not recurrent networks
trained through time. *Networks trained through time*, at equal units (f = p): LSTM with forget bias 1, LMN-B with its
default initialisation, with orthogonal memory, and from the LAES, with and without stochastic detach.

Valid chooses: a learning rate or a deep readout's variant with the first seed, a classifier's hyperparameters with
each. Test is evaluated for the chosen alone. S20's protocol: 128 units, all images, Adam at 1e-4 or 1e-3, clip 10, L2
1e-5, 100 epochs, batches of 64. Our departures: W_mm learns at a tenth of the rate; grid "small" trains networks on
3,000 images for 4 epochs (188 updates), which is too little for an LSTM to learn the task: its figures are no baseline.

Symbols: p memory units, f functional units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from linmem.experiments.harness.jobs import run_job
from linmem.experiments.harness.sealed import read_test
from linmem.experiments.harness.summarize import Result
from linmem.experiments.harness.training import read_history, train_all, with_seed
from linmem.experiments.pixels.deep import deep_readouts
from linmem.experiments.pixels.grids import Config, NetworkSearch, ReadoutSearch
from linmem.experiments.pixels.memories import Memories, load_images
from linmem.experiments.static import last_state
from linmem.nn.registry import ModelOptions
from linmem.runs.options import PretrainingOptions, RunOptions
from linmem.runs.queue import run_jobs
from linmem.runs.runner import evaluate_run
from linmem.runs.sweep.run_sweep import Outcome
from linmem.training.options import TrainingOptions


class Row(NamedTuple):
    """A network: model, whether it starts from the LAES of its inputs, whether it detaches."""

    model: str
    from_laes: bool = False
    detaches: bool = False


NETWORKS: Mapping[str, Row] = {
    "LSTM": Row("lstm"),
    "LMN-B": Row("lmn-b"),
    "LMN-B, detach": Row("lmn-detach", detaches=True),
    "LMN-B, orthogonal": Row("lmn-orthogonal"),
    "LMN-B, LAES": Row("lmn-b", from_laes=True),
    "LMN-B, LAES, detach": Row("lmn-detach", from_laes=True, detaches=True),
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
    for name in config.networks.rows:
        for found in train_networks(config.networks, name, seed, work / "networks"):
            yield {"part": "network", "set": config.data, "model": name} | found


def _classify(memories: Memories, search: ReadoutSearch, p: int, seed: int) -> Result:
    with_test = partial(memories.states_with_test, p, seed, search.name)
    return last_state.fit_classifier(search.name, memories.states(p, seed), search.grid, search.images, seed, with_test)


def train_networks(config: NetworkSearch, name: str, seed: int, work: Path) -> Iterator[Result]:
    """Yield the network with the best options on valid with the first seed, once per seed; none if all diverged."""
    searched = train_all(search_plan(config, name, seed), work, may_diverge=True, progress=True)
    tried = [_trial(one) for one in searched]
    best = min((one for one in searched if one.loss is not None), key=lambda one: one.loss or 0.0, default=None)
    if best is None:
        yield {"seed": seed, "tried": tried}
        return
    plan = [with_seed(best.options, own_seed) for own_seed in range(seed, seed + config.seeds)]
    for one in train_all(plan, work, may_diverge=True, progress=True):
        result = {
            "seed": one.options.training.seed,
            "tried": tried,
            "learning_rate": one.options.training.learning_rate,
        }
        result |= {"units": config.units, "images": len(load_images(one.options.data).train)}
        if one.loss is not None:
            result |= run_job(work / "scores", one.name, partial(_evaluate, name, one, work))
        yield result


def _evaluate(name: str, one: Outcome, work: Path) -> Result:
    """Evaluate a trained network on valid and test."""

    def evaluate(split: str) -> Result:
        return list(evaluate_run(work / one.name, split).values())[1].row()

    test = read_test(partial(evaluate, "test"), model=name, data=one.options.data)
    scores = {"valid": evaluate("valid"), "test": test}
    history = read_history(work / one.name)
    return {
        "epochs": len(history.epochs),
        "best_epoch": one.result["best_epoch"],
        "parameters": one.result["parameters"],
        "valid_accuracy_by_epoch": [round(100 * row["valid"]["accuracy"], 2) for row in history.epochs],
        **{f"{split}_accuracy": row["accuracy %"] for split, row in scores.items()},
        "cpu_seconds": round(history.cpu_seconds, 1),
    }


def search_plan(config: NetworkSearch, name: str, seed: int) -> list[RunOptions]:
    """Return what is searched for one row: learning rates, and probabilities of detaching and λ where it has them."""
    row, units = NETWORKS[name], config.units
    return [
        RunOptions(
            config.data,
            ModelOptions(row.model, units, units, forget_bias=1.0 if row.model == "lstm" else 0.0, detach=detach),
            TrainingOptions(
                rate,
                batch_size=64,
                max_epochs=config.epochs,
                patience=config.epochs,
                clip=10.0,
                weight_decay=1e-5,
                memory_lr_scale=config.memory_lr_scale,
                orthogonality=penalty,
                seed=seed,
            ),
            PretrainingOptions("inputs" if row.from_laes else "none"),
        )
        for rate in config.learning_rates
        for detach in (config.detach if row.detaches else (0.0,))
        for penalty in (config.orthogonality if row.model == "lmn-b" else (0.0,))
    ]


def _trial(one: Outcome) -> Result:
    """Return the options of one run of a search and its loss on valid, None where it diverged."""
    training = one.options.training
    options = {"learning_rate": training.learning_rate, "detach": one.options.model.detach}
    return options | {"orthogonality": training.orthogonality, "valid_nll": one.loss}
