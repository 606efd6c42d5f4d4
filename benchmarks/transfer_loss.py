"""Loss of an LMN-B at each stage of L18's pretraining on JSB Chorales, with and without lag decay; validation only.

    unfolded      the unfolded network of k lags (ULM), trained by backpropagation
    transferred   the LMN-B (100, 250) filled from it and from the autoencoder of its hidden states, not trained
    fine-tuned    the same after training
    RNN           an Elman network with as many hidden units as the unfolded network, trained in the same protocol

Protocols: `plain` is L18's (tanh, 10 lags, Adam 1e-3, no regularization, W_mm at the full rate); `regularized` has the
settings with the lowest validation NLL of `--search`, found with seed 0 separately for ULM and RNN among as many
dropouts. Table rows give mean and range over seeds. Epochs are limited; runs at the limit are counted.

    python benchmarks/transfer_loss.py --search
    python benchmarks/transfer_loss.py --seeds 3     # an interrupted run continues
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn

from linmem import data
from linmem.nn.initialize import set_output_bias_
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel
from linmem.reporting import tables
from linmem.runs.queue import run_jobs
from linmem.training.loop import count, train_on_examples
from linmem.training.options import TrainingOptions
from linmem.training.pretraining import pretrain
from linmem.training.tasks import NextFrame

HIDDEN, MEMORY = 100, 250


@dataclass(frozen=True)
class Protocol:
    """How networks are trained."""

    lags: int  # k of the unfolded network
    nonlinearity: str
    dropout: tuple[float, float]  # of inputs, and of the readout's input
    training: TrainingOptions
    rnn_nonlinearity: str
    rnn_dropout: tuple[float, float]
    decays: tuple[float, ...]  # γ of the autoencoders


OWN = TrainingOptions(learning_rate=3e-3, batch_size=8, clip=0.25, ema_decay=0.98, patience=8, memory_lr_scale=1.0)
PROTOCOLS = {
    "plain": Protocol(
        10,
        "tanh",
        (0.0, 0.0),
        TrainingOptions(learning_rate=1e-3, batch_size=8, clip=5.0, patience=8, memory_lr_scale=1.0),
        "tanh",
        (0.0, 0.0),
        (1.0, 0.5),
    ),
    "regularized": Protocol(3, "relu", (0.1, 0.3), OWN, "relu", (0.1, 0.3), (1.0, 0.5)),
}
DROPOUTS = ((0.0, 0.0), (0.1, 0.3), (0.2, 0.5))
ULM_SEARCH = [  # lags, dropout, L2
    *product((1, 3, 6), DROPOUTS, (0.0,)),
    (2, (0.1, 0.3), 0.0),
    *product((1,), ((0.1, 0.3),), (1e-4, 1e-3)),
]
RNN_SEARCH = [*product(("tanh", "relu"), DROPOUTS, (0.0,)), *product(("relu",), ((0.1, 0.3),), (1e-4, 1e-3))]


def examples() -> tuple[Any, Any, Any]:
    """Task, training and validation examples."""
    splits, task = data.load("jsb_chorales"), NextFrame()
    return task, task.examples(splits, "train"), task.examples(splits, "valid")


def trained_rnn(protocol: Protocol, seed: int) -> dict[str, Any]:
    """The Elman network of the protocol."""
    task, training, valid = examples()
    dropout = dict(zip(("input_dropout", "readout_dropout"), protocol.rnn_dropout, strict=True))
    options = ModelOptions("rnn", HIDDEN, nonlinearity=protocol.rnn_nonlinearity, **dropout)  # type: ignore[arg-type]
    model = build_model(options, 88, 88, seed)
    set_output_bias_(model, task.constant(torch.cat(training.targets), 88))
    history = train_on_examples(model, task, training, valid, replace(protocol.training, seed=seed))
    return {"nll": history.best.valid_loss, "epochs": len(history.epochs), "best_epoch": history.best_epoch}


def new_model(protocol: Protocol, seed: int) -> SequenceModel:
    """An LMN-B with the output bias at the marginals, from which the unfolded network starts, too."""
    task, training, _ = examples()
    dropout = dict(zip(("input_dropout", "readout_dropout"), protocol.dropout, strict=True))
    options = ModelOptions("lmn-b", HIDDEN, MEMORY, nonlinearity=protocol.nonlinearity, **dropout)  # type: ignore[arg-type]
    model = build_model(options, 88, 88, seed)
    set_output_bias_(model, task.constant(torch.cat(training.targets), 88))
    assert isinstance(model, SequenceModel)
    return model


def transferred(
    protocol: Protocol, decay: float, seed: int, checkpoint: Path, fine_tune: bool = True
) -> dict[str, Any]:
    """Pretrain with one lag decay and fine-tune; the unfolded network is read from `checkpoint` if it is there."""
    task, training, valid = examples()
    model, options = new_model(protocol, seed), replace(protocol.training, seed=seed)
    layer: Any = model.recurrent
    readout: Any = model.readout
    assert isinstance(readout, nn.Linear)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    pretrained = pretrain(
        layer,
        readout,
        *training,
        valid=valid,
        lags=protocol.lags,
        nonlinearity=protocol.nonlinearity,
        dropout=protocol.dropout,
        lag_decay=decay,
        options=options,
        task=task,
        checkpoint=checkpoint,
    )
    history, ae = pretrained.history, pretrained.autoencoder
    counts = count(model, valid, task)
    found = {
        "unfolded": history.best.valid_loss,
        "unfolded_epochs": len(history.epochs),
        "transferred": counts.scores(counts.choice()).loss,
        "bound": ae.optimal_error_,
    }
    if fine_tune:
        state = checkpoint.with_name(f"{checkpoint.stem}_{decay:g}_tuned.safetensors")
        tuned = train_on_examples(model, task, training, valid, options, checkpoint=state)
        found |= {"fine_tuned": tuned.best.valid_loss, "epochs": len(tuned.epochs), "best_epoch": tuned.best_epoch}
    return found


def search(options: argparse.Namespace) -> None:
    """Validation NLL of ULM and RNN at seed 0 over the same dropouts and L2 penalties."""
    base = PROTOCOLS["regularized"]
    base = replace(base, training=replace(base.training, max_epochs=options.max_epochs))
    jobs: dict[str, Any] = {}
    for lags, dropout, decay in ULM_SEARCH:
        name = f"ulm_relu_{lags}_{dropout[0]:g}_{dropout[1]:g}{f'_{decay:g}' if decay else ''}"
        training = replace(base.training, weight_decay=decay)
        protocol = replace(base, lags=lags, nonlinearity="relu", dropout=dropout, training=training)
        path = options.out / "search" / f"{name}.safetensors"
        jobs[name] = partial(transferred, protocol, 0.5, 0, path, fine_tune=False)
    for nonlinearity, dropout, decay in RNN_SEARCH:
        name = f"rnn_{nonlinearity}_{dropout[0]:g}_{dropout[1]:g}{f'_{decay:g}' if decay else ''}"
        training = replace(base.training, weight_decay=decay)
        protocol = replace(base, rnn_nonlinearity=nonlinearity, rnn_dropout=dropout, training=training)
        jobs[name] = partial(trained_rnn, protocol, 0)
    found = run_jobs(options.out / "search", jobs, progress=True)
    rows = [
        {
            "network": name,
            "valid NLL": run.get("unfolded", run.get("nll")),
            "epochs": run.get("unfolded_epochs", run.get("epochs")),
            "transferred, γ = 0.5": run.get("transferred"),
        }
        for name, run in found.items()
    ]
    print(
        tables.markdown(
            sorted(rows, key=lambda row: row["valid NLL"]), {"valid NLL": 3, "epochs": 0, "transferred, γ = 0.5": 3}
        )
    )


def spread(values: list[float]) -> str:
    """Mean, and the range where there are several values."""
    mean, low, high = (f"{value:.3f}" for value in (statistics.mean(values), min(values), max(values)))
    return mean if low == high else f"{mean} ({low} … {high})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max_epochs", type=int, default=60)
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--transfer_only", action="store_true", help="neither fine-tuning nor the RNN")
    parser.add_argument("--with_rnn", action="store_true", help="train the RNN with --transfer_only, too")
    parser.add_argument("--decays", nargs="+", type=float, help="lag decays, instead of 1 and 0.5")
    parser.add_argument("--lags", type=int, help="of the unfolded network, instead of the protocol's")
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    parser.add_argument("--out", type=Path, default=Path("runs/transfer-loss"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.search:
        return search(options)
    protocols = {
        f"{name}_k{options.lags}" if options.lags else name: replace(
            one,
            lags=options.lags or one.lags,
            decays=tuple(options.decays or one.decays),
            training=replace(one.training, max_epochs=options.max_epochs),
        )
        for name, one in PROTOCOLS.items()
        if name in options.protocols
    }
    with_rnn = options.with_rnn or not options.transfer_only
    jobs: dict[str, Any] = {}
    for seed, (name, protocol) in product(range(options.seeds), protocols.items()):
        if with_rnn:  # the RNN has no lags
            jobs[f"{name.split('_k')[0]}_rnn_{seed}"] = partial(trained_rnn, protocol, seed)
        for decay in reversed(protocol.decays):
            path = options.out / f"{name}_{seed}.safetensors"
            tune = not options.transfer_only
            jobs[f"{name}_{decay:g}_{seed}{'' if tune else '_only'}"] = partial(
                transferred, protocol, decay, seed, path, tune
            )
    started = time.process_time()
    found = run_jobs(options.out, jobs, progress=True)
    rows = []
    for name, protocol in protocols.items():
        for decay in protocol.decays:
            end = "_only" if options.transfer_only else ""
            runs = [found[f"{name}_{decay:g}_{seed}{end}"] for seed in range(options.seeds)]
            stages = ("unfolded", "transferred") if options.transfer_only else ("unfolded", "transferred", "fine_tuned")
            row: dict[str, Any] = {"protocol": name, "lag decay": f"{decay:g}"}
            row |= {"bound": spread([run["bound"] for run in runs])}
            row |= {stage: spread([run[stage] for run in runs]) for stage in stages}
            row |= {"largest transferred − unfolded": max(run["transferred"] - run["unfolded"] for run in runs)}
            if with_rnn:
                rnn = [found[f"{name.split('_k')[0]}_rnn_{seed}"] for seed in range(options.seeds)]
                row |= {"RNN": spread([run["nll"] for run in rnn])}
            if not options.transfer_only:
                row |= {"at the limit": sum(run["best_epoch"] == options.max_epochs for run in runs)}
            rows.append(row)
    print(
        f"\nJSB Chorales, valid NLL, LMN-B ({HIDDEN}, {MEMORY}), {options.seeds} seeds, at most {options.max_epochs} "
        f"epochs, torch {torch.__version__}, {time.process_time() - started:.0f} s CPU in this run\n"
    )
    print(tables.markdown(rows, {"largest transferred − unfolded": 3, "at the limit": 0}))


if __name__ == "__main__":
    main()
